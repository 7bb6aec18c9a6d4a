"""Distribution of accuracy over tasks, which a mean and its interval do not show."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import Cell, Line, Table, tables
from fsbench.report.plots import labels
from fsbench.report.plots.page import (
    DASHES,
    Section,
    at_most,
    grid,
    legend_below,
    legend_height,
    mark,
    n_rows,
    page,
)

MOST_PANELS, MOST_LINES = 6, 8


def task_accuracies(results: Sequence[Result]) -> Figure:
    """Plot the share of tasks up to each accuracy: one line per result, one panel per protocol.

    Raises:
        FsbenchError: There are no results, more than 6 panels, or more than 8 results in a panel.
    """
    comparable = tables(results)
    if not comparable:
        raise FsbenchError("task-accuracies: there are no results")
    at_most("task-accuracies", "panels", sum(len(table.columns) for table in comparable), MOST_PANELS)
    figure, parts = page([_section(table) for table in comparable])
    for part, table in zip(parts, comparable, strict=True):
        all_axes = grid(part, len(table.columns), min(len(table.columns), 2))
        for axes, protocol in zip(all_axes, table.columns, strict=True):
            _panel(axes, table.checkpoint_lines, protocol)
        legend_below(part, _names(table))
    return figure


def _section(table: Table) -> Section:
    """Describe the figure section of one table."""
    caption = (
        "A line shows, for each accuracy, the percentage of tasks with at most this accuracy. A line further "
        "to the right is better; on a steeper line, accuracies differ less between tasks. "
        f"{labels.common(table.lines)}{labels.interval(table.results, '± in the legend')}"
    )
    height = 3.2 * n_rows(len(table.columns), 2) + 0.3 + legend_height(_names(table))
    return Section(table.heading, caption, height)


def _names(table: Table) -> list[str]:
    """Name each line, with its mean accuracy in every panel."""
    lines = table.checkpoint_lines
    means = [
        ", ".join(
            table.text(cell) if (cell := line.cells.get(protocol)) else "-" for protocol in table.columns
        )
        for line in lines
    ]
    return [f"{name}: {text}" for name, text in zip(labels.labels(lines), means, strict=True)]


def _panel(axes: Axes, lines: Sequence[Line], protocol: Protocol) -> None:
    """Draw the lines of one protocol."""
    at_most("task-accuracies", "results in a panel", len(lines), MOST_LINES)
    for number, line in enumerate(lines):
        cell = line.cells.get(protocol)
        if not isinstance(cell, Cell):
            continue
        values, counts = np.unique(cell.result.accuracies, return_counts=True)
        axes.plot(
            100 * values,
            100 * counts.cumsum() / counts.sum(),
            drawstyle="steps-post",
            linestyle=DASHES[number % len(DASHES)],
            markevery=max(1, len(values) // 8),
            **mark(number),
        )
    n_way, n_shot = protocol
    axes.set(xlabel=f"{n_way}-way {n_shot}-shot accuracy of a task, %", ylim=(0, 100))
    axes.set_ylabel("tasks with at most this accuracy, %")
    axes.grid(alpha=0.3)
