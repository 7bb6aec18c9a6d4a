"""`fsbench validate`: check a results folder."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench._util.errors import FsbenchError
from fsbench.cli._options import OUTPUT, Common
from fsbench.cli._output import answer

app = App(
    name="validate",
    help_epilogue="Example: fsbench validate results --readme README.md",
    usage="Usage: fsbench validate [OPTIONS] [RESULTS]",
)


@app.default
def validate(
    results: Path = Path("results"),
    /,
    *,
    readme: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE")] = None,
    common: Common = Common(),
) -> None:
    """Check the files, digests and tables of a results folder.

    Args:
        results: Results folder.
        readme: Also check the tables in this Markdown file.
    """
    from fsbench.report import check

    problems = list(check.problems(results, readme))
    answer(common, {"problems": problems}, "\n".join(problems) or f"{results}: no problems")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise FsbenchError(f"results folder {results}: {count}")
