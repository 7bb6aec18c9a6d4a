"""Intervals over the data: how the mean would vary with new classes and new images.

Ten thousand tasks over 20 classes are not ten thousand samples: they share classes and images, and the usual
interval is conditional on both. A split is a sample of classes, each with its images, and the mean over tasks
is a U-statistic of these classes (its kernel: the accuracy of a task of N classes). Its variance over the
data therefore follows from what each class does to the mean, which the kept scores of the tasks tell.

Both levels are covered by resampling classes with all of their images: images are nested in classes, so what
varies between classes holds the variation of their images already. To draw images once more within the drawn
classes, the literal two-level bootstrap, counts that part twice (Davison & Hinkley 1997, section 3.8).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsbench.stats.intervals import CONFIDENCE

CLASS_INTERVAL = "jackknife student-t over classes, 95 %"
BOOTSTRAP_INTERVAL = "bootstrap-t over classes, 95 %"


def class_values(accuracies: ArrayLike, classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """What each class says of the mean: its jackknife pseudo-value, shape (number of classes,).

    `accuracies` (n_tasks,) are of tasks over `classes` (n_tasks, n_way), ids of the classes that occur. With
    m the mean over all C classes' tasks and m_c over the tasks without class c, the value of class c is
    m + (C - 1) (m - m_c); `mean_and_half_width` of the values is Tukey's interval (Arvesen, Ann. Math. Stat.
    1969, for U-statistics). It is exact for accuracies that are sums of class effects and cautious for others
    (Efron & Stein 1981). Each class should be in some hundred tasks: the tasks' own noise counts about n_way
    times, so that with only 20 the interval covers 99 %. Given the differences of two results on the same
    tasks it tells whether one is better on new classes.

    There must be a task without each class, hence more classes than `n_way`.
    """
    scores = np.asarray(accuracies, dtype=np.float64)
    names, places = np.unique(classes, return_inverse=True)
    places = places.ravel()
    counts = len(scores) - np.bincount(places)  # of tasks without each class
    assert (counts > 0).all(), "a class is in every task"
    mean = scores.mean()
    without = (scores.sum() - np.bincount(places, np.repeat(scores, classes.shape[1]))) / counts
    values: NDArray[np.float64] = mean + (len(names) - 1) * (mean - without)
    return values


def bootstrap_interval(
    accuracies: ArrayLike, classes: NDArray[np.integer], rng: np.random.Generator, n_resamples: int = 10_000
) -> tuple[float, float]:
    """The ends of the 95 % bootstrap-t interval over classes and their images; arguments as `class_values`.

    A resample draws C of the C class values with replacement and gives t = (its mean - v) / (its s /
    sqrt(C)), v and s the mean and the deviation of all values. With quantiles of t the interval around the
    mean m is [m - t_0.975 s / sqrt(C), m - t_0.025 s / sqrt(C)] (Efron & Tibshirani 1993, section 12.5). It
    leans to the longer tail of the classes, as they have near 100 %. The percentile interval of the same
    resamples is too narrow for 20 classes: its spread by sqrt((C - 1) / C), and a normal stands for a t
    quantile.
    """
    mean = float(np.mean(np.asarray(accuracies, dtype=np.float64)))
    values = class_values(accuracies, classes)
    root = np.sqrt(len(values))
    error = values.std(ddof=1) / root
    drawn = values[rng.integers(len(values), size=(n_resamples, len(values)))]  # (n_resamples, classes)
    errors = drawn.std(axis=1, ddof=1) / root
    spread = errors > 1e-9 * max(error, 1e-9)  # one class drawn every time leaves nothing to divide by
    if not spread.any():  # all classes say the same
        return mean, mean
    ratios = (drawn[spread].mean(axis=1) - values.mean()) / errors[spread]
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return mean - float(high * error), mean - float(low * error)
