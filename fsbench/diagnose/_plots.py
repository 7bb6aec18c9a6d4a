"""The figures of a report: functions from numbers to a Matplotlib figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from fsbench.diagnose._section import Mean
from fsbench.report.plots.page import COLOURS, legend_below, mark

if TYPE_CHECKING:
    from fsbench.diagnose._calibration import Reliability

Curve = Sequence[tuple[float, float]]
_OF_CLASS = ("#1b7837", "#e66101")  # green and orange, as in mixup's figure 1b


@dataclass(frozen=True)
class Panel:
    """Curves through points (x, y) by network, and further points that are drawn as crosses."""

    title: str
    curves: Mapping[str, Curve]
    crosses: Mapping[str, Curve] = field(default_factory=dict)
    log: bool = False


def panels(parts: Sequence[Panel], x_label: str, y_label: str = "", *, share: bool = False) -> Figure:
    """Draw panels side by side with one legend; a panel without curves is left out."""
    parts = [part for part in parts if part.curves]
    names = list(parts[0].curves)
    figure, row = _row(len(parts), share=share)
    for axes, part in zip(row, parts, strict=True):
        for name, curve in part.curves.items():
            style = mark(names.index(name))
            axes.plot(*zip(*curve, strict=True), **style if len(curve) < 20 else {"color": style["color"]})
        for name, crosses in part.crosses.items():
            axes.plot(*zip(*crosses, strict=True), **{**mark(names.index(name)), "ls": "", "marker": "x"})
        axes.set(title=part.title, xlabel=x_label, yscale="log" if part.log else "linear")
    row[0].set_ylabel(y_label)
    legend_below(figure, names)
    return figure


def points(numbers: Mapping[str, Mapping[str, tuple[float, Mean]]], y_label: str) -> Figure:
    """Draw one panel per number, with one point per network and the interval of its height."""
    figure, row = _row(len(numbers), share=True)
    for axes, (x_label, networks) in zip(row, numbers.items(), strict=True):
        for number, (x, mean) in enumerate(networks.values()):
            axes.errorbar(x, mean.mean, mean.half_width, capsize=3, **mark(number))
        axes.set(xlabel=x_label)
    row[0].set_ylabel(y_label)
    legend_below(figure, list(networks))
    return figure


def bars(networks: Mapping[str, Mapping[str, float]], y_label: str) -> Figure:
    """Draw one group of bars per column, with one bar per network that has a value."""
    columns = list(dict.fromkeys(column for row in networks.values() for column in row))
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(networks)
    drawn = []
    for number, row in enumerate(networks.values()):
        middles = np.array([columns.index(column) for column in row])
        offset = (number - (len(networks) - 1) / 2) * width
        hatch = "/" * 3 * (number // len(COLOURS) % 2)
        colour = mark(number)["color"]
        drawn.append(axes.bar(middles + offset, list(row.values()), width, color=colour, hatch=hatch, ec="w"))
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha="right")
    axes.set_ylabel(y_label)
    legend_below(figure, list(networks), drawn)
    return figure


def reliability_diagrams(networks: Mapping[str, Mapping[str, "Reliability"]]) -> Figure:
    """Draw accuracy over confidence in bins of at least ten answers; they are equal on the dashed line."""
    kinds = list(next(iter(networks.values())))
    figure, row = _row(len(kinds))
    for axes, kind in zip(row, kinds, strict=True):
        axes.plot([0, 1], [0, 1], linestyle="--", color="grey")
        for number, diagrams in enumerate(networks.values()):
            diagram = diagrams[kind]
            full = diagram.counts >= 10
            axes.plot(diagram.confidence[full], diagram.accuracy[full], **mark(number))
        axes.set(title=kind, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    legend_below(figure, list(networks))
    return figure


def regressions(
    x: ArrayLike, networks: Mapping[str, ArrayLike], lines: Mapping[str, tuple[float, float]]
) -> Figure:
    """Draw the points (x, y) of every network with its line (intercept, slope)."""
    figure, (axes,) = _row(1)
    axes.set(xlabel="hardness", ylabel="accuracy, %")
    ends = np.array([np.min(x), np.max(x)])
    for number, (name, y) in enumerate(networks.items()):
        intercept, slope = lines[name]
        axes.plot(x, y, linestyle="", marker=".", markersize=2, alpha=0.4, color=mark(number)["color"])
        axes.plot(ends, intercept + slope * ends, **mark(number))
    legend_below(figure, list(networks))
    return figure


def surfaces(networks: Mapping[str, tuple[Tensor, Tensor, Tensor]], box: float) -> Figure:
    """Draw the probability of the second class over a box (g, g), with points (n, 2) and labels (n,)."""
    colours = LinearSegmentedColormap.from_list("classes", ["#9ad0a5", "white", "#f9bd86"])
    figure, squares = _squares(networks)
    for axes, (name, (surface, places, labels)) in zip(squares, networks.items(), strict=True):
        side = np.linspace(-box, box, len(surface))
        drawn = axes.contourf(side, side, surface.T.numpy(), levels=np.linspace(0, 1, 11), cmap=colours)
        _scatter(axes, places, labels)
        axes.set(title=name, aspect="equal")
    figure.colorbar(drawn, ax=squares, label="probability of orange")
    return figure


def hidden_representations(networks: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Figure:
    """Draw hidden values (n, 2) of points by their labels (n,), above those of the whole box in grey."""
    figure, squares = _squares(networks)
    for axes, (name, (values, labels, everywhere)) in zip(squares, networks.items(), strict=True):
        axes.plot(*everywhere.T.numpy(), linestyle="", marker=".", markersize=1, color="lightgrey", zorder=0)
        _scatter(axes, values, labels)
        low, high = values.numpy().min(axis=0), values.numpy().max(axis=0)
        (x, y), half = (low + high) / 2, 0.6 * (high - low).max()
        axes.set(title=name, xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    return figure


def _squares(networks: Mapping[str, object]) -> tuple[Figure, list[Axes]]:
    """Lay out one square panel per network, without ticks."""
    figure = Figure(figsize=(2.9 * len(networks) + 0.6, 2.9), layout="constrained")
    squares = list(np.atleast_1d(figure.subplots(1, len(networks))))
    for axes in squares:
        axes.set(xticks=[], yticks=[])
    return figure, squares


def _scatter(axes: Axes, places: Tensor, labels: Tensor) -> None:
    """Draw points in the colours of their classes."""
    for label, colour in enumerate(_OF_CLASS):
        x, y = places[labels == label].T.numpy()
        axes.plot(x, y, "o", markersize=3, color=colour, markeredgecolor="k", markeredgewidth=0.3)


def _row(n: int, share: bool = False) -> tuple[Figure, list[Axes]]:
    """Lay out n panels side by side; `share` gives them one y axis."""
    figure = Figure(figsize=(max(7.0, min(4.4 * n, 11.0)), 4.2), layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(1, n, sharey=share)))
