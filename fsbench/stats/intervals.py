"""Means with intervals. What an interval covers depends on the values.

| values | the interval covers |
|---|---|
| accuracies of the tasks of one list | which tasks were drawn from these images |
| accuracies of tasks that share no image | new images; new classes only if no class recurs |
| `class_values`, one per class | new classes with new images |
| accuracies of training runs, one per seed | which seed was trained |
"""

from functools import cache

import numpy as np
import scipy  # loads scipy.special on first use, since that delays the start of a command
from numpy.typing import ArrayLike, NDArray

from fsbench._util.errors import FsbenchError

CONFIDENCE = 0.95  # of every interval
INTERVAL = "student-t over tasks, ddof 1, 95 %"  # name of the interval in result files
DISJOINT_INTERVAL = "student-t over disjoint tasks, ddof 1, 95 %"  # the same if tasks share no image


def mean_and_half_width(values: ArrayLike) -> tuple[float, float]:
    """Compute a mean and the half width of its 95 % Student-t interval.

    The half width is t(0.975, n - 1) s / sqrt(n) with s of ddof 1. Over tasks drawn with replacement it
    covers which tasks were drawn, not which images or training seeds. Over tasks that share no image it also
    covers the images, and is slightly too wide if the tasks use all classes equally often.

    Args:
        values: Independent values, (n,), n at least 2.

    Returns:
        Mean and half width, in the unit of `values`.

    Raises:
        FsbenchError: There are fewer than two values.

    Source:
        Lafargue et al., TMLR 2024, on what an interval over tasks covers.

    Example:
        >>> mean, half_width = mean_and_half_width([1, 2, 3, 4, 5])
        >>> print(f"{mean:.2f} ± {half_width:.2f}")
        3.00 ± 1.96
    """
    sample = as_sample(values)
    half_width = _t_quantile(len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean()), float(half_width)


def field_half_width(values: ArrayLike) -> float:
    """Compute the half width that most published few-shot tables show: 1.96 s / sqrt(n) with s of ddof 0.

    It is narrower than Student's interval, by 0.3 % for 600 tasks.

    Args:
        values: Accuracies of tasks, (n,).

    Returns:
        Half width, in the unit of `values`.

    Source:
        The code of Chen et al., ICLR 2019 (arXiv:1904.04232), and of S2M2 (arXiv:1907.12087).

    Example:
        >>> round(field_half_width([1, 2, 3, 4, 5]), 2)
        1.24
    """
    sample = np.asarray(values, dtype=np.float64)
    return float(1.96 * sample.std() / np.sqrt(len(sample)))


def standard_deviation(values: ArrayLike) -> float:
    """Compute the standard deviation (ddof 1) of tasks or of training seeds.

    For task accuracies it describes how far single tasks are from the mean. Unlike the interval of the mean,
    it does not become smaller with more tasks.

    Args:
        values: Accuracies, (n,), n at least 2.

    Returns:
        Standard deviation, in the unit of `values`.

    Raises:
        FsbenchError: There are fewer than two values.

    Source:
        Dhillon et al., ICLR 2020 (arXiv:1909.02729), on reporting the spread of tasks.

    Example:
        >>> round(standard_deviation([1, 2, 3, 4, 5]), 3)
        1.581
    """
    return float(as_sample(values).std(ddof=1))


def binomial_interval(correct: int, n: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of a share, such as the accuracy on n images.

    It also holds for few images and for shares near 0 and 1, where mean ± half width does not.

    Args:
        correct: Number of images that are answered correctly, 0 to n.
        n: Number of images, at least 1.

    Returns:
        Lower and upper end, 0..1.

    Raises:
        FsbenchError: There is no image.

    Source:
        Wilson, JASA 1927; Brown, Cai and DasGupta, Statistical Science 2001, section 3.1.1.

    Example:
        >>> low, high = binomial_interval(8, 10)
        >>> print(f"{low:.3f} to {high:.3f}")
        0.490 to 0.943
    """
    if n < 1:
        raise FsbenchError(f"n must be at least 1, but is {n}")
    share, z = correct / n, scipy.special.ndtri((1 + CONFIDENCE) / 2)
    centre = share + z**2 / (2 * n)
    half_width = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = ((centre + sign * half_width) / (1 + z**2 / n) for sign in (-1, 1))
    return 0.0 if correct == 0 else float(low), 1.0 if correct == n else float(high)


def as_sample(values: ArrayLike) -> NDArray[np.float64]:
    """Convert values to a vector in double precision; refuse fewer than two."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) < 2:
        raise FsbenchError(f"values must be a vector of at least 2 numbers, but have shape {sample.shape}")
    return sample


@cache
def _t_quantile(freedom: int) -> float:
    """Upper quantile of Student's t; computing it takes SciPy longer than the interval of 10,000 tasks."""
    return float(scipy.special.stdtrit(freedom, (1 + CONFIDENCE) / 2))
