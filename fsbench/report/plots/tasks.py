"""How accuracy is spread over tasks, which a mean and its interval do not show."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import Cell, Line, Table, tables
from fsbench.report.plots import labels
from fsbench.report.plots.page import DASHES, Section, at_most, legend_below, mark, page

MOST_PANELS, MOST_LINES = 6, 8


def task_accuracies(results: Sequence[Result]) -> Figure:
    """Plot the share of tasks up to each accuracy: one line per result, one panel per protocol.

    Raises:
        FsbenchError: no results, more than 6 panels, or more than 8 results in one.
    """
    comparable = tables(results)
    if not comparable:
        raise FsbenchError("task-accuracies: there are no results")
    at_most("task-accuracies", "panels", sum(len(table.columns) for table in comparable), MOST_PANELS)
    high = [-(-len(table.columns) // 2) for table in comparable]
    sections = [
        Section(table.heading, _caption(table), 3.2 * rows + 0.3 + 0.2 * len(_lines(table)))
        for table, rows in zip(comparable, high, strict=True)
    ]
    figure, parts = page(sections)
    for part, table, rows in zip(parts, comparable, high, strict=True):
        grid = part.subplots(rows, min(len(table.columns), 2), squeeze=False)
        for axes, protocol in zip(grid.flat, table.columns, strict=False):
            _panel(axes, _lines(table), protocol)
        for axes in grid.flat[len(table.columns) :]:
            axes.remove()
        legend_below(part, _names(table))
    return figure


def _caption(table: Table) -> str:
    return (
        "A line shows, for each accuracy, the percentage of tasks with at most this accuracy. A line further "
        "to the right is better; on a steeper line, accuracies differ less between tasks. "
        f"{labels.common(table.lines)}{labels.interval(table.results, '± in the legend')}"
    )


def _lines(table: Table) -> list[Line]:
    """Single checkpoints: a mean over seeds has no tasks."""
    return [line for line in table.lines if line.n_seeds == 1]


def _names(table: Table) -> list[str]:
    """Each line with its mean accuracy in every panel."""
    lines = _lines(table)
    means = [
        ", ".join(
            table.text(cell) if (cell := line.cells.get(protocol)) else "-" for protocol in table.columns
        )
        for line in lines
    ]
    return [f"{name}: {text}" for name, text in zip(labels.labels(lines), means, strict=True)]


def _panel(axes: Axes, lines: Sequence[Line], protocol: Protocol) -> None:
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
