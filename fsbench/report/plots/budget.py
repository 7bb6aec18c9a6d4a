"""Accuracy against the training budget, and the difference of each recipe from ERM."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Question, Result
from fsbench.report.grouping import group_by
from fsbench.report.leaderboard.rows import family_key
from fsbench.report.leaderboard.wording import without_epochs
from fsbench.report.measured import of_seeds
from fsbench.report.plots.labels import as_written, numbers
from fsbench.report.plots.marks import mark_numbers
from fsbench.report.plots.page import Section, at_most, legend_below, mark, page, ticks_at
from fsbench.report.plots.selection import EVERYTHING, Selection, select
from fsbench.stats import holm
from fsbench.stats.all_pairs import FEWEST_SEEDS, compare_pairs
from fsbench.tasks.spec import TaskSpec

REFERENCE = "erm"
MOST = 6  # largest number of panels side by side
Budget = tuple[int | None, int, str]  # images per class, epochs and recipe


@dataclass(frozen=True)
class Setting:
    """Training settings and tasks that all points of one figure section share.

    Attributes:
        question: The question without the training budget, the recipe and the seed.
        interval: Kind of the half widths.
    """

    question: Question
    interval: str

    @property
    def spec(self) -> TaskSpec:
        """Specification of the tasks."""
        return self.question.task.spec

    def text(self) -> str:
        """Describe the setting."""
        data, model, spec = self.question.data, self.question.model, self.spec
        where = data.dataset if model.source == data.dataset else f"{model.source} → {data.dataset}"
        trained = f"{model.backbone}, preset {model.preset}, {model.precision}"
        tasks = f"{spec.n_way}-way {spec.n_shot}-shot, {self.question.head.text}, {spec.n_tasks:,} tasks"
        return ", ".join(filter(None, [where, f"{model.image_size} px", trained, model.overrides, tasks]))


@dataclass(frozen=True)
class Point:
    """One recipe after one training budget: its accuracy, and its difference from ERM after the same budget.

    Attributes:
        per_class: Images of each base class; None: all.
        recipe: The recipe.
        epochs: Epochs of the training.
        n_seeds: Number of training seeds.
        accuracy: Mean over seeds, 0 to 1.
        difference: Accuracy minus that of ERM; None: ERM was not trained with this budget.
        half_width: 95 % half width of the difference over new classes and training seeds; None if the recipe
            or ERM has fewer than three seeds.
        p: p-value of the difference, with Holm's correction over the recipes of this budget; None as above.
    """

    per_class: int | None
    recipe: str
    epochs: int
    n_seeds: int
    accuracy: float
    difference: float | None
    half_width: float | None
    p: float | None


def points(results: Sequence[Result]) -> dict[Setting, list[Point]]:
    """Compute the points of each setting, by images per class, recipe and epochs.

    Raises:
        FsbenchError: A result does not state how its backbone was trained, or there are several of one seed.
    """
    runs: dict[Setting, dict[Budget, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        setting, budget = _setting_and_budget(result)
        runs[setting][budget].append(result)
    in_order = sorted(runs.items(), key=lambda item: item[0].text())
    return {setting: list(_points(by_budget)) for setting, by_budget in in_order}


def _setting_and_budget(result: Result) -> tuple[Setting, Budget]:
    """Divide the description of a result into setting and budget."""
    r, m = result, result.model
    if m.source is None or m.backbone is None or m.image_size is None or m.precision is None:
        raise FsbenchError(f"{r.path}: does not state backbone, image size, precision and training data")
    if m.recipe is None or m.preset is None or m.epochs is None or m.train_seed is None:
        raise FsbenchError(f"{r.path}: does not state how its backbone was trained")
    family = family_key(r)
    overrides = without_epochs(m.overrides or "")
    model = replace(family.model, recipe=None, per_class=None, epochs=None, overrides=overrides)
    question = replace(family, task=r.task, model=model)
    return Setting(question, r.outcome.interval), (m.per_class, m.epochs, m.recipe)


def _points(by_budget: Mapping[Budget, Sequence[Result]]) -> Iterator[Point]:
    """Yield the point of each budget of one setting, in order."""
    claims = _claims(by_budget)
    for budget in sorted(by_budget, key=_sort_key):
        per_class, epochs, recipe = budget
        seeds, reference = by_budget[budget], by_budget.get((per_class, epochs, REFERENCE), ())
        if len({result.model.train_seed for result in seeds}) < len(seeds):
            raise FsbenchError(f"{seeds[0].path}: there are several results of one training seed and budget")
        mean = _mean(seeds)
        difference = mean - _mean(reference) if reference and recipe != REFERENCE else None
        half_width, p = claims.get(budget, (None, None))
        yield Point(per_class, recipe, epochs, len(seeds), mean, difference, half_width, p)


def _claims(by_budget: Mapping[Budget, Sequence[Result]]) -> dict[Budget, tuple[float, float]]:
    """Return half width and p-value, over classes and seeds, of each difference from ERM that has them.

    p-values are corrected over the recipes with the same images and epochs.
    """
    claims: dict[Budget, tuple[float, float]] = {}
    for place, same in group_by(by_budget, lambda budget: budget[:2]).items():
        reference = of_seeds(by_budget.get((*place, REFERENCE), ()))
        means = {budget: of_seeds(by_budget[budget]) for budget in same if budget[2] != REFERENCE}
        raw = {}
        for budget, mean in means.items():
            if mean and reference:
                claim = compare_pairs([mean, reference]).over["classes"]
                if not np.isnan(claim.p[0, 1]):
                    raw[budget] = float(claim.half_width[0, 1]), float(claim.p[0, 1])
        adjusted = holm([p for _, p in raw.values()])
        claims |= {budget: (raw[budget][0], float(p)) for budget, p in zip(raw, adjusted, strict=True)}
    return claims


def _sort_key(budget: Budget) -> tuple[float, str, int]:
    per_class, epochs, recipe = budget
    return (np.inf if per_class is None else per_class, recipe, epochs)


def _mean(seeds: Sequence[Result]) -> float:
    """Compute the mean accuracy over training seeds."""
    return float(np.mean([result.outcome.accuracy for result in seeds]))


def budgets(results: Sequence[Result], selection: Selection = EVERYTHING) -> Figure:
    """Plot accuracy against epochs, and below it the difference from ERM, for each setting.

    There is one column of panels per number of images of each base class, and one line per recipe. Networks
    without a training recipe have no budget and are left out.

    Raises:
        FsbenchError: No recipe was trained with two budgets, or there are more than 6 panels side by side.
    """
    kept, note = select([result for result in results if result.model.recipe], selection)
    shown = {setting: group for setting, group in points(kept).items() if len({p.epochs for p in group}) > 1}
    if not shown:
        raise FsbenchError(
            "budget: no setting has results of several numbers of epochs; pass results of trainings that "
            "differ in their epochs"
        )
    sections = [Section(as_written(setting.text()), _caption(group), 5.4) for setting, group in shown.items()]
    figure, parts = page(sections, note)
    marks = mark_numbers((point.recipe, point.recipe) for group in shown.values() for point in group)
    for part, (setting, group) in zip(parts, shown.items(), strict=True):
        _draw(part, setting, group, marks)
    return figure


def seeds_text(group: Sequence[Point]) -> str:
    """Format the number of training seeds of points, such as "3" or "1 to 3"."""
    return numbers([p.n_seeds for p in group])


def recipes_of(group: Sequence[Point]) -> list[str]:
    """List the recipes of points: ERM, then the others by name."""
    return sorted({p.recipe for p in group}, key=lambda name: (name != REFERENCE, name))


def _caption(group: Sequence[Point]) -> str:
    """Explain the panels of one setting."""
    return (
        f"Above: mean accuracy. Number of training seeds: {seeds_text(group)}. "
        "Below: difference from ERM with the same number of epochs. "
        "Bars: 95 % interval over new classes and training seeds, not corrected for several comparisons. "
        f"Hollow points have fewer than {FEWEST_SEEDS} seeds and no interval. Each point is a separate "
        "training. All seeds train on the same images. "
    )


def _draw(part: SubFigure, setting: Setting, group: Sequence[Point], marks: Mapping[str, int]) -> None:
    """Draw the panels of one setting, one column per number of images per class."""
    columns = list(dict.fromkeys(point.per_class for point in group))
    recipes = recipes_of(group)
    at_most("budget", "panels side by side", len(columns), MOST)
    above, below = part.subplots(2, len(columns), sharex="col", sharey="row", squeeze=False)
    for column, per_class in enumerate(columns):
        images = "all images" if per_class is None else f"{per_class} images"
        above[column].set_title(f"{images} per base class", fontsize="medium")
        in_column = [point for point in group if point.per_class == per_class]
        _panel(above[column], below[column], {name: marks[name] for name in recipes}, in_column)
    above[0].set_ylabel(f"{setting.spec.n_way}-way {setting.spec.n_shot}-shot accuracy, %")
    below[0].set_ylabel("difference from ERM, points")
    legend_below(part, recipes, numbers=[marks[name] for name in recipes])


def _panel(above: Axes, below: Axes, marks: Mapping[str, int], group: Sequence[Point]) -> None:
    """Draw one column of panels; `marks` has the mark of each recipe."""
    for place, (recipe, number) in enumerate(marks.items()):
        row = [point for point in group if point.recipe == recipe]
        above.plot([p.epochs for p in row], [100 * p.accuracy for p in row], **mark(number))
        compared = [point for point in row if point.difference is not None]
        if compared:
            x = np.array([point.epochs for point in compared])
            y = np.array([100 * (point.difference or 0) for point in compared])
            half = np.array([np.nan if p.half_width is None else 100 * p.half_width for p in compared])
            shifted = x * 1.04 ** (place - len(marks) / 2)  # so that bars of one budget do not overlap
            below.errorbar(shifted, y, half, capsize=2, **mark(number))
            hollow = np.isnan(half)
            below.plot(
                shifted[hollow],
                y[hollow],
                **{**mark(number), "linestyle": "", "markerfacecolor": "w", "zorder": 4},
            )
    below.axhline(0, color="0.5", linewidth=0.8)
    ticks_at(below, sorted({p.epochs for p in group}))
    below.set_xlabel("epochs")
    for axes in (above, below):
        axes.grid(alpha=0.3)
