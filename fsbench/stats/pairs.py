"""Tests and intervals for the difference of two results: paired on the same tasks, else by their means."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fsbench.stats.intervals import CONFIDENCE, mean_and_half_width

POWER = 0.8


def paired_p(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p-value of the paired t test for equal means of accuracies on the same tasks (n,)."""
    difference = _differences(first, second)
    return _t_p(difference.mean(), difference.var(ddof=1) / len(difference), len(difference) - 1)


def paired_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """The mean difference on the same tasks (n,) and the half width of its 95 % Student-t interval."""
    return mean_and_half_width(_differences(first, second))


def wilcoxon_p(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test on the same tasks (n,); 1 without any difference.

    Tasks of equal accuracy are left out, as Wilcoxon (1945) did.
    """
    difference = _differences(first, second)
    difference = difference[difference != 0]
    return float(stats.wilcoxon(difference).pvalue) if len(difference) else 1.0


def welch_p(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p-value of Welch's t test for equal means of accuracies on unrelated tasks."""
    return _t_p(*_welch(first, second))


def welch_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """The difference of means over unrelated tasks and the half width of its 95 % interval (Welch 1947)."""
    difference, variance, freedom = _welch(first, second)
    return difference, float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance))


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjusted p-values: each may be held against one level for the whole family (Holm 1979).

    A p-value that is NaN stands for no test: it stays NaN and does not count.
    """
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")  # NaN comes last
    left = np.maximum(np.count_nonzero(~np.isnan(raw)) - np.arange(len(raw)), 1)
    adjusted = np.maximum.accumulate(raw[order] * left)
    result = np.empty_like(raw)
    result[order] = np.minimum(adjusted, 1)
    return result


def correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Pearson's correlation of accuracies on the same tasks, -1..1; None when either does not vary.

    The higher it is the more a paired test gains: var(a - b) = var(a) + var(b) - 2 r sd(a) sd(b).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))


def tasks_needed(difference: float, deviation: float, power: float = POWER) -> int | None:
    """The tasks with which a t test at 5 % finds a true `difference` with probability `power`; None for 0.

    `deviation` is the standard deviation of the paired differences, or sqrt(var(a) + var(b)) for two lists of
    so many tasks each. n = (z_0.975 + z_power)^2 (deviation / difference)^2 + z_0.975^2 / 2, rounded up
    (Guenther, The American Statistician 1981). Of a difference that was seen, it plans the next measurement;
    it is no evidence about this one.
    """
    if difference == 0:
        return None
    tail, reach = stats.norm.ppf((1 + CONFIDENCE) / 2), stats.norm.ppf(power)
    return math.ceil(((tail + reach) * deviation / difference) ** 2 + tail**2 / 2)


def _differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """First minus second; rounded, so that 2/5 - 1/5 and 3/5 - 2/5 have one rank."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    return np.round(a - b, 12)


def _welch(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Difference of the means, its variance and the Welch-Satterthwaite degrees of freedom."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    spread = parts[0] + parts[1]
    weights = parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1)
    return float(a.mean() - b.mean()), float(spread), float(spread**2 / weights if weights > 0 else 1)


def _t_p(difference: float, variance: float, freedom: float) -> float:
    """Two-sided p of a t statistic; without any variance it is 1 for equal means and 0 for others."""
    if variance == 0:
        return float(difference == 0)
    return float(2 * stats.t.sf(abs(difference) / np.sqrt(variance), freedom))
