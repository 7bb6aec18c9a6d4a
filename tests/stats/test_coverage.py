"""Each 95 % interval covers the truth in 93 to 97 % of 1,000 simulated benchmarks; what it does not cover.

A query is answered right when mu + own class + pull of the task's classes + query image + support images +
noise is positive, all of them normal, so the accuracy over new classes and images is known: Phi(mu / spread).
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.compare import compare_groups
from fsbench.report.measured import of_result, of_seeds
from fsbench.stats import (
    class_values,
    field_half_width,
    holm,
    mean_and_half_width,
    paired_difference,
    paired_p,
    tasks_needed,
    welch_difference,
    welch_p,
)
from fsbench.stats.all_pairs import compare_pairs
from tests.changed import changed, with_correct

N_WAY, N_QUERY, BENCHMARKS = 5, 5, 1000
OWN, PULL, QUERY, SUPPORT = 0.5, 0.3, 0.8, 0.3  # standard deviations of the effects; that of the noise is 1
SPREAD = (1 + OWN**2 + PULL**2 + QUERY**2 + SUPPORT**2) ** 0.5


def as_often_as_it_says(covered: list[bool]) -> bool:
    return len(covered) == BENCHMARKS and 0.93 <= np.mean(covered) <= 0.97


def inside(estimate: tuple[float, float], truth: float) -> bool:
    mean, half_width = estimate
    return bool(abs(mean - truth) <= half_width)


def many_tasks(n_classes: int, n_images: int, n_tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """A task list with one shot: classes (tasks, way) and items of each (tasks, way, 1 + query)."""
    rng = np.random.default_rng(0)
    classes = rng.random((n_tasks, n_classes)).argsort(axis=1)[:, :N_WAY]
    items = rng.random((n_tasks * N_WAY, n_images), dtype=np.float32).argsort(axis=1)[:, : 1 + N_QUERY]
    return classes, classes[:, :, None] * n_images + items.reshape(n_tasks, N_WAY, -1)


def new_data(
    classes: np.ndarray, items: np.ndarray, accuracy: float, rng: np.random.Generator, n_methods: int = 1
) -> np.ndarray:
    """Accuracies (methods, tasks) of one task list over new classes and images.

    Methods see the same images: half of the variance of each effect is common to them.
    """
    sizes = [classes.max() + 1, classes.max() + 1, items.max() + 1, items.max() + 1]
    common = [rng.standard_normal(size, dtype=np.float32) for size in sizes]
    scores = []
    for _ in range(n_methods):
        effects = common
        if n_methods > 1:
            independent = [rng.standard_normal(size, dtype=np.float32) for size in sizes]
            effects = [
                (a + b) / np.sqrt(2, dtype=np.float32) for a, b in zip(common, independent, strict=True)
            ]
        difficulty, pull, query, support = effects
        task_effects = PULL * pull[classes].sum(axis=1) + SUPPORT * support[items[:, :, 0]].sum(axis=1)
        latent = OWN * difficulty[classes][:, :, None] + QUERY * query[items[:, :, 1:]]
        latent += (SPREAD * ndtri(accuracy) + task_effects / N_WAY**0.5)[:, None, None]
        right = rng.standard_normal(latent.shape, dtype=np.float32) < latent
        scores.append(right.mean(axis=(1, 2)))
    return np.array(scores)


def test_student_t_over_tasks_covers_the_draw_of_tasks():
    """One data set, many task lists; the truth is the mean over all its tasks."""
    rng = np.random.default_rng(1)
    tasks = new_data(*many_tasks(20, 30, 50_000), 0.6, rng)[0]
    lists = rng.choice(tasks, (BENCHMARKS, 600))
    assert as_often_as_it_says([inside(mean_and_half_width(drawn), tasks.mean()) for drawn in lists])
    fields = [inside((drawn.mean(), field_half_width(drawn)), tasks.mean()) for drawn in lists]
    assert as_often_as_it_says(fields)  # nearly equal for 600 tasks


@pytest.mark.parametrize(
    ("n_classes", "n_images", "accuracy"),
    [
        (20, 600, 0.6),  # mini-ImageNet
        pytest.param(20, 20, 0.6, marks=pytest.mark.slow),  # images have more weight
        pytest.param(50, 60, 0.8, marks=pytest.mark.slow),  # CUB
        pytest.param(10, 30, 0.5, marks=pytest.mark.slow),
        pytest.param(20, 600, 0.95, marks=pytest.mark.slow),
    ],
)
def test_intervals_over_classes_cover_new_classes_and_images(n_classes, n_images, accuracy):
    """One task list, many data sets; the usual interval over tasks rarely covers their accuracy."""
    rng = np.random.default_rng(2)
    classes, items = many_tasks(n_classes, n_images, 30 * n_classes)
    standard, jackknife = [], []
    for _ in range(BENCHMARKS):
        scores = new_data(classes, items, accuracy, rng)[0]
        half_width = mean_and_half_width(class_values(scores, classes))[1]
        standard.append(inside(mean_and_half_width(scores), accuracy))
        jackknife.append(inside((scores.mean(), half_width), accuracy))
    assert as_often_as_it_says(jackknife)
    assert np.mean(standard) < 0.6


def test_intervals_over_classes_cover_the_difference_of_two_methods():
    """Two methods are equally good over all classes, but not on the drawn ones."""
    rng = np.random.default_rng(3)
    classes, items = many_tasks(20, 100, 600)
    standard, jackknife = [], []
    for _ in range(BENCHMARKS):
        first, second = new_data(classes, items, 0.6, rng, n_methods=2)
        half_width = mean_and_half_width(class_values(first - second, classes))[1]
        standard.append(inside(paired_difference(first, second), 0))
        jackknife.append(inside((np.mean(first - second), half_width), 0))
    assert as_often_as_it_says(jackknife)
    assert np.mean(standard) < 0.6


BASE = result_files.read(Path(__file__).parents[1] / "golden" / "results" / "schema-1.json")
STEPS = 10**6  # accuracies are whole numbers of right answers


def result_of(scores: np.ndarray, classes: np.ndarray | None = None, **changes) -> Result:
    """A result with these task accuracies; class values follow from the classes of its tasks."""
    values = None if classes is None else tuple(class_values(scores, classes).tolist())
    right = np.clip(np.round(scores * STEPS), 0, STEPS).astype(int).tolist()
    return with_correct(BASE, right, queries=STEPS, class_values=values, **changes)


@pytest.mark.parametrize("same_tasks", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_claims_over_classes_hold_on_the_same_and_on_other_tasks(same_tasks):
    """Two methods are equally good over all classes; class values are paired on other task lists, too."""
    rng = np.random.default_rng(10)
    classes, items = many_tasks(20, 100, 600)
    half = slice(300), slice(300) if same_tasks else slice(300, 600)
    covered = []
    for _ in range(BENCHMARKS):
        both = new_data(classes, items, 0.6, rng, n_methods=2)
        actual = [
            result_of(scores[part], classes[part], seed=part.start or 0)
            for scores, part in zip(both, half, strict=True)
        ]
        pairs = compare_pairs([of_result(result) for result in actual])
        covered.append(bool(pairs.over["classes"].p[0, 1] >= 0.05))
    # the noise of two lists does not cancel and counts about n_way times: cautious
    assert as_often_as_it_says(covered) if same_tasks else 0.95 <= np.mean(covered) <= 1


@pytest.mark.parametrize(
    ("seed_spread", "class_spread"),
    [
        pytest.param(0.01, 0.001, id="seeds", marks=pytest.mark.slow),
        pytest.param(0.001, 0.04, id="classes", marks=pytest.mark.slow),
        pytest.param(0.01, 0.04, id="both"),
    ],
)
def test_claims_about_recipes_hold_for_new_classes_and_new_seeds(seed_spread, class_spread):
    """Two recipes are equally good, with three seeds each; either seeds or classes vary more."""
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(BENCHMARKS):
        common = rng.normal(0.5, 0.1, 20)
        recipes = []
        for _ in range(2):
            classes = common + rng.normal(0, class_spread, 20)  # one task per class
            seeds = [classes + shift for shift in rng.normal(0, seed_spread, 3)]
            recipes.append([changed(result_of(seed), class_values=tuple(seed)) for seed in seeds])
        pairs = compare_pairs([of_seeds(seeds) for seeds in recipes])
        covered.append(bool(pairs.over["classes"].p[0, 1] >= 0.05))
    assert as_often_as_it_says(covered)


@pytest.mark.parametrize(
    ("n_methods", "n_benchmarks"),
    [
        (10, 200),
        *(
            pytest.param(m, n, marks=pytest.mark.slow)
            for m, n in ((3, 4000), (5, 4000), (10, 2000), (20, 1000))
        ),
    ],
)
def test_the_best_of_equal_methods_is_rarely_called_better(n_methods, n_benchmarks, monkeypatch):
    """`--against best` chooses its reference by the data. Were only its own pairs corrected for, as is right
    for a reference that is chosen before, one of ten tables would show a difference between equal methods.
    """
    monkeypatch.setattr("fsbench.stats.wilcoxon_p", lambda *_: 1.0)  # slow and not used here
    rng = np.random.default_rng(12)
    corrected, not_corrected = [], []
    for _ in range(n_benchmarks):
        methods = 0.6 + rng.normal(0, 0.1, 40) + rng.normal(0, 0.05, (n_methods, 40))
        actual = {Path(str(place)): result_of(scores) for place, scores in enumerate(methods)}
        falling = dict(sorted(actual.items(), key=lambda item: -item[1].outcome.accuracy))
        for group, against, shown in ((actual, "best", corrected), (falling, "first", not_corrected)):
            pairs = compare_groups([group], against, "tasks").pairs
            shown.append(min(pair.p_holm for pair in pairs) < 0.05)
    assert np.mean(corrected) < 0.05 + 2 * (0.05 * 0.95 / n_benchmarks) ** 0.5
    assert np.mean(not_corrected) > {3: 0.05, 5: 0.07, 10: 0.1, 20: 0.18}[n_methods]


@pytest.mark.slow
@pytest.mark.parametrize("n_methods", [3, 10])
def test_the_best_of_equal_methods_is_rarely_called_better_on_new_classes(n_methods):
    rng = np.random.default_rng(13)
    classes, items = many_tasks(20, 100, 300)
    shown = []
    for _ in range(BENCHMARKS):
        methods = new_data(classes, items, 0.6, rng, n_methods)
        actual = {Path(str(i)): result_of(scores, classes) for i, scores in enumerate(methods)}
        shown.append(min(pair.p_holm for pair in compare_groups([actual], "best").pairs) < 0.05)
    assert np.mean(shown) < 0.05 + 2 * (0.05 * 0.95 / BENCHMARKS) ** 0.5


def new_images(
    classes: np.ndarray, difficulty: np.ndarray, pull: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Accuracies of tasks (tasks, way) that share no image."""
    latent = (difficulty[classes] + (0.25 + pull[classes].sum(axis=1) / N_WAY**0.5)[:, None])[:, :, None]
    latent = latent + SUPPORT * rng.standard_normal((len(classes), 1, 1))
    latent = latent + QUERY * rng.standard_normal((*classes.shape, N_QUERY))
    return (rng.standard_normal(latent.shape) < latent).mean(axis=(1, 2))


def test_disjoint_tasks_cover_new_data_when_no_class_recurs():
    rng = np.random.default_rng(4)
    classes, truth = np.arange(80 * N_WAY).reshape(80, N_WAY), ndtr(0.25 / SPREAD)
    covered = []
    for _ in range(BENCHMARKS):
        difficulty, pull = OWN * rng.standard_normal(classes.size), PULL * rng.standard_normal(classes.size)
        covered.append(inside(mean_and_half_width(new_images(classes, difficulty, pull, rng)), truth))
    assert as_often_as_it_says(covered)


def test_disjoint_tasks_over_few_classes_cover_new_images_alone():
    """Intervals cover new images of the same 20 classes (above 95 %: all are used equally), but no others."""
    rng = np.random.default_rng(5)
    over_these_classes, over_all_classes = [], []
    all_tasks = np.array(list(combinations(range(20), N_WAY)))
    image_deviation = (1 + QUERY**2 + SUPPORT**2) ** 0.5
    for _ in range(10):
        difficulty, pull = OWN * rng.standard_normal(20), PULL * rng.standard_normal(20)
        latent = difficulty[all_tasks] + (0.25 + pull[all_tasks].sum(axis=1) / N_WAY**0.5)[:, None]
        truth = ndtr(latent / image_deviation).mean()
        for _ in range(BENCHMARKS // 10):
            classes = np.concatenate([rng.permutation(20).reshape(4, N_WAY) for _ in range(37)])
            estimate = mean_and_half_width(new_images(classes, difficulty, pull, rng))
            over_these_classes.append(inside(estimate, truth))
            over_all_classes.append(inside(estimate, ndtr(0.25 / SPREAD)))
    assert np.mean(over_these_classes) > 0.95
    assert np.mean(over_all_classes) < 0.6


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_student_t_over_seeds_covers_the_mean_of_training(n_seeds):
    runs = np.random.default_rng(6).normal(0.6, 0.01, (BENCHMARKS, n_seeds))
    assert as_often_as_it_says([inside(mean_and_half_width(seeds), 0.6) for seeds in runs])


def test_intervals_of_differences_cover_them():
    rng = np.random.default_rng(7)
    paired, unpaired = [], []
    for _ in range(BENCHMARKS):
        task = rng.normal(0, 0.1, 50)
        first, second = (0.6 + task + rng.normal(0, 0.03, 50), 0.58 + task + rng.normal(0, 0.06, 50))
        paired.append(inside(paired_difference(first, second), 0.02))
        unpaired.append(inside(welch_difference(first, rng.normal(0.58, 0.02, 20)), 0.02))
    assert as_often_as_it_says(paired)
    assert as_often_as_it_says(unpaired)


def test_holm_controls_the_error_of_a_whole_table():
    """With five equal methods and no adjustment, a fifth of such tables would show a difference."""
    rng = np.random.default_rng(8)
    raw, adjusted = [], []
    for _ in range(BENCHMARKS):
        methods = 0.6 + rng.normal(0, 0.1, 40) + rng.normal(0, 0.05, (5, 40))
        p_values = [paired_p(a, b) for a, b in combinations(methods, 2)]
        raw.append(min(p_values) < 0.05)
        adjusted.append(holm(p_values).min() < 0.05)
    assert np.mean(raw) > 0.2
    assert 0.01 < np.mean(adjusted) <= 0.05


@pytest.mark.parametrize("pairs", [True, False])
def test_needed_tasks_detect_the_difference_in_four_of_five_benchmarks(pairs):
    rng = np.random.default_rng(9)
    deviation = 0.05 if pairs else (0.03**2 + 0.04**2) ** 0.5
    n = tasks_needed(0.01, deviation)
    first, second = rng.normal(0.61, 0.03, (BENCHMARKS, n)), rng.normal(0.6, 0.04, (BENCHMARKS, n))
    test = paired_p if pairs else welch_p
    assert np.mean([test(a, b) < 0.05 for a, b in zip(first, second, strict=True)]) == pytest.approx(
        0.8, abs=0.03
    )
