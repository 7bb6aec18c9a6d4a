"""`_bd_cspn.by_torch` compiled for CPUs: a task of few queries is read from memory once and stays in cache.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import math

import numpy as np

from fsbench.heads._nearest_mean_numba import (
    add,
    find_means,
    find_products,
    product,
    score,
    square,
)
from fsbench.heads._numba import ONE, ZERO, Floats, Ints, compiled, exp
from fsbench.heads._prefetch_numba import prefetch

SHORTEST = np.float32(1e-24)  # squared length; shorter ones count as this


@compiled
def score_tasks(
    points: Floats,
    support: Ints,
    shots: Ints,
    queries: Floats,
    query: Ints,
    logits: Floats,
    scale: np.float32,
) -> None:
    """Fill logits (tasks, n_way, queries) of the tasks that `_rows.Rows` describes."""
    means = np.empty((support.shape[1], points.shape[1]), np.float32)
    for task in range(len(query)):
        rectify(points, support[task], shots[task], queries, query[task], scale, means)
        score(queries, query[task], means, logits[task])


@compiled
def rectify(
    points: Floats,
    support: Ints,
    shots: Ints,
    queries: Floats,
    query: Ints,
    scale: np.float32,
    means: Floats,
) -> None:
    """Fill the rectified class means (n_way, d) of one task."""
    n_way, d = means.shape
    support_means, inverse_lengths = np.empty((n_way, d), np.float32), np.empty(n_way, np.float32)
    find_means(points, support, shots, support_means)
    for c in range(n_way):
        inverse_lengths[c] = _inverse_root(square(support_means, c))
    shift, counts = np.zeros(d, np.float32), np.zeros(n_way, np.int64)
    means[:] = ZERO
    for c in range(n_way):
        _assign(points, support[c, : shots[c]], shift, support_means, inverse_lengths, scale, means, counts)
    shift = find_shift(support_means, shots, queries, query)
    _assign(queries, query, shift, support_means, inverse_lengths, scale, means, counts)
    for c in range(n_way):
        for i in range(d):
            means[c, i] = means[c, i] / np.float32(counts[c]) if counts[c] else support_means[c, i]


@compiled
def find_shift(support_means: Floats, shots: Ints, queries: Floats, query: Ints) -> Floats:
    """Return the mean of the support minus that of the queries, (d,)."""
    shift, n_support = np.zeros(support_means.shape[1], np.float32), shots.sum()
    for c in range(len(support_means)):
        add(support_means, c, np.float32(shots[c]) / np.float32(n_support), shift)
    for q in range(len(query)):
        prefetch(queries, query, q + 1)
        add(queries, query[q], -ONE / np.float32(len(query)), shift)
    return shift


@compiled
def _assign(
    points: Floats,
    rows: Ints,
    shift: Floats,
    support_means: Floats,
    inverse_lengths: Floats,
    scale: np.float32,
    sums: Floats,
    counts: Ints,
) -> None:
    """Add each point, shifted, to the class with the largest cosine, with the weight of its softmax.

    No point is changed: the shift enters products once per class, and sums through their weights.
    """
    n_way, last = len(sums), len(rows) - 1
    of_shift, shifted = np.empty(n_way, np.float32), np.zeros(n_way, np.float32)
    for c in range(n_way):
        of_shift[c] = product(support_means, c, shift)
    cosines = np.empty((2, n_way), np.float32)
    for j in range(0, len(rows), 2):
        find_products(points, rows[j], rows[min(j + 1, last)], support_means, cosines)
        for k in range(min(2, len(rows) - j)):
            row = rows[j + k]
            length, nearest = _inverse_root(_shifted_square(points, row, shift)), 0
            for c in range(n_way):
                cosines[k, c] = (cosines[k, c] + of_shift[c]) * length * inverse_lengths[c]
                if cosines[k, c] > cosines[k, nearest]:
                    nearest = c
            total = ZERO
            for c in range(n_way):
                total += exp(scale * (cosines[k, c] - cosines[k, nearest]))
            add(points, row, ONE / total, sums[nearest])
            shifted[nearest] += ONE / total
            counts[nearest] += 1
    for c in range(n_way):
        for i in range(len(shift)):
            sums[c, i] += shifted[c] * shift[i]


@compiled
def _shifted_square(points: Floats, row: int, shift: Floats) -> np.float32:
    """Return the squared length of a shifted point."""
    total = ZERO
    for i in range(len(shift)):
        total += (points[row, i] + shift[i]) ** 2
    return total


@compiled
def _inverse_root(squared: np.float32) -> np.float32:
    """1 / sqrt(squared); a length of zero counts as a tiny one."""
    return ONE / math.sqrt(SHORTEST if squared < SHORTEST else squared)
