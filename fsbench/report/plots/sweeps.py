"""Accuracy against ways and against shots."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.tables import Cell, Line, Table, tables
from fsbench.report.plots import labels
from fsbench.report.plots.page import (
    DASHES,
    Section,
    at_most,
    label_ends,
    legend_below,
    legend_height,
    mark,
    page,
    ticks_at,
)

AXES = (("n_way", "way"), ("n_shot", "shot"))
MOST = 24  # lines in a panel
Curve = list[tuple[int, Cell]]


def ways_and_shots(results: Sequence[Result]) -> Figure:
    """Plot accuracy against n_way, one line per checkpoint, head and n_shot, and the same against n_shot.

    Comparable results share a panel. A line needs two points; tables without a line are left out.

    Raises:
        FsbenchError: There is no line, or there are more than 24 in a panel.
    """
    shown = [table for table in tables(results) if _panels(table)]
    if not shown:
        raise FsbenchError("ways-shots: no checkpoint and head has results for several ways or several shots")
    figure, parts = page([_section(table) for table in shown])
    for part, table in zip(parts, shown, strict=True):
        _draw(part, table)
    return figure


def _lines(table: Table) -> list[Line]:
    """List single checkpoints by name; means over seeds have another kind of interval."""
    return sorted(table.checkpoint_lines, key=lambda line: (*line.named.values(), line.changes))


def _curves(line: Line, axis: int) -> dict[int, Curve]:
    """Return the points along `axis` for each value of the other axis that has several."""
    points_at: dict[int, Curve] = defaultdict(list)
    for protocol, cell in line.cells.items():
        if isinstance(cell, Cell):
            points_at[protocol[1 - axis]].append((protocol[axis], cell))
    return {
        fixed: sorted(points, key=lambda p: p[0]) for fixed, points in points_at.items() if len(points) > 1
    }


def _panels(table: Table) -> list[int]:
    """List the axes (0: ways, 1: shots) along which the table has lines."""
    return [axis for axis in range(2) if any(_curves(line, axis) for line in _lines(table))]


def _section(table: Table) -> Section:
    """Describe the figure section of one table."""
    lines = _lines(table)
    cells = [cell for line in lines for cell in line.cells.values() if isinstance(cell, Cell)]
    caption = labels.common(lines) + labels.interval([cell.result for cell in cells], "Bands")
    return Section(table.heading, caption, 3.4 + legend_height(labels.labels(lines)))


def _draw(part: SubFigure, table: Table) -> None:
    """Draw the panels of one table."""
    lines, panels = _lines(table), _panels(table)
    for axes, axis in zip(np.atleast_1d(part.subplots(1, len(panels))), panels, strict=True):
        _panel(axes, axis, [_curves(line, axis) for line in lines])
    if len(lines) > 1:
        legend_below(part, labels.labels(lines))


def _panel(axes: Axes, axis: int, curves_of_rows: Sequence[dict[int, Curve]]) -> None:
    """Draw one line per row of the table and value of the other axis."""
    at_most("ways-shots", "lines in a panel", sum(map(len, curves_of_rows)), MOST)
    values = sorted({value for curves in curves_of_rows for points in curves.values() for value, _ in points})
    fixed = sorted({number for curves in curves_of_rows for number in curves})
    ends: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    (name, word), other = AXES[axis], AXES[1 - axis][1]
    for row, curves in enumerate(curves_of_rows):
        for number, points in curves.items():
            x = [value for value, _ in points]
            mean = 100 * np.array([cell.result.outcome.accuracy for _, cell in points])
            half = 100 * np.array([cell.half_width for _, cell in points])
            axes.plot(x, mean, linestyle=DASHES[fixed.index(number) % len(DASHES)], **mark(row))
            axes.fill_between(x, mean - half, mean + half, color=mark(row)["color"], alpha=0.2, linewidth=0)
            ends[f"{number}-{other}"][x[-1]].append(mean[-1])
    ticks_at(axes, values)
    label_ends(axes, {text: heights[max(heights)] for text, heights in ends.items()})  # of the longest lines
    kind = f"{fixed[0]}-{other} accuracy" if len(fixed) == 1 else "accuracy"
    axes.set(
        xlabel=f"{name} ({'classes' if word == 'way' else 'support images per class'})", ylabel=f"{kind}, %"
    )
    axes.grid(alpha=0.3)
