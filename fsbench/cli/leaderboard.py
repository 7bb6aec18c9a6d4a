"""`fsbench leaderboard`: write the tables of a results folder."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fsbench._util.errors import FsbenchError
from fsbench.cli._options import OUTPUT, Common, Over, results_folder
from fsbench.cli._output import answer

app = App(
    name="leaderboard",
    help_epilogue="Example: fsbench leaderboard results --published all",
    usage="Usage: fsbench leaderboard [OPTIONS] [RESULTS]",
)


@app.default
def leaderboard(
    results: Path | None = None,
    /,
    *,
    readme: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE")] = None,
    published: Annotated[Literal["same", "all", "none"], Parameter(group=OUTPUT)] = "same",
    memory_rows: Annotated[bool, Parameter(group=OUTPUT)] = False,
    over: Over = "classes",
    check: Annotated[bool, Parameter(group=OUTPUT)] = False,
    common: Common = Common(),
) -> None:
    """Write the tables of a results folder as Markdown, CSV and HTML.

    Args:
        results: Results folder. Default: results; in a clone of fsbench runs/results, as of evaluate.
        readme: Markdown file to put the tables into, between its leaderboard markers.
        published: Published results to show below the measured ones: of the same backbones, of all backbones,
            or none.
        memory_rows: Also show published results that were not read at their source.
        check: Write nothing; fail if a table is not up to date.
    """
    from fsbench.report.leaderboard import stale, update

    make = stale if check else update
    folder = results_folder(results)
    paths = make(folder, readme, published=published, memory_rows=memory_rows, over=over)
    if not check or common.json:
        answer(common, {"stale" if check else "written": paths}, "\n".join(map(str, paths)))
    if check and paths:
        state = "stale" if paths[0].exists() else "missing"
        raise FsbenchError(f"{paths[0]} is {state}; write it again: fsbench leaderboard {folder}")
