"""Accuracy against ways and against shots."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.plots import labels
from fsbench.report.plots.labels import Comparison, Configuration, Seeds
from fsbench.report.plots.marks import mark_numbers
from fsbench.report.plots.page import (
    DASHES,
    MOST_LINES,
    Section,
    at_most,
    grid,
    label_ends,
    legend_below,
    legend_height,
    mark,
    n_rows,
    page,
    ticks_at,
)
from fsbench.report.plots.selection import EVERYTHING, Selection, select, trained_first

AXES = (("n_way", "way"), ("n_shot", "shot"))
Curves = dict[int, list[tuple[int, Seeds]]]  # points by the value of the other axis


def ways_and_shots(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot accuracy against n_way, one line per configuration and n_shot, and the same against n_shot.

    Comparable results share a panel. A line needs two points; comparisons without a line are left out, and so
    are networks that fsbench did not train if there are others.

    Raises:
        FsbenchError: There is no line, or there are more than 30 in a panel.
    """
    trained, left_out = trained_first(results, selection)
    kept, note = select(trained, selection)
    shown = [comparison for comparison in labels.comparisons(kept) if _panels(comparison)]
    if not shown:
        raise FsbenchError("ways-shots: no checkpoint and head has results for several ways or several shots")
    rows = [row for comparison in shown for row in _rows(comparison)]
    marks = mark_numbers((row.recipe, row.name) for row in rows)
    titles = zip(labels.titles(shown), shown, strict=True)
    panels = [(title, comparison, axis) for title, comparison in titles for axis in _panels(comparison)]
    n_columns = min(len(panels), 2)
    legend = sorted(marks, key=marks.__getitem__) if len(marks) > 1 else []
    height = (2.5 if len(shown) == 1 else 2.9) * n_rows(len(panels), n_columns)
    caption = labels.interval([seeds for row in rows for seeds in row.seeds.values()], "Bands")
    alone = len(shown) == 1
    section = Section(
        shown[0].title if alone else labels.of_all(kept),
        (shown[0].sentence if alone else "") + caption + left_out + note,
        height + (legend_height(legend) if legend else 0),
    )
    figure, (part,) = page([section])
    for axes, (title, comparison, axis) in zip(grid(part, len(panels), n_columns), panels, strict=True):
        _panel(axes, axis, {marks[row.name]: _curves(row, axis) for row in _rows(comparison)})
        if not alone:
            above = [fill(title, 55, break_on_hyphens=False), comparison.common]
            axes.set_title("\n".join(filter(None, above)), fontsize="small")
    if legend:
        legend_below(part, legend, numbers=[marks[name] for name in legend])
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


def _panel(axes: Axes, axis: int, curves_of_marks: Mapping[int, Curves]) -> None:
    """Draw one line per configuration and value of the other axis."""
    at_most("ways-shots", "lines in a panel", sum(map(len, curves_of_marks.values())), MOST_LINES)
    values = sorted(
        {value for curves in curves_of_marks.values() for points in curves.values() for value, _ in points}
    )
    fixed = sorted({number for curves in curves_of_marks.values() for number in curves})
    ends: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    (name, word), other = AXES[axis], AXES[1 - axis][1]
    for line, curves in curves_of_marks.items():
        for number, points in curves.items():
            x = [value for value, _ in points]
            mean, low, high = np.transpose([labels.mean_and_range(seeds) for _, seeds in points])
            axes.plot(x, mean, linestyle=DASHES[fixed.index(number) % len(DASHES)], **mark(line))
            axes.fill_between(x, low, high, color=mark(line)["color"], alpha=0.2, linewidth=0)
            ends[f"{number}-{other}"][x[-1]].append(mean[-1])
    ticks_at(axes, values)
    if len(fixed) > 1:
        label_ends(axes, {text: heights[max(heights)] for text, heights in ends.items()})  # the longest lines
    kind = f"{fixed[0]}-{other} accuracy" if len(fixed) == 1 else "accuracy"
    axes.set(
        xlabel=f"{name} ({'classes' if word == 'way' else 'support images per class'})", ylabel=f"{kind}, %"
    )
    axes.grid(alpha=0.3)
