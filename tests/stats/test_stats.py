import numpy as np
import pytest
from scipy import stats as reference

from fsbench._util.errors import FsbenchError
from fsbench.stats import (
    binomial_interval,
    class_values,
    correlation,
    field_half_width,
    holm,
    mean_and_half_width,
    paired_difference,
    paired_p,
    standard_deviation,
    tasks_needed,
    welch_difference,
    welch_p,
    wilcoxon_p,
)


def test_interval_by_hand():
    """Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445; half width 2.776445 * sqrt(2.5 / 5)."""
    mean, half_width = mean_and_half_width([1, 2, 3, 4, 5])
    assert mean == 3
    assert half_width == pytest.approx(1.9632432, abs=1e-6)


def test_wilson_by_hand():
    """8 of 10, z = 1.959964: (0.8 + z^2/20 -+ z sqrt(0.016 + z^2/400)) / (1 + z^2/10)."""
    assert binomial_interval(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    assert binomial_interval(0, 5) == pytest.approx((0, 1.959964**2 / (5 + 1.959964**2)), abs=1e-6)


def test_interval_equals_scipy():
    values = np.random.default_rng(0).uniform(size=37)
    mean, half_width = mean_and_half_width(values)
    low, high = reference.t.interval(0.95, 36, loc=values.mean(), scale=reference.sem(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


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


def test_the_usual_interval_by_hand():
    """Variance of 1..5 with ddof 0 is 2; 1.96 * sqrt(2 / 5)."""
    assert field_half_width([1, 2, 3, 4, 5]) == pytest.approx(1.2396128, abs=1e-6)


def test_the_spread_of_tasks_is_not_the_interval_of_their_mean():
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.6, 0.1, 100), rng.normal(0.6, 0.1, 10_000)
    assert standard_deviation(few) == pytest.approx(standard_deviation(many), rel=0.2)
    assert mean_and_half_width(few)[1] > 8 * mean_and_half_width(many)[1]
    assert standard_deviation([1, 2, 3, 4, 5]) == pytest.approx(2.5**0.5)


def test_differences_equal_scipy():
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.6, 0.1, 40), rng.normal(0.65, 0.3, 40)
    for (mean, half_width), test in (
        (paired_difference(first, second), reference.ttest_rel(first, second)),
        (welch_difference(first, second), reference.ttest_ind(first, second, equal_var=False)),
    ):
        interval = test.confidence_interval(0.95)
        assert (mean - half_width, mean + half_width) == pytest.approx((interval.low, interval.high))


def test_signed_ranks_by_hand():
    """Differences 1, 2, 3 are all positive: 2 of 8 equally likely sign patterns are as extreme."""
    assert wilcoxon_p([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]) == pytest.approx(0.25)
    assert wilcoxon_p([0.5, 0.7, 0.9, 0.2], [0.4, 0.5, 0.6, 0.2]) == pytest.approx(0.25)  # a tie is left out
    assert wilcoxon_p([0.5, 0.5], [0.5, 0.5]) == 1
    assert wilcoxon_p([0.5], [0.4]) == 1


def test_signed_ranks_equal_scipy_on_whole_numbers():
    """Accuracies in 75ths have ties that rounding would break; counts of right answers keep them."""
    rng = np.random.default_rng(3)
    first, second = rng.integers(40, 60, 300), rng.integers(39, 60, 300)
    expected = reference.wilcoxon(first, second).pvalue
    assert wilcoxon_p(first / 75, second / 75) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "statistic",
    [
        mean_and_half_width,
        field_half_width,
        standard_deviation,
        lambda values: paired_p(values, values[::-1] / 2),
        lambda values: paired_difference(values, values[::-1] / 2),
        lambda values: wilcoxon_p(values, values[::-1] / 2),
        lambda values: welch_p(values, values[3:] / 2),
        lambda values: welch_difference(values, values[3:] / 2),
        lambda values: correlation(values, values[::-1] / 2),
        lambda values: class_values(values, np.arange(400).reshape(200, 2) % 7),
    ],
)
def test_single_precision_is_computed_in_double(statistic):
    """Halves are exact in both precisions, so both calls get the same numbers."""
    single = np.random.default_rng(7).random(200).astype(np.float32)
    np.testing.assert_array_equal(statistic(single), statistic(single.astype(np.float64)))


def test_correlation():
    assert correlation([0, 1, 1], [0, 0, 1]) == pytest.approx(0.5)
    assert correlation([1, 2, 3], [2, 4, 6.0]) == pytest.approx(1)
    assert correlation([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert correlation([1, 2, 3], [5, 5, 5]) is None


@pytest.mark.parametrize("effect", [0.03, 0.1, 0.4, 0.8])
def test_tasks_needed_are_the_fewest_with_that_power(effect):
    """The power of a t test is a tail of the noncentral t distribution."""

    def power(n: int) -> float:
        edge, shift = reference.t.ppf(0.975, n - 1), effect * n**0.5
        return float(reference.nct.sf(edge, n - 1, shift) + reference.nct.cdf(-edge, n - 1, shift))

    needed = tasks_needed(effect, 1)
    assert power(needed - 2) < 0.8 <= power(needed + 1)


def test_tasks_needed_for_a_large_or_no_difference():
    assert tasks_needed(0.0, 0.1) is None
    assert tasks_needed(0.1, 0.0) == 2
    # (1.95996 + 0.84162)^2 = 7.8489 times 0.2524^2, and 1.95996^2 / 2 = 1.9207: 2.42; times 0.0874^2: 1.98
    assert (tasks_needed(1, 0.2524), tasks_needed(1, 0.0874)) == (3, 2)
    assert tasks_needed(-0.02, 0.1) == tasks_needed(0.02, 0.1)


def test_class_values_by_hand():
    """Pairs of three classes: mean 0.6; without class 0 it is 0.9, so its value is 0.6 + 2 (0.6 - 0.9)."""
    values = class_values([0.3, 0.6, 0.9], np.array([[0, 1], [2, 0], [1, 2]]))
    np.testing.assert_allclose(values, [0, 0.6, 1.2], atol=1e-12)


def test_class_values_of_additive_accuracies_are_the_class_effects():
    """If the accuracy of a pair of classes is (g_a + g_b) / 2, class values equal g for any class numbers."""
    effects = np.array([0.1, 0.5, 0.9, 0.7, 0.3])
    pairs = np.array([(a, b) for a in range(5) for b in range(a)])
    np.testing.assert_allclose(class_values(effects[pairs].mean(axis=1), 10 * pairs + 3), effects)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mean_and_half_width([1]),
            r"^values must be a vector of at least 2 numbers, but have shape \(1,\)$",
        ),
        (lambda: standard_deviation([[1, 2]]), r"vector of at least 2 numbers, but have shape \(1, 2\)$"),
        (lambda: paired_p([1, 2], [1, 2, 3]), r"same tasks, but have shapes \(2,\) and \(3,\)$"),
        (lambda: class_values([0.1, 0.2], np.array([[3, 1], [3, 2]])), "^class 3 is in every task"),
    ],
)
def test_wrong_values_are_refused(call, message):
    with pytest.raises(FsbenchError, match=message):
        call()
