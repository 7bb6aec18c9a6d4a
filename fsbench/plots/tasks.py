"""How accuracy is spread over tasks, which a mean and its interval do not show."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench.errors import FsbenchError
from fsbench.leaderboard.rows import Protocol
from fsbench.leaderboard.tables import Cell, Table, tables
from fsbench.plots import words
from fsbench.plots.page import DASHES, Section, at_most, mark, page
from fsbench.results import Result

MOST_PANELS, MOST_LINES = 6, 8


def task_accuracies(results: Sequence[Result]) -> Figure:
    """The share of tasks up to each accuracy, a line a result, a panel a protocol; a section a data set.

    Raises:
        FsbenchError: no results, more than 6 panels, or more than 8 results in one.
    """
    found = tables(results)
    if not found:
        raise FsbenchError("task-accuracies: there are no results")
    at_most("task-accuracies", "panels", sum(len(table.columns) for table in found), MOST_PANELS)
    high = [-(-len(table.columns) // 2) for table in found]
    sections = [
        Section(table.heading, _caption(table), 3.2 * rows + 0.3)
        for table, rows in zip(found, high, strict=True)
    ]
    figure, parts = page(sections)
    for part, table, rows in zip(parts, found, high, strict=True):
        grid = part.subplots(rows, min(len(table.columns), 2), squeeze=False)
        for axes, protocol in zip(grid.flat, table.columns, strict=False):
            _panel(axes, table, protocol)
        for axes in grid.flat[len(table.columns) :]:
            axes.remove()
    return figure


def _caption(table: Table) -> str:
    return (
        "A line passes (x, y) when y % of the tasks are solved with an accuracy of at most x %: the further "
        f"right, the better; the steeper, the more alike the tasks. {words.common(table.lines)}"
        f"{words.interval(table.results, 'Mean ± in the legend')}"
    )


def _panel(axes: Axes, table: Table, protocol: Protocol) -> None:
    lines = [line for line in table.lines if isinstance(line.cells.get(protocol), Cell)]
    at_most("task-accuracies", "results in a panel", len(lines), MOST_LINES)
    for number, (line, name) in enumerate(zip(lines, words.labels(lines), strict=True)):
        cell = line.cells[protocol]
        assert isinstance(cell, Cell)
        values, counts = np.unique(cell.result.accuracies, return_counts=True)
        share = 100 * counts.cumsum() / counts.sum()
        axes.plot(
            100 * values,
            share,
            drawstyle="steps-post",
            linestyle=DASHES[number % len(DASHES)],
            markevery=max(1, len(values) // 8),
            label=f"{name}: {table.text(cell)}",
            **mark(number),
        )
    n_way, n_shot = protocol
    axes.set(
        xlabel=f"{n_way}-way {n_shot}-shot accuracy of a task, %", ylabel="tasks up to it, %", ylim=(0, 100)
    )
    axes.legend(fontsize="x-small", loc="upper left")
    axes.grid(alpha=0.3)
