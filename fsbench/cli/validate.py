"""`fsbench validate`: check a results folder."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench._util.errors import FsbenchError
from fsbench.cli._options import OUTPUT, Common, results_folder
from fsbench.cli._output import answer

app = App(
    name="validate",
    help_epilogue="Example: fsbench validate results --readme README.md",
    usage="Usage: fsbench validate [OPTIONS] [RESULTS]",
)


@app.default
def validate(
    results: Path | None = None,
    /,
    *,
    readme: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE")] = None,
    common: Common = Common(),
) -> None:
    """Check the files, digests and tables of a results folder.

    Args:
        results: Results folder. Default: results; in a clone of fsbench runs/results, as of evaluate.
        readme: Also check the tables in this Markdown file.
    """
    from fsbench.report import check

    folder = results_folder(results)
    problems = list(check.problems(folder, readme))
    answer(common, {"problems": problems}, "\n".join(problems) or f"{folder}: no problems")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise FsbenchError(f"results folder {folder}: {count}")
