"""The figures of a diagnosis: plain functions from numbers to a Matplotlib figure, no global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from fsbench.diagnose.section import Mean

if TYPE_CHECKING:
    from fsbench.diagnose.calibration import Reliability

Curve = Sequence[tuple[float, float]]
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999")  # Okabe, Ito
_MARKERS = "osD^vPX"  # one less, so that 56 networks differ
_OF_CLASS = ("#1b7837", "#e66101")  # green and orange, as in mixup's figure 1b


@dataclass(frozen=True)
class Panel:
    """Curves through (x, y) points by network, and further points that are drawn as crosses."""

    title: str
    curves: Mapping[str, Curve]
    crosses: Mapping[str, Curve] = field(default_factory=dict)
    log: bool = False


def panels(parts: Sequence[Panel], across: str, up: str = "", *, share: bool = False) -> Figure:
    """Panels beside each other with one legend, none without curves; `share`: one y axis for all."""
    parts = [part for part in parts if part.curves]
    figure, row = _row(len(parts), share=share)
    looks = {name: _look(number) for number, name in enumerate(parts[0].curves)}
    for axes, part in zip(row, parts, strict=True):
        for name, curve in part.curves.items():
            look = looks[name] if len(curve) < 20 else {"color": looks[name]["color"]}
            axes.plot(*zip(*curve, strict=True), **look)
        for name, crosses in part.crosses.items():
            axes.plot(*zip(*crosses, strict=True), linestyle="", marker="x", color=looks[name]["color"])
        axes.set(title=part.title, xlabel=across, yscale="log" if part.log else "linear")
    row[0].set_ylabel(up)
    _legend(figure, row[0], looks)
    return figure


def points(found: Mapping[str, Mapping[str, tuple[float, Mean]]], up: str) -> Figure:
    """A panel a number, in it a point a network with the interval of its height; all share the y axis."""
    figure, row = _row(len(found), share=True)
    looks = {name: _look(number) for number, name in enumerate(next(iter(found.values())))}
    for axes, (across, places) in zip(row, found.items(), strict=True):
        for name, (x, mean) in places.items():
            axes.errorbar(x, mean.mean, mean.half_width, capsize=3, **looks[name])
        axes.set(xlabel=across)
    row[0].set_ylabel(up)
    _legend(figure, row[0], looks)
    return figure


def bars(found: Mapping[str, Mapping[str, float]], up: str) -> Figure:
    """A group of bars a column, a bar a name; none where a name has no value."""
    columns = list(dict.fromkeys(column for row in found.values() for column in row))
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(found)
    for number, (name, row) in enumerate(found.items()):
        places = np.array([columns.index(column) for column in row])
        off = (number - (len(found) - 1) / 2) * width
        colour = _COLOURS[number % len(_COLOURS)]
        hatch = "/" * 3 * (number // len(_COLOURS) % 2)
        axes.bar(
            places + off, list(row.values()), width, label=name, color=colour, hatch=hatch, edgecolor="w"
        )
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right")
    axes.set_ylabel(up)
    _legend(figure, axes)
    return figure


def reliability_diagrams(found: Mapping[str, Mapping[str, "Reliability"]]) -> Figure:
    """Accuracy over confidence in bins of ten answers or more; on the dashed line both agree."""
    kinds = list(next(iter(found.values())))
    figure, row = _row(len(kinds))
    for axes, kind in zip(row, kinds, strict=True):
        axes.plot([0, 1], [0, 1], linestyle="--", color="grey")
        for number, diagrams in enumerate(found.values()):
            one = diagrams[kind]
            full = one.counts >= 10
            axes.plot(one.confidence[full], one.accuracy[full], **_look(number))
        axes.set(title=kind, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    _legend(figure, row[0], {name: _look(number) for number, name in enumerate(found)})
    return figure


def regressions(
    x: ArrayLike, found: Mapping[str, ArrayLike], lines: Mapping[str, tuple[float, float]]
) -> Figure:
    """Points (x, y) of every name with its line (intercept, slope)."""
    figure, (axes,) = _row(1)
    axes.set(xlabel="hardness", ylabel="accuracy, %")
    at = np.array([np.min(x), np.max(x)])
    for number, (name, y) in enumerate(found.items()):
        intercept, slope = lines[name]
        look = _look(number)
        axes.plot(x, y, linestyle="", marker=".", markersize=2, alpha=0.4, color=look["color"])
        axes.plot(at, intercept + slope * at, label=name, **look)
    _legend(figure, axes)
    return figure


def surfaces(found: Mapping[str, tuple[Tensor, Tensor, Tensor]], box: float) -> Figure:
    """Probability of the second class over a box (g, g), rows by x, with points (n, 2) and labels (n,)."""
    mixed = LinearSegmentedColormap.from_list("classes", ["#9ad0a5", "white", "#f9bd86"])
    figure, squares = _squares(found)
    for axes, (name, (surface, places, labels)) in zip(squares, found.items(), strict=True):
        side = np.linspace(-box, box, len(surface))
        shown = axes.contourf(side, side, surface.T.numpy(), levels=np.linspace(0, 1, 11), cmap=mixed)
        _scatter(axes, places, labels)
        axes.set(title=name, aspect="equal")
    figure.colorbar(shown, ax=squares, label="probability of orange")
    return figure


def hidden_representations(found: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Figure:
    """Hidden values (n, 2) of points by their labels (n,), above hidden values of the whole box in grey."""
    figure, squares = _squares(found)
    for axes, (name, (values, labels, everywhere)) in zip(squares, found.items(), strict=True):
        axes.plot(*everywhere.T.numpy(), linestyle="", marker=".", markersize=1, color="lightgrey", zorder=0)
        _scatter(axes, values, labels)
        low, high = values.numpy().min(axis=0), values.numpy().max(axis=0)
        (x, y), half = (low + high) / 2, 0.6 * (high - low).max()
        axes.set(title=name, xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    return figure


def _squares(found: Mapping[str, object]) -> tuple[Figure, list[Axes]]:
    """A figure with a square panel a name, without ticks."""
    figure = Figure(figsize=(2.9 * len(found) + 0.6, 2.9), layout="constrained")
    squares = list(np.atleast_1d(figure.subplots(1, len(found))))
    for axes in squares:
        axes.set(xticks=[], yticks=[])
    return figure, squares


def _scatter(axes: Axes, places: Tensor, labels: Tensor) -> None:
    for label, colour in enumerate(_OF_CLASS):
        axes.plot(
            *places[labels == label].T.numpy(),
            linestyle="",
            marker="o",
            markersize=3,
            color=colour,
            markeredgecolor="k",
            markeredgewidth=0.3,
        )


def _row(n: int, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of n panels beside each other, with room for a legend below."""
    figure = Figure(figsize=(max(7.0, min(4.4 * n, 11.0)), 4.2), layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(1, n, sharey=share)))


def _look(number: int) -> dict[str, Any]:
    """Colour and marker of network `number`."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": 4,
        "linewidth": 1.2,
    }


def _legend(figure: Figure, axes: Axes, looks: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Name what is drawn below all panels, where it covers nothing; by default what has a label."""
    handles = (
        axes.get_legend_handles_labels()[0]
        if looks is None
        else [axes.plot([], [], label=name, **look)[0] for name, look in looks.items()]
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small", frameon=False)
