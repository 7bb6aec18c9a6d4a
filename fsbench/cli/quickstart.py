"""`fsbench quickstart`: the whole workflow on synthetic images."""

from pathlib import Path
from textwrap import fill
from typing import Annotated

from cyclopts import App, Parameter

from fsbench._util.terminal import table
from fsbench.cli._options import OUTPUT, Computing
from fsbench.cli._output import answer

app = App(name="quickstart", help_epilogue="Example: fsbench quickstart --out try")

NEXT = """
Next:
  fsbench compare {out}/results/glyphs/*
  fsbench evaluate {out}/runs/*/best.safetensors --n-way 20
  fsbench data list   # data sets of photographs, and what each of them needs"""


@app.default
def quickstart(
    *, out: Annotated[Path, Parameter(group=OUTPUT)] = Path("quickstart"), common: Computing = Computing()
) -> None:
    """Train, evaluate and rank on synthetic images that fsbench draws.

    This needs no data and takes four to twelve minutes on two processor cores.

    Args:
        out: Folder of all output.
    """
    from fsbench.cli import _quickstart

    outcome = _quickstart.quickstart(out, common.session)
    page = outcome.board.with_name("leaderboard.html")
    answer(
        common,
        {"leaderboard": outcome.board, "page": page},
        "\n5-way accuracy in % on new classes (nearest-mean; ± over 10,000 tasks)\n",
        table(["recipe", *_quickstart.COLUMNS], outcome.accuracies, right=_quickstart.COLUMNS),
        "\n" + fill(outcome.finding, 80),
        f"\nTo sort, filter and compare, open {page}",
        NEXT.format(out=out),
    )
