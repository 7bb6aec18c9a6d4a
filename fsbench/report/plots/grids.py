"""Heat maps with the numbers in their cells: recipe by head, and source by target."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.grouping import distinguishing, group_by
from fsbench.report.leaderboard import wording
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.plots import labels
from fsbench.report.plots.labels import Seeds
from fsbench.report.plots.page import LINE, Section, grid, n_rows, page
from fsbench.report.plots.selection import EVERYTHING, Selection, select

SHOWN_AS = "Below the mean, or after ±"
WIDEST = 7  # cells side by side


@dataclass(frozen=True)
class Panel:
    """One heat map.

    Attributes:
        protocol: Protocol, such as "5-way 1-shot"; panels of one protocol share their colour scale.
        title: Title below the protocol; may be empty.
        cells: Results by names of row and column.
    """

    protocol: str
    title: str
    cells: Mapping[tuple[str, str], Seeds]


@dataclass(frozen=True)
class Matrix:
    """Heat maps with the same rows and columns, in one section of the figure.

    Attributes:
        title: Title of the section.
        caption: Its first sentences.
        rows: Names of the rows.
        columns: Names of the columns.
        panels: The heat maps.
    """

    title: str
    caption: str
    rows: Sequence[str]
    columns: Sequence[str]
    panels: Sequence[Panel]


def recipe_by_head(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot the accuracy of each recipe (rows) with each head (columns).

    One panel per protocol, one section per comparison.

    Raises:
        FsbenchError: There are no results, or too many for one figure.
    """
    kept, note = select(results, selection, one_head=False)
    matrices = []
    for comparison in labels.comparisons(kept, without=["head"]):
        cells: dict[Protocol, dict[tuple[str, str], Seeds]] = {column: {} for column in comparison.columns}
        for row in comparison.rows:
            for protocol, seeds in row.seeds.items():
                cells[protocol][row.name, wording.head(seeds[0])] = seeds
        panels = [Panel(_protocol(*protocol), "", panel) for protocol, panel in cells.items()]
        heads = sorted({head for panel in panels for _, head in panel.cells})
        names = list(dict.fromkeys(comparison.names))
        matrices.append(Matrix(comparison.title, comparison.sentence, names, heads, panels))
    if not matrices:
        raise FsbenchError("recipe-head: there are no results")
    return _draw(matrices, note)


def cross_domain(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot accuracy on each target of backbones trained on each source.

    With several sources, there is one panel per protocol and recipe: rows are sources and columns targets.
    With one source, there is one panel per protocol: rows are recipes and columns targets. Protocols with
    only one pair of source and target are left out.

    Raises:
        FsbenchError: No protocol has two pairs of source and target, a cell has two results of one seed, or
            there are too many for one figure.
    """
    kept, note = select([result for result in results if result.model.source], selection)
    n_pairs = len(set(map(_pair, kept)))
    if n_pairs < 2:
        raise FsbenchError(f"cross-domain: results need two pairs of source and target, have {n_pairs}")
    wide = [
        same
        for same in group_by(kept, lambda r: (_question(r), r.spec.n_way, r.spec.n_shot)).values()
        if len(set(map(_pair, same))) > 1
    ]
    if not wide:
        raise FsbenchError("cross-domain: no two pairs of source and target answer the same question")
    questions = group_by([result for same in wide for result in same], _question).values()
    return _draw([_matrix(results) for results in questions], note)


def _question(result: Result) -> Hashable:
    """Return the values, other than images, ways and shots, that are equal for all results of a section."""
    spec = replace(result.spec, n_way=2, n_shot=result.spec.least_shot or 1, n_tasks=2, seed=0)
    return spec, result.task.sampler, result.data.split, result.model.per_class, result.model.image_size


def _matrix(results: Sequence[Result]) -> Matrix:
    """Return the section of the results for one question."""
    sources, targets = _images(map(_source, results)), _images(map(_target, results))
    recipes = _recipes(results)
    several = len(sources) > 1
    if not several:
        ((source, _),) = sources
        for name, fingerprint in targets:  # with the source as part of the name
            text = targets[name, fingerprint].removeprefix(labels.data_set(name))
            targets[name, fingerprint] = labels.pair(source, name) + text
        targets = dict(sorted(targets.items(), key=lambda item: item[0][0] != source))
    panels: dict[tuple[str, str], dict[tuple[str, str], list[Result]]] = {}
    for result in sorted(results, key=lambda r: (r.spec.n_way, r.spec.n_shot, recipes[_recipe(r)])):
        protocol, recipe = _protocol(result.spec.n_way, result.spec.n_shot), recipes[_recipe(result)]
        panel, row = ((protocol, recipe), sources[_source(result)]) if several else ((protocol, ""), recipe)
        cells = panels.setdefault(panel, {})
        cells.setdefault((row, targets[_target(result)]), []).append(result)
    for seeds in (seeds for cells in panels.values() for seeds in cells.values()):
        if len({result.model.train_seed for result in seeds}) < len(seeds):
            paths = " and ".join(result.path.as_posix() for result in seeds[:2])
            raise FsbenchError(f"cross-domain: {paths} would share a cell; pass only one of them")
    first = results[0]
    drawn = ["synthetic images"] * any(result.data.synthetic for result in results)
    size = [f"{first.model.image_size} px"] if first.model.image_size else []
    heads = sorted(set(map(wording.head, results)))
    trained = "source (rows) and target" if several else f"trained on {next(iter(sources.values()))}"
    title = ", ".join([trained, *size, f"{first.data.split} classes", *drawn, f"head {', '.join(heads)}"])
    epochs = sorted({f"{sources[_source(r)]} {r.model.epochs}" for r in results if r.model.epochs})
    caption = f"Epochs of training: {', '.join(epochs)}. " if epochs else ""
    return Matrix(
        title[0].upper() + title[1:],
        caption,
        list((sources if several else recipes).values()),
        list(targets.values()),
        [Panel(protocol, name, cells) for (protocol, name), cells in panels.items()],
    )


def _draw(matrices: Sequence[Matrix], note: str) -> Figure:
    """Draw one section per matrix, with as many panels side by side as are readable."""
    sections, widths = [], []
    for matrix in matrices:
        n_columns = max(1, min(len(matrix.panels), WIDEST // len(matrix.columns)))
        names, slanted = _tick_names(matrix, n_columns)
        below = (
            max(0.9, 0.034 * max(map(len, names)))
            if slanted
            else 0.15 * max(1 + name.count("\n") for name in names)
        )
        height = n_rows(len(matrix.panels), n_columns) * (0.38 * len(matrix.rows) + 0.5 + below)
        sections.append(Section(matrix.title, matrix.caption, height))
        widths.append(n_columns)
    points = [seeds for matrix in matrices for panel in matrix.panels for seeds in panel.cells.values()]
    figure, parts = page(sections, labels.interval(points, SHOWN_AS) + note)
    for part, matrix, n_columns in zip(parts, matrices, widths, strict=True):
        panels = grid(part, len(matrix.panels), n_columns, sharey=True)
        for axes, panel in zip(panels, matrix.panels, strict=True):
            same = [other.cells.values() for other in matrix.panels if other.protocol == panel.protocol]
            scale = [labels.mean_and_range(seeds)[0] for cells in same for seeds in cells]
            _heat(axes, matrix, panel, (min(scale), max(scale)), n_columns)
            names, slanted = _tick_names(matrix, n_columns)
            axes.set_xticks(range(len(names)), names, fontsize="small")
            if slanted:
                for label in axes.get_xticklabels():
                    label.set(rotation=25, ha="right", rotation_mode="anchor")
    return figure


def _tick_names(matrix: Matrix, n_columns: int) -> tuple[list[str], bool]:
    """Wrap the names of columns to the width of a cell, and say whether they must be slanted instead."""
    width = _cell_width(matrix, n_columns)
    slanted = any(len(word) > width for name in matrix.columns for word in name.split())
    return [
        name if slanted else fill(name, max(width, 1), break_on_hyphens=False) for name in matrix.columns
    ], slanted


def _cell_width(matrix: Matrix, n_columns: int) -> int:
    """Return how many characters fit into a cell."""
    return (LINE - 15 - max(map(len, matrix.rows))) // (n_columns * len(matrix.columns)) - 2


def _heat(axes: Axes, matrix: Matrix, panel: Panel, scale: tuple[float, float], n_columns: int) -> None:
    """Draw a heat map with the numbers in its cells, darker for higher values of `scale`."""
    between = " ±" if _cell_width(matrix, n_columns) >= len("12.34 ± 0.56") else "\n±"
    means = np.full((len(matrix.rows), len(matrix.columns)), np.nan)
    for i, j in np.ndindex(means.shape):
        seeds = panel.cells.get((matrix.rows[i], matrix.columns[j]))
        if seeds:
            means[i, j] = labels.mean_and_range(seeds)[0]
        axes.text(
            j,
            i,
            labels.number(seeds, "{:.2f}\n{:.2f}-{:.2f}").replace(" ±", between) if seeds else "-",
            ha="center",
            va="center",
            fontsize="small",
        )
    low, high = scale
    span = max(high - low, 1.0)
    # Only the light half of the colours, so that black text is easy to read.
    axes.imshow(means, cmap="Blues", vmin=low - 0.1 * span, vmax=high + span, aspect="auto")
    axes.set_yticks(range(len(matrix.rows)), matrix.rows, fontsize="small")
    axes.tick_params(length=0)
    axes.set_title("\n".join(filter(None, [f"{panel.protocol} accuracy, %", panel.title])), fontsize="medium")


def _protocol(n_way: int, n_shot: int) -> str:
    return f"{n_way}-way {n_shot}-shot"


def _recipe(result: Result) -> tuple[str, ...]:
    """Return the texts that may distinguish recipes; epochs may differ between sources."""
    model = result.model
    changes = wording.without_epochs(model.overrides or "")
    network = model.backbone if model.recipe else ""  # otherwise, the backbone is the name
    return labels.recipe(model), network or "", model.preset or "", changes, wording.head(result)


def _recipes(results: Sequence[Result]) -> dict[tuple[str, ...], str]:
    """Name each recipe, with what differs between recipes."""
    keys = sorted(set(map(_recipe, results)))
    differ = [len({key[part] for key in keys}) > 1 for part in range(len(keys[0]))]
    differ[0] = True  # the name
    return {key: ", ".join(filter(None, compress(key, differ))) for key in keys}


def _source(result: Result) -> tuple[str, str]:
    return result.model.source or "", result.model.source_fingerprint or "unknown"


def _target(result: Result) -> tuple[str, str]:
    return result.data.dataset, result.data.fingerprint or "unknown"


def _pair(result: Result) -> Hashable:
    return _source(result), _target(result)


def _images(images: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Name each source or target; names that occur twice get a fingerprint."""
    keys = sorted(set(images))
    extras = distinguishing(
        [name for name, _ in keys], [{"images": fingerprint[:8]} for _, fingerprint in keys]
    )
    return {key: " ".join([labels.data_set(key[0]), *extra]) for key, extra in zip(keys, extras, strict=True)}
