"""Distribution of accuracy over tasks, which a mean and its interval do not show."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.plots import labels
from fsbench.report.plots.labels import Comparison, Seeds
from fsbench.report.plots.marks import mark_numbers
from fsbench.report.plots.page import (
    DASHES,
    LINE,
    MOST_LINES,
    Section,
    at_most,
    grid,
    legend_below,
    legend_height,
    mark,
    n_rows,
    page,
)
from fsbench.report.plots.selection import EVERYTHING, Selection, select, trained_first

HOW_TO_READ = (
    "A line shows, for each accuracy, the percentage of tasks with at most this accuracy. A line further to "
    "the right is better; on a steeper line, accuracies differ less between tasks. "
)


def task_accuracies(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot the share of tasks up to each accuracy: one line per configuration, one panel per protocol.

    Networks that fsbench did not train are left out if there are others.

    Raises:
        FsbenchError: There are no results, more than 30 lines in a panel, or too many panels.
    """
    trained, left_out = trained_first(results, selection)
    kept, note = select(trained, selection)
    shown = labels.comparisons(kept)
    if not shown:
        raise FsbenchError("task-accuracies: there are no results")
    points = [seeds for comparison in shown for row in comparison.rows for seeds in row.seeds.values()]
    caption = labels.interval(points, "In the legend, and as bands for several seeds")
    figure, parts = page(list(map(_section, shown)), HOW_TO_READ + caption + left_out + note)
    marks = mark_numbers((row.recipe, row.name) for comparison in shown for row in comparison.rows)
    for part, comparison in zip(parts, shown, strict=True):
        at_most("task-accuracies", "lines in a panel", len(comparison.rows), MOST_LINES)
        panels = grid(part, len(comparison.columns), min(len(comparison.columns), 2))
        for axes, protocol in zip(panels, comparison.columns, strict=True):
            seeds_of_marks = {marks[row.name]: row.seeds.get(protocol, ()) for row in comparison.rows}
            _panel(axes, seeds_of_marks, protocol)
        legend_below(part, _names(comparison), numbers=[marks[name] for name in comparison.names])
    return figure


def _section(comparison: Comparison) -> Section:
    """Describe the figure section of one comparison."""
    height = 2.4 * n_rows(len(comparison.columns), 2) + legend_height(_names(comparison))
    return Section(comparison.title, comparison.sentence, height)


def _names(comparison: Comparison) -> list[str]:
    """Name each line, with its mean accuracy in every panel if these fit into a line."""
    names = [
        f"{row.name}: "
        + ", ".join(f"{way}w{shot}s {labels.number(seeds)}" for (way, shot), seeds in row.seeds.items())
        for row in comparison.rows
    ]
    return names if max(map(len, names)) < LINE - 10 else comparison.names


def _panel(axes: Axes, seeds_of_marks: Mapping[int, Seeds], protocol: Protocol) -> None:
    """Draw the lines of one protocol, each with the range of its seeds as a band."""
    for number, seeds in seeds_of_marks.items():
        if not seeds:
            continue
        values = np.unique(np.concatenate([result.accuracies for result in seeds]))
        shares = np.array(
            [100 * np.searchsorted(np.sort(r.accuracies), values, "right") / r.spec.n_tasks for r in seeds]
        )  # (seeds, values)
        axes.plot(
            100 * values,
            shares.mean(axis=0),
            drawstyle="steps-post",
            linestyle=DASHES[number % len(DASHES)],
            markevery=max(1, len(values) // 8),
            **mark(number),
        )
        if len(seeds) > 1:
            low, high = shares.min(axis=0), shares.max(axis=0)
            axes.fill_between(
                100 * values, low, high, step="post", color=mark(number)["color"], alpha=0.2, linewidth=0
            )
    n_way, n_shot = protocol
    axes.set(xlabel=f"{n_way}-way {n_shot}-shot accuracy of a task, %", ylim=(0, 100))
    axes.set_ylabel("share of tasks, %")
    axes.grid(alpha=0.3)
