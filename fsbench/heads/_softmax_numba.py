"""Softmax over classes in compiled code, with the queries of a task in one vector."""

import numpy as np

from fsbench.heads._numba import ONE, Floats, compiled, exp


@compiled
def softmax(scores: Floats) -> None:
    """Replace scores (n_way, queries) by their softmax over the classes."""
    n_way, n_query = scores.shape
    highest, total = scores[0].copy(), np.zeros(n_query, np.float32)
    for c in range(1, n_way):
        for q in range(n_query):
            highest[q] = scores[c, q] if scores[c, q] > highest[q] else highest[q]
    for c in range(n_way):
        for q in range(n_query):
            scores[c, q] = exp(scores[c, q] - highest[q])
            total[q] += scores[c, q]
    for q in range(n_query):
        total[q] = ONE / total[q]
    for c in range(n_way):
        for q in range(n_query):
            scores[c, q] *= total[q]
