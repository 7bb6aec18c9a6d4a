"""`_laplacian_shot.by_torch` compiled for CPUs: a sum over two neighbours instead of a matrix product.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import numpy as np

from fsbench.heads._bd_cspn_numba import find_shift, rectify
from fsbench.heads._gram_numba import fill_gram
from fsbench.heads._nearest_mean_numba import find_means, product, score
from fsbench.heads._numba import TWO, ZERO, Floats, Ints, compiled
from fsbench.heads._points_numba import copy_rows
from fsbench.heads._softmax_numba import softmax


@compiled
def smooth_tasks(
    points: Floats,
    support: Ints,
    shots: Ints,
    queries: Floats,
    query: Ints,
    logits: Floats,
    balanced: bool,
    shifted_queries: bool,
    weight_one_shot: np.float32,
    weight: np.float32,
    scale: np.float32,
    neighbours: int,
    updates: int,
) -> None:
    """Fill logits (tasks, n_way, queries) of the tasks that `_rows.Rows` describes.

    scale is that of `bd_cspn`.
    """
    n_way, n_query, d = logits.shape[1], logits.shape[2], points.shape[1]
    means, unary = np.empty((n_way, d), np.float32), np.empty((n_way, n_query), np.float32)
    values, gram = np.empty((n_query, d), np.float32), np.empty((n_query, n_query), np.float32)
    near = np.empty((max(0, min(neighbours, n_query - 1)), n_query), np.int64)
    rows = np.arange(n_query)  # of the copy
    for task in range(len(query)):
        copy_rows(queries, query[task], values)
        if balanced:
            rectify(points, support[task], shots[task], values, rows, scale, means)
        else:
            find_means(points, support[task], shots[task], means)
        score(values, rows, means, unary)
        if balanced and shifted_queries:
            _shift(points, support[task], shots[task], values, rows, means, unary)
        fill_gram(values, gram)
        _find_neighbours(gram, near)
        one_shot = shots[task].sum() == n_way
        _smooth(unary, near, weight_one_shot if one_shot else weight, updates, logits[task])


@compiled
def _shift(
    points: Floats, support: Ints, shots: Ints, queries: Floats, query: Ints, means: Floats, unary: Floats
) -> None:
    """Add what 2 q.m gains if a query q is shifted to where the support is."""
    support_means = np.empty(means.shape, np.float32)
    find_means(points, support, shots, support_means)
    shift = find_shift(support_means, shots, queries, query)
    for c in range(len(means)):
        more = TWO * product(means, c, shift)
        for q in range(unary.shape[1]):
            unary[c, q] += more


@compiled
def _find_neighbours(gram: Floats, near: Ints) -> None:
    """Fill near (neighbours, queries) with the queries that are nearest to each query, itself left out."""
    n_query = len(gram)
    closeness = np.empty(n_query, np.float32)
    for q in range(n_query):
        for p in range(n_query):
            closeness[p] = TWO * gram[q, p] - gram[p, p]  # |q|^2 - |q - p|^2
        closeness[q] = -np.inf
        for k in range(len(near)):
            nearest = 0
            for p in range(1, n_query):
                nearest = p if closeness[p] > closeness[nearest] else nearest
            near[k, q], closeness[nearest] = nearest, -np.inf


@compiled
def _smooth(unary: Floats, near: Ints, weight: np.float32, updates: int, logits: Floats) -> None:
    """Fill logits (n_way, queries): unary scores plus the weighted shares of the neighbours."""
    n_way, n_query = unary.shape
    shares = np.empty((n_way, n_query), np.float32)
    for c in range(n_way):
        for q in range(n_query):
            logits[c, q] = unary[c, q]
    for _ in range(updates):
        for c in range(n_way):
            for q in range(n_query):
                shares[c, q] = logits[c, q]
        softmax(shares)
        for c in range(n_way):
            for q in range(n_query):
                total = ZERO
                for k in range(len(near)):
                    total += shares[c, near[k, q]]
                logits[c, q] = unary[c, q] + weight * total
