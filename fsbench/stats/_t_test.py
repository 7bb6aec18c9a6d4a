"""Student's t test, and the variances of differences that it uses."""

from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special on first use, since that delays the start of a command
from numpy.typing import ArrayLike, NDArray

from fsbench.stats.intervals import CONFIDENCE

Array = NDArray[np.float64]


class Variance(NamedTuple):
    """Estimated variances of means or of differences of means, of any shape; NaN where they are unknown.

    Attributes:
        value: The variances.
        freedom: Their degrees of freedom, same shape.
    """

    value: Array
    freedom: Array


def t_test(difference: ArrayLike, variance: Variance) -> tuple[Array, Array]:
    """Compute 95 % half widths and two-sided p-values of differences, element by element.

    Args:
        difference: Differences of means, any shape.
        variance: Their variances, same shape.

    Returns:
        Half widths and p-values, same shape; NaN where the variance is. Without any variance p is 1 for equal
        means and 0 for different ones.
    """
    difference, error = np.asarray(difference), np.sqrt(variance.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where((difference == 0) & (error == 0), 0.0, np.abs(difference) / error)
    # A quantile takes long, and most degrees of freedom are equal.
    freedoms, indices = np.unique(variance.freedom, return_inverse=True)
    quantiles = np.asarray(scipy.special.stdtrit(freedoms, (1 + CONFIDENCE) / 2), dtype=np.float64)
    p_values = np.asarray(2 * scipy.special.stdtr(variance.freedom, -t))
    return quantiles[indices].reshape(error.shape) * error, p_values


def paired_variance(differences: Array) -> Variance:
    """Compute the variance of the mean of `differences` (n,) on the same tasks."""
    n = len(differences)
    return Variance(np.asarray(differences.var(ddof=1) / n), np.asarray(n - 1.0))


def all_paired_variances(values: Array) -> Variance:
    """Compute the variance of the mean difference of every pair of rows of `values` (m, n), (m, m)."""
    m, n = values.shape
    centred = values - values.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T / (n - 1)
    variances = covariance.diagonal()
    variance = np.maximum(variances[:, None] + variances - 2 * covariance, 0) / n
    return Variance(variance, np.full((m, m), n - 1.0))


def add_variances(first: Variance, second: Variance) -> Variance:
    """Add variances of independent means, element by element, as Welch's test does.

    Source:
        Satterthwaite, Biometrics Bulletin 2 (1946), 110-114, for the degrees of freedom.
    """
    total, weight = first.value + second.value, _weight(first) + _weight(second)
    return Variance(total, np.divide(total**2, weight, out=np.ones_like(weight), where=weight > 0))


def add_all_pairs(variances: Variance) -> Variance:
    """Add every pair of the variances (m,) of independent means, (m, m)."""
    value, freedom = variances
    return add_variances(Variance(value[:, None], freedom[:, None]), variances)


def _weight(variance: Variance) -> Array:
    """A variance's term in the denominator of Satterthwaite's formula; 0 where there is no variance."""
    value, freedom = variance
    return np.divide(value**2, freedom, out=np.zeros_like(value), where=value != 0)
