"""`fsbench compare`: compare results in pairs."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fsbench.cli._options import OUTPUT, Common, Over
from fsbench.cli._output import answer

app = App(name="compare", help_epilogue="Example: fsbench compare results/cifar-fs --against best")


@app.default
def compare(
    results: Annotated[tuple[Path, ...], Parameter(name="results...")],
    /,
    *,
    against: Annotated[Literal["all", "first", "best"], Parameter(group=OUTPUT)] = "all",
    over: Over = "classes",
    common: Common = Common(),
) -> None:
    """Compare results in pairs: differences, intervals and p-values.

    Args:
        results: Result files, or folders of them.
        against: Pairs to compare: all, or each result with the first or the best one.
    """
    from fsbench.report.compare import compare, tables

    comparison = compare(results, against, over)
    answer(common, comparison, *tables(comparison))
