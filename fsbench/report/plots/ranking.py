"""The leaderboard as one picture: a row per configuration, with what its intervals cover, per data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.grouping import first_distinct
from fsbench.report.leaderboard import wording
from fsbench.report.leaderboard.published import Published, beside, quotations
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.plots import labels
from fsbench.report.plots.labels import Comparison, Seeds
from fsbench.report.plots.page import COLOURS, Section, legend_below, legend_height, page
from fsbench.report.plots.selection import EVERYTHING, Selection, select
from fsbench.stats import mean_and_half_width

COLUMNS = ((5, 1), (5, 5))  # protocols side by side; other ones only if there are none of these
ROW = 0.21  # inches
MARKS: Mapping[str, dict[str, Any]] = {
    "mean": {"marker": "o", "markersize": 5, "linestyle": "", "markeredgecolor": "w", "markeredgewidth": 0.6},
    "one training seed": {"marker": "|", "markersize": 8, "linestyle": "", "color": "0.35"},
    "95 % interval over tasks": {"linewidth": 4.5, "alpha": 0.45, "solid_capstyle": "butt"},
    "95 % interval over new classes": {"linewidth": 1.2},
    "published, same backbone": {
        "marker": "o", "markersize": 5, "linestyle": "", "markerfacecolor": "w", "color": "0.35",
    },
}  # fmt: skip
MEAN, SEED, TASKS, CLASSES, PUBLISHED = MARKS


def leaderboard(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot one row per configuration: mean over training seeds, each seed, and both intervals.

    One row of panels per comparison, one column per protocol. Networks that fsbench did not train are left
    out if there are others.

    Raises:
        FsbenchError: There are no results, or too many for one figure.
    """
    trained = [result for result in results if result.model.recipe]
    if selection.recipe or not trained:
        trained = list(results)
    kept, note = select(trained, selection)
    shown = labels.comparisons(kept)
    if not shown:
        raise FsbenchError("leaderboard: there are no results")
    every = sorted({protocol for comparison in shown for protocol in comparison.columns})
    columns = [protocol for protocol in COLUMNS if protocol in every] or every[: len(COLUMNS)]
    references = [_references(comparison, columns) for comparison in shown]
    sizes = [len(each.rows) + len(rows) + 0.4 for each, rows in zip(shown, references, strict=True)]
    points = [seeds for comparison in shown for row in comparison.rows for seeds in row.seeds.values()]
    pretrained = "Not drawn: networks that fsbench did not train. " if len(trained) < len(results) else ""
    marks = [MEAN, *[SEED] * any(len(seeds) > 1 for seeds in points), TASKS, CLASSES]
    marks += [PUBLISHED] * any(references)
    height = sum(ROW * size + 0.6 for size in sizes) + legend_height(marks)
    heads = ", ".join(sorted({wording.head(result) for result in kept}))
    splits = ", ".join(sorted({result.data.split for result in kept}))
    section = Section(
        f"Few-shot accuracy in %, {splits} classes, head {heads}",
        _caption(points, any(references)) + pretrained + note,
        height,
    )
    figure, (part,) = page([section])
    panels = part.subplots(len(shown), len(columns), squeeze=False, sharey="row", height_ratios=sizes)
    recipes = sorted({labels.recipe(result.model) for result in kept}, key=lambda name: (name != "erm", name))
    for row, comparison, published, title in zip(panels, shown, references, _titles(shown), strict=True):
        for axes, protocol in zip(row, columns, strict=True):
            _panel(axes, comparison, published, protocol, recipes)
        row[0].set_title(title, loc="left", fontsize="medium", fontweight="bold")
        row[-1].set_title(comparison.common, loc="right", fontsize="small", color="0.35")
    handles = [Line2D([], [], **{"color": COLOURS[0], **MARKS[name]}) for name in marks]
    legend_below(part, marks, handles)
    return figure


def _caption(points: Sequence[Seeds], published: bool) -> str:
    """Explain means and intervals."""
    n_seeds = labels.numbers([len(seeds) for seeds in points], "training seed")
    n_tasks = labels.numbers([result.spec.n_tasks for seeds in points for result in seeds], "task")
    quoted = (
        "Published: the inductive method with the highest, the median and the lowest accuracy in the left "
        "column, from other trainings and other tasks. "
    )
    return (
        f"Means over {n_seeds} and {n_tasks}. An interval over new classes covers other "
        "classes and their images, but not training seeds. Rows of one data set share their classes, so "
        f"intervals of their differences are narrower (fsbench compare). {quoted if published else ''}"
    )


def _titles(shown: Sequence[Comparison]) -> Sequence[str]:
    """Name the comparisons by their data sets if these differ, otherwise with more details."""
    firsts = [comparison.table.results[0] for comparison in shown]
    short = [labels.pair(first.model.source, first.data.dataset) for first in firsts]
    sized = [f"{text}, {first.model.image_size} px" for text, first in zip(short, firsts, strict=True)]
    full = [comparison.table.heading for comparison in shown]
    return first_distinct([short, sized, full]) or full


def _references(comparison: Comparison, columns: Sequence[Protocol]) -> list[Published]:
    """List the highest, the median and the lowest published row of the same backbone and data sets."""
    rows = [
        row
        for quoted in beside(quotations(), [comparison.table]).values()
        for row in quoted.rows
        if row.setting == "inductive" and set(columns) <= row.accuracies.keys()
    ]
    rows.sort(key=lambda row: _percent(row, columns[0]), reverse=True)
    return [rows[i] for i in sorted({0, len(rows) // 2, len(rows) - 1})] if rows else []


def _percent(published: Published, protocol: Protocol) -> float:
    """Return an accuracy in %, which is printed with or without ±."""
    return float(published.accuracies[protocol].split("±")[0])


def _panel(
    axes: Axes,
    comparison: Comparison,
    references: Sequence[Published],
    protocol: Protocol,
    recipes: Sequence[str],
) -> None:
    """Draw the rows of one comparison for one protocol, the first row on top, and their numbers beside."""
    names = [*comparison.names, *(f"{row.method}, published" for row in references)]
    values = []
    for y, row in enumerate(comparison.rows):
        seeds = row.seeds.get(protocol, ())
        if not seeds:
            continue
        mean = float(np.mean([100 * result.outcome.accuracy for result in seeds]))
        colour = COLOURS[recipes.index(labels.recipe(seeds[0].model)) % len(COLOURS)]
        for name, half in ((CLASSES, _over_classes(seeds)), (TASKS, _over_tasks(seeds))):
            if half is not None:
                axes.plot([mean - half, mean + half], [y, y], color=colour, **MARKS[name])
        if len(seeds) > 1:
            axes.plot([100 * r.outcome.accuracy for r in seeds], [y] * len(seeds), zorder=3, **MARKS[SEED])
        axes.plot(mean, y, zorder=4, color=colour, **MARKS[MEAN])
        values.append((y, mean))
    for y, published in enumerate(references, len(comparison.rows)):
        mean = _percent(published, protocol)
        axes.plot(mean, y, **MARKS[PUBLISHED])
        values.append((y, mean))
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


def _over_classes(seeds: Seeds) -> float | None:
    """Return the half width over new classes of the mean over seeds, in %; None if it is unknown."""
    values = [result.outcome.class_values for result in seeds if result.outcome.class_values is not None]
    if len(values) < len(seeds) or len({result.image_identity for result in seeds}) > 1:
        return None
    return 100 * mean_and_half_width(np.mean(values, axis=0))[1]


def _over_tasks(seeds: Seeds) -> float | None:
    """Return the half width over tasks of the mean over seeds, in %; None if their tasks differ."""
    if len({(result.task_identity, result.spec.n_tasks) for result in seeds}) > 1:
        return None
    return 100 * mean_and_half_width(np.mean([result.accuracies for result in seeds], axis=0))[1]
