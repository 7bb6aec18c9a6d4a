"""`_bd_cspn.by_torch` compiled for CPUs: each task is read from memory once and then stays in a core's cache.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import math

import numpy as np

from fsbench.heads._nearest_mean_numba import add, find_means, find_products, score, square
from fsbench.heads._numba import ONE, ZERO, Floats, Ints, compiled, exp
from fsbench.heads._prefetch_numba import prefetch

SHORTEST = np.float32(1e-24)  # squared length; shorter ones count as this


@compiled
def rectify_tasks(
    points: Floats,
    support: Ints,
    shots: Ints,
    queries: Floats,
    query: Ints,
    scale: np.float32,
    means: Floats,
    logits: Floats,
) -> None:
    """Fill the rectified class means (tasks, n_way, d) and the logits of the queries (tasks, n_way, queries).

    support (tasks, n_way, n_shot) are rows of points (n, d), of which each class has shots (tasks, n_way);
    query (tasks, queries) are rows of queries (m, d).
    """
    no_shift = np.zeros(points.shape[1], np.float32)
    for task in range(len(query)):
        _rectify(points, support[task], shots[task], queries, query[task], scale, means[task])
        score(queries, query[task], no_shift, means[task], logits[task])


@compiled
def _rectify(
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
    no_shift, support_means = np.zeros(d, np.float32), np.empty((n_way, d), np.float32)
    find_means(points, support, shots, no_shift, support_means)
    shift = _find_shift(support_means, shots, queries, query, no_shift)
    inverse_lengths, cosines = np.empty(n_way, np.float32), np.empty(n_way, np.float32)
    for c in range(n_way):
        inverse_lengths[c] = _inverse_root(square(support_means, c, no_shift))
    counts = np.zeros(n_way, np.int64)
    means[:] = ZERO
    for c in range(n_way):
        for j in range(shots[c]):
            row = support[c, j]
            _assign(points, row, no_shift, support_means, inverse_lengths, scale, cosines, means, counts)
    for row in query:
        _assign(queries, row, shift, support_means, inverse_lengths, scale, cosines, means, counts)
    for c in range(n_way):
        for i in range(d):
            means[c, i] = means[c, i] / np.float32(counts[c]) if counts[c] else support_means[c, i]


@compiled
def _find_shift(support_means: Floats, shots: Ints, queries: Floats, query: Ints, no_shift: Floats) -> Floats:
    """Return the mean of the support minus that of the queries, (d,)."""
    shift, n_support = np.zeros(len(no_shift), np.float32), shots.sum()
    for c in range(len(support_means)):
        add(support_means, c, no_shift, np.float32(shots[c]) / np.float32(n_support), shift)
    for q in range(len(query)):
        prefetch(queries, query, q + 1)
        add(queries, query[q], no_shift, -ONE / np.float32(len(query)), shift)
    return shift


@compiled
def _assign(
    points: Floats,
    row: int,
    shift: Floats,
    support_means: Floats,
    inverse_lengths: Floats,
    scale: np.float32,
    cosines: Floats,
    sums: Floats,
    counts: Ints,
) -> None:
    """Add a shifted point to the class with the largest cosine, with the weight of its softmax."""
    find_products(points, row, shift, support_means, cosines)
    length = _inverse_root(square(points, row, shift))
    nearest = 0
    for c in range(len(cosines)):
        cosines[c] *= length * inverse_lengths[c]
        if cosines[c] > cosines[nearest]:
            nearest = c
    total = ZERO
    for c in range(len(cosines)):
        total += exp(scale * (cosines[c] - cosines[nearest]))
    add(points, row, shift, ONE / total, sums[nearest])
    counts[nearest] += 1


@compiled
def _inverse_root(squared: np.float32) -> np.float32:
    """1 / sqrt(squared); a length of zero counts as a tiny one."""
    return ONE / math.sqrt(SHORTEST if squared < SHORTEST else squared)
