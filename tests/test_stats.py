import numpy as np
import pytest
from scipy import stats as reference

from fsbench.stats import holm, mean_and_half_width, paired_p, welch_p


def test_interval_by_hand():
    """Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445; half width 2.776445 * sqrt(2.5 / 5)."""
    mean, half_width = mean_and_half_width([1, 2, 3, 4, 5])
    assert mean == 3
    assert half_width == pytest.approx(1.9632432, abs=1e-6)


def test_interval_equals_scipy():
    values = np.random.default_rng(0).uniform(size=37)
    mean, half_width = mean_and_half_width(values)
    low, high = reference.t.interval(0.95, 36, loc=values.mean(), scale=reference.sem(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        mean, half_width = mean_and_half_width(rng.normal(0.6, 0.1, 8))
        inside += abs(mean - 0.6) <= half_width
    assert reference.binomtest(inside, 2000, 0.95).pvalue > 1e-3


def test_tests_equal_scipy():
    rng = np.random.default_rng(1)
    first = rng.normal(0.6, 0.1, 50)
    second = first + rng.normal(0.02, 0.05, 50)
    other = rng.normal(0.62, 0.2, 30)
    assert paired_p(first, second) == pytest.approx(reference.ttest_rel(first, second).pvalue)
    assert welch_p(first, other) == pytest.approx(reference.ttest_ind(first, other, equal_var=False).pvalue)


def test_accuracies_without_spread_differ_when_their_means_do():
    assert paired_p([1, 1, 1], [1, 1, 1]) == 1
    assert paired_p([1, 1, 1], [0, 0, 0]) == 0
    assert welch_p([1, 1], [1, 1, 1]) == 1
    assert welch_p([1, 1], [0, 0, 0]) == 0


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04 times 3, 2, 1, made monotone, capped at 1."""
    np.testing.assert_allclose(holm([0.04, 0.01, 0.02]), [0.04, 0.03, 0.04])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)
