"""Intervals and spreads of independent accuracies; what one covers depends on what the values stand for.

| name in a result | values | covers |
|---|---|---|
| `INTERVAL` | tasks of one list over the same images | which tasks were drawn |
| `DISJOINT_INTERVAL` | tasks that share no image | new images; new classes only where none recurs |
| `CLASS_INTERVAL` | `data.class_values`, one a class | new classes with new images |
| `SEED_INTERVAL` | training runs, one a seed | which seed was trained |
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
INTERVAL = "student-t over tasks, ddof 1, 95 %"
FIELD_INTERVAL = "1.96 sd / sqrt(n) over tasks, ddof 0"
DISJOINT_INTERVAL = "student-t over disjoint tasks, ddof 1, 95 %"
SEED_INTERVAL = "student-t over training seeds, ddof 1, 95 %"


def mean_and_half_width(values: ArrayLike) -> tuple[float, float]:
    """The mean and the half width of its 95 % Student-t interval, in the unit of `values` (n,), n >= 2.

    The half width is t(0.975, n - 1) * s / sqrt(n) with s of ddof 1. Over tasks that are drawn with
    replacement it covers which tasks were drawn, not which images or training seeds (Lafargue et al., TMLR
    2024). Over tasks that share no image it also covers the images, and is somewhat too wide when they use
    all classes equally often; it covers new classes only where no two tasks share one.
    """
    sample = np.asarray(values, dtype=np.float64)
    assert sample.ndim == 1, sample.shape
    assert len(sample) >= 2, len(sample)
    half_width = _quantile(len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean()), float(half_width)


def field_half_width(values: ArrayLike) -> float:
    """1.96 * s / sqrt(n) with s of ddof 0: how most published few-shot tables are made.

    So in the code of Chen et al., ICLR 2019 (arXiv:1904.04232) and of S2M2 (arXiv:1907.12087). It is narrower
    than Student's interval, by 0.3 % for 600 tasks.
    """
    sample = np.asarray(values, dtype=np.float64)
    return float(1.96 * sample.std() / np.sqrt(len(sample)))


def standard_deviation(values: ArrayLike) -> float:
    """The standard deviation (ddof 1) of `values` (n,), n >= 2: of tasks or of training seeds.

    The spread of task accuracies says how far one task may fall from the mean; more tasks do not make it
    smaller, as they do the interval of the mean (Dhillon et al., ICLR 2020, arXiv:1909.02729).
    """
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1))


def task_quantiles(
    accuracies: ArrayLike, at: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)
) -> NDArray[np.float64]:
    """Accuracies below which the shares `at` of the tasks lie, interpolated linearly, shape (len(at),)."""
    return np.quantile(np.asarray(accuracies, dtype=np.float64), at)


def best_n_query(accuracies: ArrayLike, n_way: int, n_shot: int, n_query: int) -> float:
    """The query images a class with which disjoint tasks of a fixed pool of images tell the mean best.

    A pool of n images gives T = n / (N (K + Q)) disjoint tasks, whose accuracies have the variance
    b + w / (N Q), b between tasks and w within. The variance N (K + Q) / n * (b + w / (N Q)) of their mean
    is least at Q = sqrt(K w / (N b)). Here w is the mean of a (1 - a) over `accuracies` a (n_tasks,), which
    were measured with `n_query`, and b what their variance has beyond w / (N Q). At least 1; infinite when
    tasks differ by chance alone.
    """
    a, answers = np.asarray(accuracies, dtype=np.float64), n_way * n_query
    within = float(np.mean(a * (1 - a)) * answers / (answers - 1))
    between = float(a.var(ddof=1)) - within / answers
    return max(1.0, float(np.sqrt(n_shot * within / (n_way * between)))) if between > 0 else float("inf")


@cache
def _quantile(freedom: int) -> float:
    """Of Student's t; SciPy takes longer for it than the rest of an interval over 10,000 tasks does."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
