"""Heat maps with the numbers in their cells: recipe by head, and source by target."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.grouping import differing, distinguishing, group_by
from fsbench.report.leaderboard import wording
from fsbench.report.leaderboard.tables import Cell, Spread, spread, tables
from fsbench.report.plots import labels
from fsbench.report.plots.page import LINE, Section, at_most, grid, n_rows, page
from fsbench.stats import mean_and_half_width

MOST = 12  # panels
SEEDS = "Below a mean over training seeds: the lowest and the highest seed."
Number = tuple[float, str]  # accuracy, 0..1, and its text: ± is over tasks, a range is over seeds
Panels = Mapping[str, Mapping[tuple[str, str], Number]]  # by title, then by names of row and column
Grid = tuple[Sequence[str], Sequence[str], Panels]  # names of rows and columns, panels
Images = tuple[str, str]  # name of a data set and fingerprint


def recipe_by_head(results: Sequence[Result]) -> Figure:
    """Plot the accuracy of each recipe (rows) with each head (columns).

    One panel per protocol, one section per table of comparable results.

    Raises:
        FsbenchError: There are no results, or more than 12 panels.
    """
    comparable = tables(results)
    if not comparable:
        raise FsbenchError("recipe-head: there are no results")
    at_most("recipe-head", "panels", sum(len(table.columns) for table in comparable), MOST)
    sections, grids = [], []
    for table in comparable:
        rows = labels.labels(table.lines, without=("head",))
        heads = sorted({line.named["head"] for line in table.lines})
        panels: dict[str, dict[tuple[str, str], Number]] = {}
        for way, shot in table.columns:
            panels[f"{way}-way {shot}-shot accuracy, %"] = {
                (row, line.named["head"]): _number(line.cells[way, shot])
                for row, line in zip(rows, table.lines, strict=True)
                if (way, shot) in line.cells
            }
        grids.append((list(dict.fromkeys(rows)), heads, panels))
        caption = labels.common(table.lines) + labels.interval(table.results, "±")
        if any(line.n_seeds > 1 for line in table.lines):
            caption += f" {SEEDS}"
        sections.append((table.heading, caption))
    return _draw(sections, grids, x_label="head", y_label="")


def cross_domain(results: Sequence[Result], head: str | None = None) -> Figure:
    """Plot accuracy on each target (columns) of backbones trained on each source (rows).

    One panel per recipe, one section per protocol with several pairs. All numbers of a panel have the same
    head: `head` if given, otherwise the one with most cells and, of these, the highest mean. Heads that use
    class counts are shown only if there is no other. A cell of several training seeds shows their mean, with
    the lowest and the highest seed.

    Raises:
        FsbenchError: No protocol has two pairs of source and target, a cell has two results of one seed, or
            there are more than 12 panels.
    """
    of_head = [result for result in results if result.model.source and head in (None, result.head.name)]
    pairs = {(result.model.source, result.data.dataset) for result in of_head}
    if len(pairs) < 2:
        of = f" of head {head}" if head else ""
        raise FsbenchError(
            f"cross-domain: results{of} need two pairs of source and target, have {len(pairs)}"
        )
    questions = [
        same for same in group_by(of_head, _question).values() if len({_pair(result) for result in same}) > 1
    ]
    if not questions:
        raise FsbenchError("cross-domain: no two pairs of source and target answer the same question")
    sections, grids = zip(*map(_matrices, questions), strict=True)
    at_most("cross-domain", "panels", sum(len(panels) for *_, panels in grids), MOST)
    y_label = "source: trained on"
    return _draw(sections, grids, x_label="target: tasks from", y_label=y_label, one_scale=True)


def _question(result: Result) -> Hashable:
    """Return the values, other than images, that are equal for all results of a matrix."""
    spec = replace(result.spec, n_tasks=2, seed=0)
    return spec, result.task.sampler, result.data.split, result.model.per_class, result.model.image_size


def _matrices(same_question: Sequence[Result]) -> tuple[tuple[str, str], Grid]:
    """Return title and caption, and one matrix per recipe, of the results for one protocol."""
    source, target = _names(map(_source, same_question)), _names(map(_target, same_question))
    best_heads = [_best_head(results) for results in group_by(same_question, _recipe).values()]
    details = [_details(results[0]) for results in best_heads]
    differences = differing(details)
    panels = {}
    several_seeds = False
    for results, texts in zip(best_heads, details, strict=True):
        cells: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for result in results:
            cells[source[_source(result)], target[_target(result)]].append(result)
        title = "\n".join(text for name, text in texts.items() if text and name in differences)
        panels[title] = {pair: _over_seeds(cell) for pair, cell in cells.items()}
        several_seeds |= any(len({result.model.train_seed for result in cell}) > 1 for cell in cells.values())
    first = same_question[0]
    size = f", {first.model.image_size} px" if first.model.image_size else ""
    drawn = ", synthetic images" if any(result.data.synthetic for result in same_question) else ""
    protocol = f"{first.spec.n_way}-way {first.spec.n_shot}-shot"
    title = f"{protocol} accuracy in %, {first.data.split} classes{size}{drawn}"
    common = ", ".join(text for name, text in details[0].items() if text and name not in differences)
    shown = [result for results in best_heads for result in results]
    epochs = sorted({f"{source[_source(result)]} {wording.epochs(result.model)}" for result in shown})
    caption = f"The same for all: {common}. " if common else ""
    caption += f"Epochs by source: {', '.join(epochs)}. {labels.interval(shown, '±')}"
    if several_seeds:
        caption += f" {SEEDS}"
    return (title, caption), (list(source.values()), list(target.values()), panels)


def _draw(
    texts: Sequence[tuple[str, str]],
    grids: Sequence[Grid],
    x_label: str,
    y_label: str,
    one_scale: bool = False,
) -> Figure:
    """Draw one section per grid, with as many panels side by side as are readable.

    With `one_scale`, the panels of a grid share their colour scale.
    """
    shapes = []
    for rows, columns, panels in grids:
        n_columns = max(1, min(len(panels), 7 // len(columns)))
        shapes.append((n_columns, n_rows(len(panels), n_columns) * (0.4 * len(rows) + 0.8)))
    figure, parts = page(
        [
            Section(title, caption, height + 0.3)
            for (title, caption), (_, height) in zip(texts, shapes, strict=True)
        ]
    )
    for part, (rows, columns, panels), (n_columns, _) in zip(parts, grids, shapes, strict=True):
        crowded = max(map(len, rows)) + n_columns * sum(len(name) + 2 for name in columns) > LINE
        shared = [mean for numbers in panels.values() for mean, _ in numbers.values()] if one_scale else []
        all_axes = grid(part, len(panels), n_columns, sharey=True)
        for axes, (title, numbers) in zip(all_axes, panels.items(), strict=True):
            _heat(axes, rows, columns, numbers, shared or [mean for mean, _ in numbers.values()])
            axes.tick_params(axis="x", rotation=20 if crowded else 0)
            axes.set_title(title, fontsize="medium")
        part.supylabel(y_label, fontsize="medium")
        part.supxlabel(x_label, fontsize="medium")
    return figure


def _heat(
    axes: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    numbers: Mapping[tuple[str, str], Number],
    scale: Sequence[float],
) -> None:
    """Draw a heat map with the numbers in its cells, darker for higher values of `scale`."""
    means = np.array(
        [[100 * numbers.get((row, column), (np.nan, "-"))[0] for column in columns] for row in rows]
    )
    low, high = 100 * min(scale), 100 * max(scale)
    span = max(high - low, 1.0)
    # Only the light half of the colours, so that black text is easy to read.
    axes.imshow(means, cmap="Blues", vmin=low - 0.1 * span, vmax=high + span, aspect="auto")
    for i, j in np.ndindex(means.shape):
        text = numbers.get((rows[i], columns[j]), (0, "-"))[1]
        axes.text(j, i, text, ha="center", va="center", fontsize="small")
    axes.set_xticks(range(len(columns)), columns, fontsize="small")
    axes.set_yticks(range(len(rows)), rows, fontsize="small")
    axes.tick_params(length=0)


def _number(cell: Cell | Spread) -> Number:
    if isinstance(cell, Spread):
        return cell.mean, f"{100 * cell.mean:.2f}\n{100 * cell.lowest:.2f}-{100 * cell.highest:.2f}"
    return _of_tasks(cell.result.outcome.accuracy, cell.half_width)


def _of_tasks(mean: float, half_width: float) -> Number:
    return mean, f"{100 * mean:.2f} ± {100 * half_width:.2f}"


def _recipe(result: Result) -> tuple[str, str, str]:
    """Return backbone, recipe and overrides without epochs, which may differ between sources."""
    changes = labels.without_epochs(result.model.overrides or "")
    return result.model.backbone or "", wording.recipe(result.model) if result.model.recipe else "", changes


def _details(result: Result) -> dict[str, str]:
    """Return texts that may distinguish the panels of a matrix."""
    backbone, recipe, changes = _recipe(result)
    return {"backbone": backbone, "recipe": recipe, "changes": changes, "head": wording.head(result)}


def _best_head(recipe_results: Sequence[Result]) -> list[Result]:
    """Select the results of one head: without class counts if possible, then by cells and mean accuracy."""

    def preference(results: Sequence[Result]) -> tuple[bool, int, float]:
        cells = {_pair(result) for result in results}
        return (
            not results[0].head.class_prior,
            len(cells),
            float(np.mean([result.outcome.accuracy for result in results])),
        )

    return max(group_by(recipe_results, wording.head).values(), key=preference)


def _over_seeds(cell: Sequence[Result]) -> Number:
    """Return the single result or the mean over training seeds; of each seed, the result with most tasks."""
    most = max(result.spec.n_tasks for result in cell)
    kept = [result for result in cell if result.spec.n_tasks == most]
    if len({result.model.train_seed for result in kept}) < len(kept):
        paths = " and ".join(result.path.as_posix() for result in kept[:2])
        raise FsbenchError(f"cross-domain: {paths} would share a cell; pass only one of them")
    if len(kept) == 1:
        return _of_tasks(*mean_and_half_width(kept[0].accuracies))
    return _number(spread(kept))


def _source(result: Result) -> Images:
    return result.model.source or "", result.model.source_fingerprint or "unknown"


def _target(result: Result) -> Images:
    return result.data.dataset, result.data.fingerprint or "unknown"


def _pair(result: Result) -> tuple[Images, Images]:
    return _source(result), _target(result)


def _names(images: Iterable[Images]) -> dict[Images, str]:
    """Name each source or target; names that occur twice get a fingerprint."""
    keys = sorted(set(images))
    extras = distinguishing(
        [name for name, _ in keys], [{"images": fingerprint[:8]} for _, fingerprint in keys]
    )
    return {key: " ".join([key[0], *extra]) for key, extra in zip(keys, extras, strict=True)}
