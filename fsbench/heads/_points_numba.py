"""The points of one task in compiled code: copied next to each other, centred, mixed to class means."""

import math

import numpy as np

from fsbench.heads._gram_numba import fill_gram
from fsbench.heads._nearest_mean_numba import add
from fsbench.heads._numba import ONE, ZERO, Floats, Ints, compiled
from fsbench.heads._prefetch_numba import LINE, prefetch

SHORTEST = np.float32(1e-12)  # shorter points are not scaled to unit length
UNCENTRED, BY_ONE_MEAN, BY_TWO_MEANS = 0, 1, 2  # two: one of the support, one of the queries


@compiled
def scratch(n_way: int, n_query: int) -> tuple[Floats, Floats, Floats]:
    """Return memory for inner products (width, width), mixtures and their products (n_way, width).

    The width is that of a task's class means and queries, rounded up to whole cache lines; the inner products
    are zero.
    """
    width = (n_way + n_query + LINE - 1) // LINE * LINE
    return (
        np.zeros((width, width), np.float32),
        np.empty((n_way, width), np.float32),
        np.empty((n_way, width), np.float32),
    )


@compiled
def copy_rows(points: Floats, rows: Ints, copies: Floats) -> None:
    """Copy rows of points (n, d) to the first rows of copies (rows or more, d)."""
    for j in range(len(rows)):
        prefetch(points, rows, j + 1)
        row = rows[j]
        for i in range(points.shape[1]):
            copies[j, i] = points[row, i]


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
def fill_gram_of_task(
    points: Floats, support: Ints, shots: Ints, queries: Floats, query: Ints, centring: int, gram: Floats
) -> None:
    """Fill the inner products of the class means of a task's support, and of its queries.

    support (n_way, n_shot) are rows of points (n, d), of which each class has shots (n_way); query (queries,)
    are rows of queries (m, d). `centring` says how points are centred before they are scaled to unit length;
    UNCENTRED points keep their lengths. gram has n_way + queries rows and columns or more; others keep their
    values.
    """
    n_way, n_query, n_support, d = len(support), len(query), shots.sum(), points.shape[1]
    of_support, values = np.empty((n_support, d), np.float32), np.empty((n_way + n_query, d), np.float32)
    first = 0
    for c in range(n_way):
        copy_rows(points, support[c, : shots[c]], of_support[first:])
        first += shots[c]
    of_query = values[n_way:]
    copy_rows(queries, query, of_query)
    mean = np.zeros(d, np.float32)
    if centring == BY_ONE_MEAN:
        weight = ONE / np.float32(n_support + n_query)
        add_all(of_support, weight, mean)
        add_all(of_query, weight, mean)
        centre(of_support, mean)
        centre(of_query, mean)
    elif centring == BY_TWO_MEANS:
        add_all(of_support, ONE / np.float32(n_support), mean)
        centre(of_support, mean)
        mean[:] = ZERO
        add_all(of_query, ONE / np.float32(n_query), mean)
        centre(of_query, mean)
    values[:n_way] = ZERO
    first = 0
    for c in range(n_way):
        add_all(of_support[first : first + shots[c]], ONE / np.float32(shots[c]), values[c])
        first += shots[c]
    fill_gram(values, gram)


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
