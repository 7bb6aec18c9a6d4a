"""`_nearest_mean.by_torch` compiled for CPUs: features are read by row number, where they are, not copied.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import numpy as np

from fsbench.heads._numba import ONE, TWO, ZERO, Floats, Ints, compiled
from fsbench.heads._prefetch_numba import prefetch

TOGETHER = 5  # classes whose products with two points are computed together, in registers


@compiled
def score_tasks(
    points: Floats, support: Ints, shots: Ints, queries: Floats, query: Ints, logits: Floats
) -> None:
    """Fill logits (tasks, n_way, queries), 2 q.m - |m|^2, of the tasks that `_rows.Rows` describes."""
    n_way, d = support.shape[1], points.shape[1]
    means = np.empty((n_way, d), np.float32)
    for task in range(len(query)):
        find_means(points, support[task], shots[task], means)
        score(queries, query[task], means, logits[task])


@compiled
def find_means(points: Floats, support: Ints, shots: Ints, means: Floats) -> None:
    """Fill the class means (n_way, d) of one task."""
    means[:] = ZERO
    for c in range(len(means)):
        for j in range(shots[c]):
            if j + 1 < shots[c]:
                prefetch(points, support[c], j + 1)
            elif c + 1 < len(means):
                prefetch(points, support[c + 1], 0)
            add(points, support[c, j], ONE / np.float32(shots[c]), means[c])


@compiled
def score(queries: Floats, query: Ints, means: Floats, logits: Floats) -> None:
    """Fill the logits of one task, (n_way, queries)."""
    n_way, last = len(means), len(query) - 1
    squares, products = np.empty(n_way, np.float32), np.empty((2, n_way), np.float32)
    prefetch(queries, query, 0)
    prefetch(queries, query, 1)
    for c in range(n_way):
        squares[c] = square(means, c)
    for q in range(0, len(query), 2):
        prefetch(queries, query, q + 2)
        prefetch(queries, query, q + 3)
        other = min(q + 1, last)
        find_products(queries, query[q], query[other], means, products)
        for c in range(n_way):
            logits[c, q] = TWO * products[0, c] - squares[c]
            logits[c, other] = TWO * products[1, c] - squares[c]


@compiled
def find_products(points: Floats, row: int, other: int, means: Floats, products: Floats) -> None:
    """Fill the products of two points and all means, (2, n_way)."""
    n_way, d = means.shape
    together = n_way // TOGETHER * TOGETHER
    for c in range(0, together, TOGETHER):
        p_0 = p_1 = p_2 = p_3 = p_4 = q_0 = q_1 = q_2 = q_3 = q_4 = ZERO
        for i in range(d):
            p, q = points[row, i], points[other, i]
            m = means[c, i]  # one mean after the other, or the compiler runs out of registers
            p_0, q_0 = p_0 + p * m, q_0 + q * m
            m = means[c + 1, i]
            p_1, q_1 = p_1 + p * m, q_1 + q * m
            m = means[c + 2, i]
            p_2, q_2 = p_2 + p * m, q_2 + q * m
            m = means[c + 3, i]
            p_3, q_3 = p_3 + p * m, q_3 + q * m
            m = means[c + 4, i]
            p_4, q_4 = p_4 + p * m, q_4 + q * m
        products[0, c], products[0, c + 1], products[0, c + 2] = p_0, p_1, p_2
        products[0, c + 3], products[0, c + 4] = p_3, p_4
        products[1, c], products[1, c + 1], products[1, c + 2] = q_0, q_1, q_2
        products[1, c + 3], products[1, c + 4] = q_3, q_4
    for c in range(together, n_way):
        products[0, c], products[1, c] = product(points, row, means[c]), product(points, other, means[c])


@compiled
def product(points: Floats, row: int, direction: Floats) -> np.float32:
    """Return the product of a point and a direction (d,)."""
    total = ZERO
    for i in range(len(direction)):
        total += points[row, i] * direction[i]
    return total


@compiled
def square(points: Floats, row: int) -> np.float32:
    """Return the squared length of a point."""
    total = ZERO
    for i in range(points.shape[1]):
        total += points[row, i] ** 2
    return total


@compiled
def add(points: Floats, row: int, weight: np.float32, total: Floats) -> None:
    """Add a point times its weight to a sum (d,)."""
    for i in range(len(total)):
        total[i] += weight * points[row, i]
