"""Differences between two results: tests and intervals, paired on the same tasks or by means alone."""

import math
from collections.abc import Sequence

import numpy as np
import scipy  # loads scipy.special on first use, since that delays the start of a command
from numpy.typing import ArrayLike, NDArray

from fsbench._util.errors import FsbenchError
from fsbench.stats._t_test import Variance, add_variances, paired_variance, t_test
from fsbench.stats.intervals import CONFIDENCE, as_sample, mean_and_half_width

POWER = 0.8  # probability with which a planned comparison finds the difference
_NORMAL_ABOVE = 50  # differences; for fewer ones SciPy computes the exact distribution of signed ranks


def paired_p(first: ArrayLike, second: ArrayLike) -> float:
    """Test whether two results have equal means on the same tasks, by the paired t test.

    Args:
        first: Accuracies of one result, (n,), n at least 2.
        second: Accuracies of the other one on the same tasks, (n,).

    Returns:
        Two-sided p-value. Without any variance it is 1 for equal means and 0 for different ones.

    Raises:
        FsbenchError: The lengths differ, or there are fewer than two tasks.

    Example:
        >>> round(paired_p([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]), 3)
        0.074
    """
    difference = as_sample(_differences(first, second))
    return float(t_test(difference.mean(), paired_variance(difference))[1])


def paired_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """Compute the mean difference on the same tasks and the half width of its 95 % Student-t interval.

    Args:
        first: Accuracies of one result, (n,), n at least 2.
        second: Accuracies of the other one on the same tasks, (n,).

    Returns:
        Mean of `first` minus `second`, and the half width, in their unit.

    Raises:
        FsbenchError: The lengths differ, or there are fewer than two tasks.

    Example:
        >>> difference, half_width = paired_difference([0.5, 0.7, 0.9, 0.6], [0.4, 0.6, 0.7, 0.5])
        >>> print(f"{difference:.3f} ± {half_width:.3f}")
        0.125 ± 0.080
    """
    return mean_and_half_width(_differences(first, second))


def wilcoxon_p(first: ArrayLike, second: ArrayLike) -> float:
    """Test whether differences on the same tasks are symmetric around 0, by Wilcoxon's signed-rank test.

    Tasks of equal accuracy are left out, as in Wilcoxon (1945). For more than 50 differences, the sum of the
    ranks is normal, with the variance for ties and without a correction for continuity.

    Args:
        first: Accuracies of one result, (n,).
        second: Accuracies of the other one on the same tasks, (n,).

    Returns:
        Two-sided p-value; 1 if all accuracies are equal.

    Raises:
        FsbenchError: The lengths differ.

    Example:
        >>> wilcoxon_p([0.5, 0.7, 0.9], [0.4, 0.5, 0.6])
        0.25
    """
    difference = _differences(first, second)
    difference = difference[difference != 0]
    n = len(difference)
    if n == 0:
        return 1.0
    if n <= _NORMAL_ABOVE:
        from scipy.stats import wilcoxon  # here, since it takes half as long to import as torch

        return float(wilcoxon(difference).pvalue)
    _, places, counts = np.unique(np.abs(difference), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    variance = n * (n + 1) * (2 * n + 1) / 24 - (counts**3.0 - counts).sum() / 48
    excess = ranks[places][difference > 0].sum() - n * (n + 1) / 4
    return float(2 * scipy.special.ndtr(-abs(excess) / math.sqrt(variance)))


def welch_p(first: ArrayLike, second: ArrayLike) -> float:
    """Test whether two results on unrelated tasks have equal means, by Welch's t test.

    Args:
        first: Accuracies of one result, (n,), n at least 2.
        second: Accuracies of the other one, (m,), m at least 2.

    Returns:
        Two-sided p-value. Without any variance it is 1 for equal means and 0 for different ones.

    Raises:
        FsbenchError: A result has fewer than two tasks.

    Example:
        >>> round(welch_p([0.5, 0.7, 0.9], [0.4, 0.5, 0.6, 0.5]), 3)
        0.219
    """
    return float(t_test(*_welch(first, second))[1])


def welch_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """Compute the difference of two means over unrelated tasks and the half width of its 95 % interval.

    Args:
        first: Accuracies of one result, (n,), n at least 2.
        second: Accuracies of the other one, (m,), m at least 2.

    Returns:
        Mean of `first` minus mean of `second`, and the half width, in their unit.

    Raises:
        FsbenchError: A result has fewer than two tasks.

    Source:
        Welch, Biometrika 1947.

    Example:
        >>> difference, half_width = welch_difference([0.5, 0.7, 0.9], [0.4, 0.5, 0.6, 0.5])
        >>> print(f"{difference:.2f} ± {half_width:.2f}")
        0.20 ± 0.44
    """
    difference, variance = _welch(first, second)
    return difference, float(t_test(difference, variance)[0])


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjust p-values for multiple tests by Holm's method.

    Each adjusted value may be compared with one level, such as 0.05, for the whole family of tests.

    Args:
        p_values: p-values of the family, (n,); NaN stands for a test that was not made and does not count.

    Returns:
        Adjusted p-values in the same order, (n,); NaN stays NaN.

    Source:
        Holm, Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm([0.04, 0.01, 0.02]).tolist()
        [0.04, 0.03, 0.04]
    """
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")  # NaN comes last
    n_remaining = np.maximum(np.count_nonzero(~np.isnan(raw)) - np.arange(len(raw)), 1)
    adjusted = np.maximum.accumulate(raw[order] * n_remaining)
    result = np.empty_like(raw)
    result[order] = np.minimum(adjusted, 1)
    return result


def correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Compute Pearson's correlation of the accuracies of two results on the same tasks.

    The higher it is, the more a paired test gains: var(a - b) = var(a) + var(b) - 2 r sd(a) sd(b).

    Args:
        first: Accuracies of one result, (n,).
        second: Accuracies of the other one on the same tasks, (n,).

    Returns:
        Correlation, -1 to 1; None if the accuracies of one result do not vary.

    Raises:
        FsbenchError: The lengths differ.

    Example:
        >>> round(correlation([0, 1, 1], [0, 0, 1]), 3)
        0.5
    """
    a, b = _pair(first, second)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))


def tasks_needed(difference: float, deviation: float, power: float = POWER) -> int | None:
    """Compute how many tasks a t test at 5 % needs to find a difference.

    The number is (z_0.975 + z_power)^2 (deviation / difference)^2 + z_0.975^2 / 2, rounded up. Computed from
    an observed difference, it plans the next measurement; it is not evidence about the present one.

    Args:
        difference: True difference of the means.
        deviation: Standard deviation of the paired differences, or sqrt(var(a) + var(b)) for two unrelated
            lists of the same length.
        power: Probability of finding the difference, above 0 and below 1.

    Returns:
        Number of tasks; None for a difference of 0.

    Raises:
        FsbenchError: The power is out of range.

    Source:
        Guenther, The American Statistician 1981.

    Example:
        >>> tasks_needed(difference=0.01, deviation=0.1)
        787
    """
    if not 0 < power < 1:
        raise FsbenchError(f"power must be above 0 and below 1, but is {power}")
    if difference == 0:
        return None
    z_confidence, z_power = scipy.special.ndtri((1 + CONFIDENCE) / 2), scipy.special.ndtri(power)
    return math.ceil(((z_confidence + z_power) * deviation / difference) ** 2 + z_confidence**2 / 2)


def _differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """First minus second, rounded, so that 2/5 - 1/5 and 3/5 - 2/5 have the same rank."""
    a, b = _pair(first, second)
    return np.round(a - b, 12)


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the accuracies of two results on the same tasks."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise FsbenchError(
            f"paired results must have the same tasks, but have shapes {a.shape} and {b.shape}"
        )
    return a, b


def _welch(first: ArrayLike, second: ArrayLike) -> tuple[float, Variance]:
    """Difference of the means and its variance."""
    a, b = as_sample(first), as_sample(second)
    return float(a.mean() - b.mean()), add_variances(paired_variance(a), paired_variance(b))
