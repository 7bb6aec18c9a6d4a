"""`fsbench quickstart`: the whole workflow on synthetic images."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli._options import OUTPUT, Computing
from fsbench.cli._output import answer
from fsbench.cli._results import result_table

app = App(name="quickstart", help_epilogue="Example: fsbench quickstart --out try")


@app.default
def quickstart(
    *, out: Annotated[Path, Parameter(group=OUTPUT)] = Path("quickstart"), common: Computing = Computing()
) -> None:
    """Train, evaluate and rank on embedded synthetic images.

    This needs no data and takes some minutes on two processor cores.

    Args:
        out: Folder of all output.
    """
    from fsbench.cli import _quickstart
    from fsbench.evaluation import result_files

    board = _quickstart.quickstart(out, common.session)
    answer(
        common,
        {"leaderboard": board},
        result_table(list(result_files.read_all(board.parent))),
        f"\nThe leaderboard is in {board} and, to sort and filter, in leaderboard.html beside it.",
        "Next: train on your images or on CIFAR-FS; fsbench data list shows the data sets.",
    )
