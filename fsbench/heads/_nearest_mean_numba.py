"""`_nearest_mean.by_torch` compiled for CPUs: features are read by row number, where they are, not copied.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import numpy as np

from fsbench.heads._numba import ONE, TWO, ZERO, Floats, Ints, compiled
from fsbench.heads._prefetch_numba import prefetch

TOGETHER = 5  # classes whose products with a point are computed together, from registers


@compiled
def score_tasks(
    points: Floats, support: Ints, shots: Ints, queries: Floats, query: Ints, logits: Floats
) -> None:
    """Fill logits (tasks, n_way, queries) = 2 q.m - |m|^2.

    support (tasks, n_way, n_shot) are rows of points (n, d), of which each class has shots (tasks, n_way);
    query (tasks, queries) are rows of queries (m, d).
    """
    n_way, d = support.shape[1], points.shape[1]
    means, no_shift = np.empty((n_way, d), np.float32), np.zeros(d, np.float32)
    for task in range(len(query)):
        find_means(points, support[task], shots[task], no_shift, means)
        score(queries, query[task], no_shift, means, logits[task])


@compiled
def find_means(points: Floats, support: Ints, shots: Ints, no_shift: Floats, means: Floats) -> None:
    """Fill the class means (n_way, d) of one task."""
    means[:] = ZERO
    for c in range(len(means)):
        for j in range(shots[c]):
            if j + 1 < shots[c]:
                prefetch(points, support[c], j + 1)
            elif c + 1 < len(means):
                prefetch(points, support[c + 1], 0)
            add(points, support[c, j], no_shift, ONE / np.float32(shots[c]), means[c])


@compiled
def score(queries: Floats, query: Ints, no_shift: Floats, means: Floats, logits: Floats) -> None:
    """Fill the logits of one task, (n_way, queries)."""
    n_way = len(means)
    squares, products = np.empty(n_way, np.float32), np.empty(n_way, np.float32)
    prefetch(queries, query, 0)
    for c in range(n_way):
        squares[c] = square(means, c, no_shift)
    for q in range(len(query)):
        prefetch(queries, query, q + 1)
        find_products(queries, query[q], no_shift, means, products)
        for c in range(n_way):
            logits[c, q] = TWO * products[c] - squares[c]


@compiled
def find_products(points: Floats, row: int, shift: Floats, means: Floats, products: Floats) -> None:
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
def square(points: Floats, row: int, shift: Floats) -> np.float32:
    """Return the squared length of a shifted point."""
    total = ZERO
    for i in range(points.shape[1]):
        total += (points[row, i] + shift[i]) ** 2
    return total


@compiled
def add(points: Floats, row: int, shift: Floats, weight: np.float32, total: Floats) -> None:
    """Add a shifted point times its weight to a sum (d,)."""
    for i in range(len(total)):
        total[i] += weight * (points[row, i] + shift[i])
