"""`fsbench plot`: draw results, features or training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from fsbench.cli import _names
from fsbench.cli._options import OUTPUT, Common
from fsbench.cli._output import answer

app = App(name="plot", help_epilogue="Example: fsbench plot leaderboard results --out leaderboard.png")


@Parameter(name="*", group=Group("Selection", sort_key=2))
@dataclass(frozen=True)
class Filters:
    """Which results to draw; of a filter with several values, each one matches.

    Attributes:
        dataset: Only these data sets: of the tasks, or for training and time, of the training. Default: all.
        recipe: Only these training recipes; for pretrained networks, backbones. Default: all.
        head: Only these heads. Default: all for recipe-head, otherwise the one that most configurations have,
            nearest-mean first.
        n_shot: Only these numbers of support images per class. Default: all.
    """

    dataset: Annotated[tuple[_names.DataSet, ...], Parameter(metavar="NAME...")] = ()
    recipe: Annotated[tuple[str, ...], Parameter(metavar="NAME...")] = ()
    head: Annotated[tuple[_names.Head, ...], Parameter(metavar="NAME...")] = ()
    n_shot: tuple[int, ...] = ()


@app.default
def plot(
    kind: _names.Plot,
    path: Annotated[tuple[Path, ...], Parameter(name="path...")],
    /,
    *,
    filters: Filters = Filters(),
    out: Annotated[Path | None, Parameter(group=OUTPUT, metavar="FILE")] = None,
    common: Common = Common(),
) -> None:
    """Draw results, features or training, and print the path of the figure.

    Args:
        kind: What to draw.
        path: Result files or folders of them; for features, feature files; for training and time, folders of
            runs, or checkpoints beside their logs.
        out: Figure to write or replace: .png, .svg, .pdf or .jpg. Default: KIND.png.
    """
    from fsbench.report.plots import Selection, check_figure, plot, save

    figure = out or Path(f"{kind}.png")
    check_figure(figure)
    save(plot(kind, path, Selection(**vars(filters))), figure)
    answer(common, {"figure": figure}, str(figure))
