"""`fsbench compare`: rank results and compare them in pairs."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fsbench.cli._options import OUTPUT, Common, Over
from fsbench.cli._output import answer

app = App(
    name="compare",
    help_epilogue="Examples: fsbench compare results/cifar-fs/*\n"
    "          fsbench compare results/cifar-fs --against best",
)
WIDTH = 100  # characters per line if neither COLUMNS nor a terminal sets them


@app.default
def compare(
    results: Annotated[tuple[Path, ...], Parameter(name="results...")],
    /,
    *,
    against: Annotated[Literal["all", "first", "best"], Parameter(group=OUTPUT)] = "all",
    pairs: Annotated[bool, Parameter(group=OUTPUT)] = False,
    over: Over = "classes",
    each_seed: Annotated[bool, Parameter(group=OUTPUT)] = False,
    common: Common = Common(),
) -> None:
    """Rank results, and compare them in pairs: differences, intervals and p-values.

    Recipes with three or more training seeds are compared as means over seeds, all others as single
    checkpoints.

    Args:
        results: Result files, or folders of them. Between several folders, results of equal heads are
            compared.
        against: Pairs to compare: all, or each result with the first or the best one; first and best also
            show them.
        pairs: Also show each pair: difference, intervals and p-value.
        each_seed: Compare single checkpoints in any case.
    """
    from fsbench.report.compare import compare, tables

    comparison = compare(results, against, over, each_seed=each_seed)
    width = shutil.get_terminal_size((WIDTH, 24)).columns  # COLUMNS, if it is a positive number
    answer(common, comparison, *tables(comparison, pairs=pairs or against != "all"), width=width)
