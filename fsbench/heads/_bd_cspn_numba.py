"""`_bd_cspn.by_torch` compiled for CPUs: each task is read from memory once and then stays in a core's cache.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import math

import numpy as np

from fsbench.heads._numba import ONE, TWO, ZERO, Floats, Ints, compiled, exp

SHORTEST = np.float32(1e-24)  # squared length; shorter ones count as this
TOGETHER = 5  # classes whose products with a point are computed together, from registers


@compiled
def rectify_tasks(
    support: Floats, query: Floats, shots: Ints, scale: np.float32, means: Floats, logits: Floats
) -> None:
    """Fill the rectified class means (tasks, n_way, d) and the logits of the queries (tasks, queries, n_way).

    support (tasks, n_way, n_shot, d), query (tasks, queries, d), shots (tasks, n_way).
    """
    n_way, n_shot, d = support.shape[1:]
    for task in range(len(query)):
        points = support[task].reshape(n_way * n_shot, d)
        _rectify(points, query[task], shots[task], scale, means[task])
        _score(query[task], means[task], logits[task])


@compiled
def _rectify(points: Floats, query: Floats, shots: Ints, scale: np.float32, means: Floats) -> None:
    """Fill the rectified class means (n_way, d) of one task."""
    n_way, d = means.shape
    n_shot, n_support = len(points) // n_way, shots.sum()
    support_means = np.zeros((n_way, d), np.float32)
    no_shift, shift = np.zeros(d, np.float32), np.zeros(d, np.float32)
    for c in range(n_way):
        for row in range(c * n_shot, c * n_shot + shots[c]):
            _add(points, row, no_shift, ONE / np.float32(shots[c]), support_means[c])
        _add(support_means, c, no_shift, np.float32(shots[c]) / np.float32(n_support), shift)
    for row in range(len(query)):
        _add(query, row, no_shift, -ONE / np.float32(len(query)), shift)
    inverse_lengths, cosines = np.empty(n_way, np.float32), np.empty(n_way, np.float32)
    for c in range(n_way):
        inverse_lengths[c] = _inverse_root(_square(support_means, c, no_shift))
    counts = np.zeros(n_way, np.int64)
    means[:] = ZERO
    for c in range(n_way):
        for row in range(c * n_shot, c * n_shot + shots[c]):
            _assign(points, row, no_shift, support_means, inverse_lengths, scale, cosines, means, counts)
    for row in range(len(query)):
        _assign(query, row, shift, support_means, inverse_lengths, scale, cosines, means, counts)
    for c in range(n_way):
        for i in range(d):
            means[c, i] = means[c, i] / np.float32(counts[c]) if counts[c] else support_means[c, i]


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
    _find_products(points, row, shift, support_means, cosines)
    length = _inverse_root(_square(points, row, shift))
    nearest = 0
    for c in range(len(cosines)):
        cosines[c] *= length * inverse_lengths[c]
        if cosines[c] > cosines[nearest]:
            nearest = c
    total = ZERO
    for c in range(len(cosines)):
        total += exp(scale * (cosines[c] - cosines[nearest]))
    _add(points, row, shift, ONE / total, sums[nearest])
    counts[nearest] += 1


@compiled
def _score(query: Floats, means: Floats, logits: Floats) -> None:
    """Fill the logits 2 q.m - |m|^2 of one task, (queries, n_way)."""
    n_way, d = means.shape
    no_shift = np.zeros(d, np.float32)
    squares, products = np.empty(n_way, np.float32), np.empty(n_way, np.float32)
    for c in range(n_way):
        squares[c] = _square(means, c, no_shift)
    for row in range(len(query)):
        _find_products(query, row, no_shift, means, products)
        for c in range(n_way):
            logits[row, c] = TWO * products[c] - squares[c]


@compiled
def _find_products(points: Floats, row: int, shift: Floats, means: Floats, products: Floats) -> None:
    """Fill the products of a shifted point and all means, (n_way,)."""
    n_way, d = means.shape
    together = n_way // TOGETHER * TOGETHER
    for c in range(0, together, TOGETHER):
        sum_0 = sum_1 = sum_2 = sum_3 = sum_4 = ZERO
        for i in range(d):
            x = points[row, i] + shift[i]
            sum_0 += x * means[c, i]
            sum_1 += x * means[c + 1, i]
            sum_2 += x * means[c + 2, i]
            sum_3 += x * means[c + 3, i]
            sum_4 += x * means[c + 4, i]
        products[c], products[c + 1], products[c + 2] = sum_0, sum_1, sum_2
        products[c + 3], products[c + 4] = sum_3, sum_4
    for c in range(together, n_way):
        product = ZERO
        for i in range(d):
            product += (points[row, i] + shift[i]) * means[c, i]
        products[c] = product


@compiled
def _square(points: Floats, row: int, shift: Floats) -> np.float32:
    """Return the squared length of a shifted point."""
    square = ZERO
    for i in range(points.shape[1]):
        square += (points[row, i] + shift[i]) ** 2
    return square


@compiled
def _add(points: Floats, row: int, shift: Floats, weight: np.float32, total: Floats) -> None:
    """Add a shifted point times its weight to a sum (d,)."""
    for i in range(len(total)):
        total[i] += weight * (points[row, i] + shift[i])


@compiled
def _inverse_root(square: np.float32) -> np.float32:
    """1 / sqrt(square); a length of zero counts as a tiny one."""
    return ONE / math.sqrt(SHORTEST if square < SHORTEST else square)
