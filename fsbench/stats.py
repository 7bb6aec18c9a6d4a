"""Intervals and comparisons of accuracies over tasks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
INTERVAL = "student-t over tasks, ddof 1, 95 %"  # how a result names its interval


def mean_and_half_width(values: ArrayLike) -> tuple[float, float]:
    """The mean and the half width of its 95 % Student-t interval, in the unit of `values` (n,), n >= 2.

    The half width is t(0.975, n - 1) * s / sqrt(n) with s of ddof 1. It covers which tasks were drawn, not
    which images or training seeds.
    """
    sample = np.asarray(values, dtype=np.float64)
    assert sample.ndim == 1, sample.shape
    assert len(sample) >= 2, len(sample)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1)
    return float(sample.mean()), float(quantile * sample.std(ddof=1) / np.sqrt(len(sample)))


def paired_p(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p-value of the paired t test for equal means of accuracies on the same tasks (n,)."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return _t_p(difference.mean(), difference.var(ddof=1) / len(difference), len(difference) - 1)


def welch_p(first: ArrayLike, second: ArrayLike) -> float:
    """The two-sided p-value of Welch's t test for equal means of accuracies on unrelated tasks."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    spread = parts[0] + parts[1]
    weights = parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1)
    return _t_p(a.mean() - b.mean(), spread, spread**2 / weights if weights > 0 else 1)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjusted p-values: each may be held against one level for the whole family (Holm 1979)."""
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    adjusted = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    result = np.empty_like(raw)
    result[order] = np.minimum(adjusted, 1)
    return result


def _t_p(difference: float, variance: float, freedom: float) -> float:
    """Two-sided p of a t statistic; without any variance, equal means do not differ and others do."""
    if variance == 0:
        return float(difference == 0)
    return float(2 * stats.t.sf(abs(difference) / np.sqrt(variance), freedom))
