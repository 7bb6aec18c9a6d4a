"""`_soft_kmeans.by_torch` compiled for CPUs: a task of few queries stays in a core's cache.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import math

import numpy as np

from fsbench.heads._nearest_mean_numba import product
from fsbench.heads._numba import ONE, TWO, ZERO, Floats, Ints, compiled, exp
from fsbench.heads._points_numba import fill_gram_of_task, move_means, multiply, scratch, start
from fsbench.heads._softmax_numba import softmax


@compiled
def cluster_tasks(
    points: Floats,
    support: Ints,
    shots: Ints,
    queries: Floats,
    query: Ints,
    logits: Floats,
    centring: int,
    class_prior: bool,
    temperature: np.float32,
    updates: int,
) -> None:
    """Fill logits (tasks, n_way, queries) of the tasks that `_rows.Rows` describes."""
    n_way, n_query = logits.shape[1], logits.shape[2]
    gram, mixture, inner = scratch(n_way, n_query)
    shares = np.empty((n_way, n_query), np.float32)
    for task in range(len(query)):
        fill_gram_of_task(points, support[task], shots[task], queries, query[task], centring, gram)
        start(mixture)
        for _ in range(updates):
            _score(mixture, gram, temperature, inner, shares)
            if class_prior:
                _share_by_prior(shares)
            else:
                softmax(shares)
            move_means(shots[task], shares, ONE, mixture)
        _score(mixture, gram, temperature, inner, logits[task])


@compiled
def _score(mixture: Floats, gram: Floats, temperature: np.float32, inner: Floats, scores: Floats) -> None:
    """Fill the scores of the queries (n_way, queries): 2 q.m - |m|^2 times the temperature."""
    n_way = len(mixture)
    multiply(mixture, gram, inner)
    for c in range(n_way):
        squared = product(inner, c, mixture[c])
        for q in range(scores.shape[1]):
            scores[c, q] = temperature * (TWO * inner[c, n_way + q] - squared)


@compiled
def _share_by_prior(scores: Floats) -> None:
    """Replace scores (n_way, queries) by shares of the queries, of which every class has the same sum.

    The logarithms of the softmax over classes are kept, so that a class gets its weight even if all of its
    shares underflow.
    """
    n_way, n_query = scores.shape
    for q in range(n_query):
        highest = scores[0, q]
        for c in range(1, n_way):
            highest = max(highest, scores[c, q])
        total = ZERO
        for c in range(n_way):
            total += exp(scores[c, q] - highest)
        logarithm = highest + np.float32(math.log(total))
        for c in range(n_way):
            scores[c, q] -= logarithm
    per_class = np.float32(n_query) / np.float32(n_way)
    for c in range(n_way):
        highest, total = scores[c, 0], ZERO
        for q in range(1, n_query):
            highest = max(highest, scores[c, q])
        for q in range(n_query):
            scores[c, q] = exp(scores[c, q] - highest)
            total += scores[c, q]
        for q in range(n_query):
            scores[c, q] *= per_class / total
