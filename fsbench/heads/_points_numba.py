"""The points of one task in compiled code: copied next to each other, centred, mixed to class means."""

import math

import numpy as np

from fsbench.heads._nearest_mean_numba import add
from fsbench.heads._numba import ONE, ZERO, Floats, Ints, compiled
from fsbench.heads._prefetch_numba import prefetch

SHORTEST = np.float32(1e-12)  # shorter points are not scaled to unit length
LINE = 16  # float32 values in a cache line


@compiled
def padded(n: int) -> int:
    """Return n, rounded up to whole cache lines."""
    return (n + LINE - 1) // LINE * LINE


@compiled
def copy_support(points: Floats, support: Ints, shots: Ints, copies: Floats) -> int:
    """Copy the support of a task, class by class and without padding; return its number of points.

    support (n_way, n_shot) are rows of points (n, d), of which each class has shots (n_way).
    """
    n = 0
    for c in range(len(support)):
        n += copy_rows(points, support[c, : shots[c]], copies[n:])
    return n


@compiled
def copy_rows(points: Floats, rows: Ints, copies: Floats) -> int:
    """Copy rows of points (n, d) to the first rows of copies (rows or more, d); return their number."""
    for j in range(len(rows)):
        prefetch(points, rows, j + 1)
        row = rows[j]
        for i in range(points.shape[1]):
            copies[j, i] = points[row, i]
    return len(rows)


@compiled
def add_all(points: Floats, weight: np.float32, total: Floats) -> None:
    """Add the sum of points (n, d), times a weight, to total (d,)."""
    for j in range(len(points)):
        add(points, j, weight, total)


@compiled
def centre(points: Floats, mean: Floats) -> None:
    """Subtract a mean (d,) from points (n, d) and scale them to unit length."""
    n, d = points.shape
    for j in range(n):
        squared = ZERO
        for i in range(d):
            points[j, i] -= mean[i]
            squared += points[j, i] ** 2
        length = np.float32(math.sqrt(squared))
        factor = ONE / (SHORTEST if length < SHORTEST else length)
        for i in range(d):
            points[j, i] *= factor


@compiled
def fold(support: Floats, shots: Ints, means: Floats) -> None:
    """Fill the class means (n_way, d) of support points (n, d), class by class."""
    means[:] = ZERO
    first = 0
    for c in range(len(shots)):
        add_all(support[first : first + shots[c]], ONE / np.float32(shots[c]), means[c])
        first += shots[c]


@compiled
def start(mixture: Floats) -> None:
    """Fill mixture (n_way, width) with the class means of the support, the first n_way points."""
    for c in range(len(mixture)):
        for j in range(mixture.shape[1]):
            mixture[c, j] = ONE if j == c else ZERO


@compiled
def multiply(mixture: Floats, gram: Floats, inner: Floats) -> None:
    """Fill inner (n_way, width) with the products of class means and points.

    Class means are mixtures (n_way, width) of points with these inner products (width, width). The width is a
    multiple of 4; a weight of 0 stands for a point that is missing.
    """
    for c in range(len(mixture)):
        row = inner[c]
        row[:] = ZERO
        for i in range(0, len(gram), 4):
            w_0, w_1, w_2, w_3 = mixture[c, i], mixture[c, i + 1], mixture[c, i + 2], mixture[c, i + 3]
            for j in range(len(row)):
                row[j] += (
                    w_0 * gram[i, j] + w_1 * gram[i + 1, j] + w_2 * gram[i + 2, j] + w_3 * gram[i + 3, j]
                )


@compiled
def move_means(shots: Ints, shares: Floats, step: np.float32, mixture: Floats) -> None:
    """Move each class mean by a step (1: all the way) to the mean of its support and shares of queries.

    mixture (n_way, width) has the weights of the support means, then those of the queries; shares are
    (n_way, queries).
    """
    n_way = len(mixture)
    for c in range(n_way):
        total = np.float32(shots[c])
        for q in range(shares.shape[1]):
            total += shares[c, q]
        factor = ONE / total
        mixture[c, c] += step * (np.float32(shots[c]) * factor - mixture[c, c])
        for q in range(shares.shape[1]):
            mixture[c, n_way + q] += step * (shares[c, q] * factor - mixture[c, n_way + q])
