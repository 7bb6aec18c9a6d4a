"""`fsbench plot`: draw results, features or training."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli._names import Plot
from fsbench.cli._options import OUTPUT, Common
from fsbench.cli._output import answer

app = App(name="plot", help_epilogue="Example: fsbench plot ways-shots results/glyphs --out sweep.png")


@app.default
def plot(
    kind: Plot,
    path: Annotated[tuple[Path, ...], Parameter(name="path...")],
    /,
    *,
    out: Annotated[Path, Parameter(group=OUTPUT, metavar="FILE")],
    common: Common = Common(),
) -> None:
    """Draw results, features or training.

    Args:
        kind: What to draw.
        path: Result files or folders of them; for features, feature files; for training and time, folders of
            runs.
        out: Figure to write: .png, .svg or .pdf.
    """
    from fsbench.report.plots import check_figure, plot, save

    check_figure(out)
    save(plot(kind, path), out)
    answer(common, {"figure": out}, str(out))
