"""The leaderboard as one picture: a row per configuration, with what its intervals cover, per data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.configurations import Accuracy
from fsbench.report.leaderboard.published import Published, beside, quotations
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.plots import labels
from fsbench.report.plots.labels import Comparison, Seeds
from fsbench.report.plots.marks import mark_numbers
from fsbench.report.plots.page import COLOURS, Section, legend_below, legend_height, mark, page
from fsbench.report.plots.selection import EVERYTHING, Selection, select, trained_first

COLUMNS = ((5, 1), (5, 5))  # protocols side by side; other ones only if there are none of these
ROW = 0.21  # inches
MARKS: Mapping[str, dict[str, Any]] = {
    "mean over training seeds": {
        "marker": "o", "markersize": 5, "linestyle": "", "markeredgecolor": "w", "markeredgewidth": 0.6,
    },
    "one training seed": {"marker": "|", "markersize": 8, "linestyle": "", "color": "0.35"},
    "95 % interval over tasks": {"linewidth": 4.5, "alpha": 0.45, "solid_capstyle": "butt"},
    "95 % interval over new classes": {"linewidth": 1.2},
    "published with this backbone: median and range": {
        "marker": "o", "markersize": 5, "linewidth": 0.8, "markerfacecolor": "w", "color": "0.55",
    },
}  # fmt: skip
MEAN, SEED, TASKS, CLASSES, PUBLISHED = MARKS


def leaderboard(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot one row per configuration: mean over training seeds (or the only one), each seed, both intervals.

    One row of panels per comparison, one column per protocol. Networks that fsbench did not train are left
    out if there are others.

    Raises:
        FsbenchError: There are no results, or too many for one figure.
    """
    trained, left_out = trained_first(results, selection)
    kept, note = select(trained, selection)
    shown = labels.comparisons(kept)
    if not shown:
        raise FsbenchError("leaderboard: there are no results")
    every = sorted({protocol for comparison in shown for protocol in comparison.columns})
    columns = [protocol for protocol in COLUMNS if protocol in every] or every[: len(COLUMNS)]
    references = [_references(comparison, columns) for comparison in shown]
    sizes = [len(each.rows) + bool(rows) + 0.4 for each, rows in zip(shown, references, strict=True)]
    points = [seeds for comparison in shown for row in comparison.rows for seeds in row.seeds.values()]
    legend = [MEAN, *[SEED] * any(len(seeds) > 1 for seeds in points), TASKS, CLASSES]
    legend += [PUBLISHED] * any(references)
    height = sum(ROW * size + 0.6 for size in sizes) + legend_height(legend)
    section = Section(
        labels.of_all(kept),
        _caption(points, any(references)) + left_out + note,
        height,
    )
    figure, (part,) = page([section])
    panels = part.subplots(len(shown), len(columns), squeeze=False, sharey="row", height_ratios=sizes)
    marks = mark_numbers((row.recipe, row.recipe) for comparison in shown for row in comparison.rows)
    for row, comparison, published, title in zip(
        panels, shown, references, labels.titles(shown), strict=True
    ):
        for axes, protocol in zip(row, columns, strict=True):
            _panel(axes, comparison, published, protocol, marks)
        row[0].set_title(title, loc="left", fontsize="medium", fontweight="bold")
        row[-1].set_title(comparison.common, loc="right", fontsize="small", color="0.35")
    handles = [Line2D([], [], **{"color": COLOURS[0], **MARKS[name]}) for name in legend]
    legend_below(part, legend, handles)
    return figure


def _caption(points: Sequence[Seeds], published: bool) -> str:
    """Explain means and intervals."""
    n_seeds = labels.numbers([len(seeds) for seeds in points], "training seed")
    n_tasks = labels.numbers([result.spec.n_tasks for seeds in points for result in seeds], "task")
    quoted = (
        "Published: median, lowest and highest accuracy of the inductive results of papers with the same "
        "backbone and data sets, from other trainings and other tasks; some of these methods use further "
        "information, such as class names. "
    )
    return (
        f"Means over {n_seeds} and {n_tasks}. An interval over new classes covers other "
        "classes and their images, but not training seeds. Rows of one data set share their classes, so "
        f"intervals of their differences are narrower (fsbench compare). {quoted if published else ''}"
    )


def _references(comparison: Comparison, columns: Sequence[Protocol]) -> list[Published]:
    """List the published inductive rows of the same backbone and data sets that have all columns."""
    return [
        row
        for quoted in beside(quotations(), [comparison.table]).values()
        for row in quoted.rows
        if row.setting == "inductive" and set(columns) <= row.accuracies.keys()
    ]


def _panel(
    axes: Axes,
    comparison: Comparison,
    references: Sequence[Published],
    protocol: Protocol,
    marks: Mapping[str, int],
) -> None:
    """Draw the rows of one comparison for one protocol, the first row on top, and their numbers beside."""
    names = [*comparison.names, *[f"median of {len(references)} published"] * bool(references)]
    values = []
    for y, row in enumerate(comparison.rows):
        seeds = row.seeds.get(protocol, ())
        if not seeds:
            continue
        mean = float(np.mean([100 * result.outcome.accuracy for result in seeds]))
        colour = mark(marks[row.recipe])["color"]
        measured = Accuracy(seeds, None)
        for name, width in ((CLASSES, measured.over_classes), (TASKS, measured.over_tasks)):
            if width is not None:
                half = 100 * width
                axes.plot([mean - half, mean + half], [y, y], color=colour, **MARKS[name])
        if len(seeds) > 1:
            axes.plot([100 * r.outcome.accuracy for r in seeds], [y] * len(seeds), zorder=3, **MARKS[SEED])
        axes.plot(mean, y, zorder=4, color=colour, **MARKS[MEAN])
        values.append((y, mean))
    if references:
        y, percents = len(comparison.rows), [row.percent(protocol) for row in references]
        median = float(np.median(percents))
        axes.plot([min(percents), median, max(percents)], [y] * 3, markevery=[1], **MARKS[PUBLISHED])
        values.append((y, median))
    for y, mean in values:
        axes.annotate(
            f"{mean:.1f}",
            (1, y),
            (4, 0),
            ("axes fraction", "data"),
            "offset points",
            va="center",
            fontsize="small",
        )
    n_way, n_shot = protocol
    axes.set_xlabel(f"{n_way}-way {n_shot}-shot", fontsize="small", labelpad=1)
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize="small")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
