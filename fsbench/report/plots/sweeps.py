"""Accuracy against ways and against shots."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.plots import labels
from fsbench.report.plots.labels import Comparison, Configuration, Seeds
from fsbench.report.plots.page import (
    DASHES,
    MOST_LINES,
    Section,
    at_most,
    label_ends,
    legend_below,
    legend_height,
    mark,
    page,
    ticks_at,
)
from fsbench.report.plots.selection import EVERYTHING, Selection, select

AXES = (("n_way", "way"), ("n_shot", "shot"))
Curves = dict[int, list[tuple[int, Seeds]]]  # points by the value of the other axis


def ways_and_shots(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot accuracy against n_way, one line per configuration and n_shot, and the same against n_shot.

    Comparable results share a panel. A line needs two points; comparisons without a line are left out.

    Raises:
        FsbenchError: There is no line, or there are more than 30 in a panel.
    """
    kept, note = select(results, selection)
    shown = [comparison for comparison in labels.comparisons(kept) if _panels(comparison)]
    if not shown:
        raise FsbenchError("ways-shots: no checkpoint and head has results for several ways or several shots")
    points = [seeds for comparison in shown for row in _rows(comparison) for seeds in row.seeds.values()]
    figure, parts = page(list(map(_section, shown)), labels.interval(points, "Bands") + note)
    for part, comparison in zip(parts, shown, strict=True):
        _draw(part, comparison)
    return figure


def _curves(row: Configuration, axis: int) -> Curves:
    """Return the points along `axis` for each value of the other axis that has several."""
    points_at: Curves = defaultdict(list)
    for protocol, seeds in row.seeds.items():
        points_at[protocol[1 - axis]].append((protocol[axis], seeds))
    return {
        fixed: sorted(points, key=lambda p: p[0]) for fixed, points in points_at.items() if len(points) > 1
    }


def _panels(comparison: Comparison) -> list[int]:
    """List the axes (0: ways, 1: shots) along which the comparison has lines."""
    return [axis for axis in range(2) if any(_curves(row, axis) for row in comparison.rows)]


def _rows(comparison: Comparison) -> list[Configuration]:
    """List the configurations that have a line in any panel."""
    return [row for row in comparison.rows if any(_curves(row, axis) for axis in range(2))]


def _section(comparison: Comparison) -> Section:
    """Describe the figure section of one comparison."""
    names = [row.name for row in _rows(comparison)]
    return Section(comparison.title, comparison.sentence, 2.7 + legend_height(names))


def _draw(part: SubFigure, comparison: Comparison) -> None:
    """Draw the panels of one comparison."""
    rows, panels = _rows(comparison), _panels(comparison)
    for axes, axis in zip(np.atleast_1d(part.subplots(1, len(panels))), panels, strict=True):
        _panel(axes, axis, [_curves(row, axis) for row in rows])
    if len(rows) > 1:
        legend_below(part, [row.name for row in rows])


def _panel(axes: Axes, axis: int, curves_of_rows: Sequence[Curves]) -> None:
    """Draw one line per configuration and value of the other axis."""
    at_most("ways-shots", "lines in a panel", sum(map(len, curves_of_rows)), MOST_LINES)
    values = sorted({value for curves in curves_of_rows for points in curves.values() for value, _ in points})
    fixed = sorted({number for curves in curves_of_rows for number in curves})
    ends: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    (name, word), other = AXES[axis], AXES[1 - axis][1]
    for row, curves in enumerate(curves_of_rows):
        for number, points in curves.items():
            x = [value for value, _ in points]
            mean, low, high = np.transpose([labels.mean_and_range(seeds) for _, seeds in points])
            axes.plot(x, mean, linestyle=DASHES[fixed.index(number) % len(DASHES)], **mark(row))
            axes.fill_between(x, low, high, color=mark(row)["color"], alpha=0.2, linewidth=0)
            ends[f"{number}-{other}"][x[-1]].append(mean[-1])
    ticks_at(axes, values)
    if len(fixed) > 1:
        label_ends(axes, {text: heights[max(heights)] for text, heights in ends.items()})  # the longest lines
    kind = f"{fixed[0]}-{other} accuracy" if len(fixed) == 1 else "accuracy"
    axes.set(
        xlabel=f"{name} ({'classes' if word == 'way' else 'support images per class'})", ylabel=f"{kind}, %"
    )
    axes.grid(alpha=0.3)
