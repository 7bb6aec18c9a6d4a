"""Comparisons of all pairs from arrays equal the comparisons of single pairs."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats as reference

from fsbench import stats
from fsbench.stats.all_pairs import Measured, compare_pairs, compared, mean_over_seeds

RNG = np.random.default_rng(0)
TOLERANCE = 1e-10  # p-values follow from differences rounded to 12 decimals
CLASSES = RNG.normal(0.6, 0.1, (4, 12))


def measured(scores: np.ndarray, values: np.ndarray | None = None, tasks: str = "a", images: str = "a"):
    return Measured(float(scores.mean()), scores, values, tasks, images)


def test_each_pair_equals_the_test_of_two_results():
    """Paired on the tasks of both lists, Welch's on other tasks; paired by class on the same images."""
    scores = RNG.normal(0.6, 0.1, (4, 50))
    lists = [scores[0], scores[1], scores[2, :30], scores[3]]
    results = [measured(scores, CLASSES[i], "ab"[i == 3], "ab"[i == 2]) for i, scores in enumerate(lists)]
    pairs = compare_pairs(results)
    tasks, classes = pairs.over["tasks"], pairs.over["classes"]
    for i, j in combinations(range(4), 2):
        both = min(len(lists[i]), len(lists[j]))
        x, y = (lists[i], lists[j]) if j == 3 else (lists[i][:both], lists[j][:both])
        p, difference = (
            (stats.welch_p, stats.welch_difference) if j == 3 else (stats.paired_p, stats.paired_difference)
        )
        assert tasks.p[i, j] == pytest.approx(p(x, y), abs=TOLERANCE)
        assert (pairs.difference[i, j], tasks.half_width[i, j]) == pytest.approx(
            difference(x, y), abs=TOLERANCE
        )
        if 2 in (i, j):
            assert np.isnan(classes.p[i, j])
            continue
        error = (CLASSES[i] - CLASSES[j]).std(ddof=1) / 12**0.5
        t = abs(pairs.difference[i, j]) / error
        assert classes.p[i, j] == pytest.approx(2 * reference.t.sf(t, 11), abs=TOLERANCE)
        width = stats.paired_difference(CLASSES[i], CLASSES[j])[1]
        assert classes.half_width[i, j] == pytest.approx(width, abs=TOLERANCE)


def test_the_variance_over_seeds_is_added():
    """Satterthwaite's sum of three variances: paired over tasks, and over the seeds of each recipe."""
    scores = RNG.normal(0.6, 0.1, (2, 3, 40))
    recipes = [mean_over_seeds([measured(seed) for seed in seeds]) for seeds in scores]
    single = measured(scores[0, 0])
    pairs = compare_pairs([*recipes, single])
    seed_variances = scores.mean(axis=2).var(axis=1, ddof=1) / 3
    task_variance = (scores[0].mean(axis=0) - scores[1].mean(axis=0)).var(ddof=1) / 40
    total = seed_variances.sum() + task_variance
    freedom = total**2 / ((seed_variances**2 / 2).sum() + task_variance**2 / 39)
    half_width = reference.t.ppf(0.975, freedom) * total**0.5
    assert pairs.over["tasks"].half_width[0, 1] == pytest.approx(half_width, rel=1e-12)
    assert np.isfinite(pairs.over["tasks"].p).all(), "a single result has no variance over seeds"


def test_few_or_unlike_seeds_have_no_mean():
    seeds = [measured(scores) for scores in RNG.normal(0.6, 0.1, (3, 20))]
    assert mean_over_seeds(seeds)
    assert mean_over_seeds(seeds[:2]) is None
    assert mean_over_seeds([*seeds, measured(seeds[0].scores, tasks="b")]) is None
    assert mean_over_seeds([*seeds, measured(seeds[0].scores[:10])]) is None


def test_ranks_and_best():
    """The third result differs from the others by far more than its noise; the first two do not differ."""
    noise = RNG.normal(0, 0.05, (3, 100))
    results = [measured(mean + scores) for mean, scores in zip((0.6, 0.601, 0.3), noise, strict=True)]
    standing = compared(results, "tasks")
    assert (standing.ranks, standing.best) == ([1, 1, 3], [True, True, False])
    assert compared(results, "classes").ranks == [None] * 3
    assert (compared(results[:1], "tasks").ranks, compared(results[:1], "tasks").best) == ([1], [False])
