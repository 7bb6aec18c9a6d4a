"""The figures of a diagnosis: plain functions from numbers to a Matplotlib figure, no global state."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from fsbench.diagnose.section import Mean

if TYPE_CHECKING:
    from fsbench.diagnose.calibration import Reliability

Curve = Sequence[tuple[float, float]]
_COLOURS = [f"C{number}" for number in range(10)]
_OF_CLASS = ("#1b7837", "#e66101")  # green and orange, as in mixup's figure 1b


def curves(
    found: Mapping[str, Curve],
    across: str,
    up: str,
    *,
    crosses: Mapping[str, Curve] | None = None,
    log: bool = False,
) -> Figure:
    """A curve a name through (x, y) points; `crosses` are further points in the same colours."""
    figure, axes = _single(across, up)
    for colour, (name, curve) in zip(_cycle(len(found)), found.items(), strict=True):
        axes.plot(*zip(*curve, strict=True), marker="." if len(curve) < 20 else "", label=name, color=colour)
        for x, y in (crosses or {}).get(name, ()):
            axes.plot(x, y, marker="x", color=colour)
    if log:
        axes.set_yscale("log")
    axes.legend(fontsize="small")
    return figure


def points(found: Mapping[str, tuple[float, Mean]], across: str, up: str) -> Figure:
    """A named point with an interval a name."""
    figure, axes = _single(across, up)
    for colour, (name, (x, mean)) in zip(_cycle(len(found)), found.items(), strict=True):
        axes.errorbar(x, mean.mean, mean.half_width, marker="o", capsize=3, color=colour)
        axes.annotate(name, (x, mean.mean), xytext=(6, 4), textcoords="offset points", fontsize="small")
    return figure


def bars(found: Mapping[str, Mapping[str, float]], up: str) -> Figure:
    """A group of bars a column, a bar a name."""
    columns = list(next(iter(found.values())))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(found)
    for number, (name, row) in enumerate(found.items()):
        places = np.arange(len(columns)) + (number - (len(found) - 1) / 2) * width
        axes.bar(places, [row[column] for column in columns], width, label=name)
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right")
    axes.set_ylabel(up)
    axes.legend(fontsize="small", ncols=2)
    return figure


def reliability_diagrams(found: Mapping[str, Mapping[str, "Reliability"]]) -> Figure:
    """Accuracy over confidence, a panel a kind of question; on the dashed line both agree."""
    kinds = list(next(iter(found.values())))
    figure = Figure(figsize=(4.5 * len(kinds), 4), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(kinds)), kinds, strict=True):
        axes.plot([0, 1], [0, 1], linestyle="--", color="grey")
        for colour, (name, diagrams) in zip(_cycle(len(found)), found.items(), strict=True):
            one = diagrams[kind]
            full = one.counts > 0
            axes.plot(one.confidence[full], one.accuracy[full], marker=".", color=colour, label=name)
        axes.set(title=kind, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize="small")
    return figure


def regressions(
    x: ArrayLike, found: Mapping[str, ArrayLike], lines: Mapping[str, tuple[float, float]]
) -> Figure:
    """Points (x, y) of every name with its line (intercept, slope)."""
    figure, axes = _single("hardness", "accuracy, %")
    at = np.array([np.min(x), np.max(x)])
    for colour, (name, y) in zip(_cycle(len(found)), found.items(), strict=True):
        intercept, slope = lines[name]
        axes.plot(x, y, linestyle="", marker=".", markersize=2, alpha=0.4, color=colour)
        axes.plot(at, intercept + slope * at, color=colour, label=name)
    axes.legend(fontsize="small")
    return figure


def surfaces(found: Mapping[str, tuple[Tensor, Tensor, Tensor]], box: float) -> Figure:
    """Probability of the second class over a box (g, g), rows by x, with points (n, 2) and labels (n,)."""
    figure, panels = _panels(found)
    for axes, (name, (surface, places, labels)) in zip(panels, found.items(), strict=True):
        side = np.linspace(-box, box, len(surface))
        shown = axes.contourf(side, side, surface.T.numpy(), levels=np.linspace(0, 1, 11), cmap="Blues")
        _scatter(axes, places, labels)
        axes.set(title=name, aspect="equal")
    figure.colorbar(shown, ax=panels, label="p(orange)")
    return figure


def hidden_representations(found: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Figure:
    """Hidden values (n, 2) of points by their labels (n,), above hidden values of the whole box in grey."""
    figure, panels = _panels(found)
    for axes, (name, (values, labels, everywhere)) in zip(panels, found.items(), strict=True):
        axes.plot(*everywhere.T.numpy(), linestyle="", marker=".", markersize=1, color="lightgrey", zorder=0)
        _scatter(axes, values, labels)
        low, high = values.numpy().min(axis=0), values.numpy().max(axis=0)
        (x, y), half = (low + high) / 2, 0.6 * (high - low).max()
        axes.set(title=name, xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    return figure


def _panels(found: Mapping[str, object]) -> tuple[Figure, list[Axes]]:
    """A figure with a square panel a name, without ticks."""
    figure = Figure(figsize=(2.9 * len(found) + 0.6, 2.9), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(1, len(found))))
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    return figure, panels


def _scatter(axes: Axes, places: Tensor, labels: Tensor) -> None:
    for label, colour in enumerate(_OF_CLASS):
        axes.plot(*places[labels == label].T.numpy(), linestyle="", marker="o", markersize=2, color=colour)


def _single(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=across, ylabel=up)
    return figure, axes


def _cycle(n: int) -> list[str] | list[tuple[float, ...]]:
    """A colour for each of n names."""
    return (
        _COLOURS[:n] if n <= len(_COLOURS) else [colormaps["viridis"](at) for at in np.linspace(0, 0.95, n)]
    )
