"""Accuracy against the number of epochs: from which budget on does a recipe beat ERM?"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from fsbench import pairwise
from fsbench.errors import FsbenchError
from fsbench.plots.page import Section, at_most, legend_below, mark, page, ticks_at
from fsbench.results import Result

REFERENCE = "erm"
MOST = 6  # panels side by side


@dataclass(frozen=True)
class Setting:
    """What the trainings of one figure section have in common."""

    dataset: str  # the target
    source: str
    backbone: str
    image_size: int
    preset: str
    n_way: int
    n_shot: int
    head: str

    def text(self) -> str:
        """The setting for people."""
        where = self.dataset if self.source == self.dataset else f"{self.source} → {self.dataset}"
        tasks = f"{self.n_way}-way {self.n_shot}-shot"
        return f"{where}, {self.image_size} px, {self.backbone}, preset {self.preset}, {tasks}, {self.head}"


@dataclass(frozen=True)
class Point:
    """One recipe after one training budget: its accuracy, and its difference from ERM after the same budget.

    Accuracies are shares, 0..1; `half_width` is the 95 % half width of the difference over new classes and,
    from three seeds on, over training seeds. It is None where nothing can be claimed.
    """

    per_class: int | None  # images of each base class; None: all
    recipe: str
    epochs: int
    n_seeds: int
    accuracy: float
    difference: float | None  # None: ERM was not trained with this budget
    half_width: float | None


def points(results: Sequence[Result]) -> dict[Setting, list[Point]]:
    """The points of each setting, by images per class, recipe and epochs.

    Raises:
        FsbenchError: a result that does not say how its backbone was trained, or two of one training seed.
    """
    runs: dict[Setting, dict[tuple[int | None, int, str], list[Result]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for result in results:
        setting, budget = _place(result)
        runs[setting][budget].append(result)
    return {setting: list(_points(of)) for setting, of in sorted(runs.items(), key=lambda item: str(item[0]))}


def _place(result: Result) -> tuple[Setting, tuple[int | None, int, str]]:
    """The setting of a result; its images per class, epochs and recipe."""
    r = result
    if r.source is None or r.backbone is None or r.image_size is None:
        raise FsbenchError(f"{r.path}: does not say which backbone was trained on what")
    if r.recipe is None or r.preset is None or r.epochs is None or r.train_seed is None:
        raise FsbenchError(f"{r.path}: does not say how its backbone was trained")
    setting = Setting(r.dataset, r.source, r.backbone, r.image_size, r.preset, r.n_way, r.n_shot, r.head)
    return setting, (r.per_class, r.epochs, r.recipe)


def _points(runs: dict[tuple[int | None, int, str], list[Result]]) -> Iterator[Point]:
    measured = {budget: _measured(results) for budget, results in runs.items()}
    for (per_class, epochs, recipe), own in sorted(measured.items(), key=lambda item: _order(item[0])):
        difference = half_width = None
        reference = measured.get((per_class, epochs, REFERENCE))
        if reference is not None and recipe != REFERENCE:
            pairs = pairwise.compare_pairs([own, reference])
            difference = float(pairs.difference[0, 1])
            width = float(pairs.over["classes"].half_width[0, 1])
            half_width = None if np.isnan(width) else width
        n_seeds = len(runs[per_class, epochs, recipe])
        yield Point(per_class, recipe, epochs, n_seeds, own.accuracy, difference, half_width)


def _order(budget: tuple[int | None, int, str]) -> tuple[float, str, int]:
    per_class, epochs, recipe = budget
    return (np.inf if per_class is None else per_class, recipe, epochs)


def _measured(results: Sequence[Result]) -> pairwise.Measured:
    """The mean over training seeds; with fewer than three, the mean without their spread.

    Raises:
        FsbenchError: two results of one seed.
    """
    if len({result.train_seed for result in results}) < len(results):
        raise FsbenchError(f"{results[0].path}: there are several results of one training seed and budget")
    several = pairwise.of_seeds(results)
    if several is not None:
        return several
    every = [pairwise.of_result(result) for result in results]
    values = [one.class_values for one in every if one.class_values is not None]
    return pairwise.Measured(
        accuracy=float(np.mean([one.accuracy for one in every])),
        scores=np.mean([one.scores for one in every], axis=0),
        class_values=np.mean(values, axis=0) if len(values) == len(every) else None,
        task_identity=every[0].task_identity,
        image_identity=every[0].image_identity,
    )


def budgets(results: Sequence[Result]) -> Figure:
    """Two rows of panels per setting: accuracy against epochs, and below it the difference from ERM.

    A column of panels per number of images of each base class, a line per recipe.

    Raises:
        FsbenchError: no recipe was trained with two budgets, or more than 6 panels side by side.
    """
    shown = {setting: of for setting, of in points(results).items() if len({p.epochs for p in of}) > 1}
    if not shown:
        raise FsbenchError("budget: no setting has results of several numbers of epochs")
    figure, parts = page([Section(setting.text(), _caption(of), 5.6) for setting, of in shown.items()])
    for part, (setting, of) in zip(parts, shown.items(), strict=True):
        _draw(part, setting, of)
    return figure


def _caption(of: Sequence[Point]) -> str:
    fewest, most = min(p.n_seeds for p in of), max(p.n_seeds for p in of)
    seeds = str(fewest) if fewest == most else f"{fewest} to {most}"
    return (
        f"Above: mean accuracy over {seeds} training seeds. Below: difference from ERM after as many epochs. "
        f"Bars: 95 % interval over new classes and, from {pairwise.FEWEST_SEEDS} seeds on, over training "
        "seeds. Every point is a training of its own."
    )


def _draw(part: SubFigure, setting: Setting, of: Sequence[Point]) -> None:
    columns = list(dict.fromkeys(point.per_class for point in of))
    recipes = list(dict.fromkeys(sorted((p.recipe for p in of), key=lambda name: (name != REFERENCE, name))))
    at_most("budget", "panels side by side", len(columns), MOST)
    above, below = part.subplots(2, len(columns), sharex="col", sharey="row", squeeze=False)
    for column, per_class in enumerate(columns):
        images = "all images" if per_class is None else f"{per_class} images"
        above[column].set_title(f"{images} per base class", fontsize="medium")
        _panel(above[column], below[column], recipes, [p for p in of if p.per_class == per_class])
    above[0].set_ylabel(f"{setting.n_way}-way {setting.n_shot}-shot accuracy, %")
    below[0].set_ylabel("difference from ERM, points")
    legend_below(part, recipes)


def _panel(above: Axes, below: Axes, recipes: Sequence[str], of: Sequence[Point]) -> None:
    for number, recipe in enumerate(recipes):
        own = [point for point in of if point.recipe == recipe]
        above.plot([p.epochs for p in own], [100 * p.accuracy for p in own], **mark(number))
        against = [
            (p.epochs, 100 * p.difference, 100 * (p.half_width or 0)) for p in own if p.difference is not None
        ]
        if against:
            x, y, half = zip(*against, strict=True)
            beside = 1.04 ** (number - len(recipes) / 2)  # so that bars of one budget do not cover each other
            below.errorbar(np.multiply(x, beside), y, half, capsize=2, **mark(number))
    below.axhline(0, color="0.5", linewidth=0.8)
    ticks_at(below, sorted({p.epochs for p in of}))
    below.set_xlabel("epochs")
    for axes in (above, below):
        axes.grid(alpha=0.3)
