"""`_pt_map.by_torch` compiled for CPUs: a task of few queries stays in a core's cache.

Tasks are computed one after the other, so the bits of one depend on no other. The caller starts threads:
compiled code releases the interpreter lock.
"""

import math

import numpy as np

from fsbench.heads._numba import ONE, TWO, ZERO, Floats, Ints, compiled
from fsbench.heads._points_numba import BY_TWO_MEANS, fill_gram_of_task, move_means, multiply, scratch, start
from fsbench.heads._softmax_numba import softmax


@compiled
def transport_tasks(
    points: Floats,
    support: Ints,
    shots: Ints,
    queries: Floats,
    query: Ints,
    logits: Floats,
    sharpness: np.float32,
    step: np.float32,
    updates: int,
    tolerance: np.float32,
    checks: int,
    rounds_per_check: int,
) -> None:
    """Fill logits (tasks, n_way, queries) of the tasks that `_rows.Rows` describes."""
    n_way, n_query = logits.shape[1], logits.shape[2]
    gram, mixture, inner = scratch(n_way, n_query)
    plan, log_scale = np.empty((n_way, n_query), np.float32), np.empty(n_way, np.float32)
    for task in range(len(query)):
        fill_gram_of_task(points, support[task], shots[task], queries, query[task], BY_TWO_MEANS, gram)
        start(mixture)
        log_scale[:] = ZERO
        for update in range(updates + 1):
            multiply(mixture, gram, inner)
            for c in range(n_way):
                for q in range(n_query):
                    plan[c, q] = TWO * sharpness * inner[c, n_way + q] + log_scale[c]
            _transport(plan, log_scale, tolerance, checks, rounds_per_check)
            if update < updates:
                move_means(shots[task], plan, step, mixture)
        for c in range(n_way):
            for q in range(n_query):
                logits[task, c, q] = TWO * sharpness * inner[c, n_way + q] + log_scale[c]


@compiled
def _transport(
    plan: Floats, log_scale: Floats, tolerance: np.float32, checks: int, rounds_per_check: int
) -> None:
    """Replace scores by the plan of `_pt_map.transport`, (n_way, queries), and update the classes' terms."""
    n_way, n_query = plan.shape
    softmax(plan)
    per_class = np.float32(n_query) / np.float32(n_way)
    scale, row = np.ones(n_way, np.float32), np.empty(n_query, np.float32)
    for _ in range(checks):
        for _ in range(rounds_per_check):
            _sum_classes(plan, scale, row)
            for q in range(n_query):
                row[q] = ONE / row[q]
            for c in range(n_way):
                total = ZERO
                for q in range(n_query):
                    total += plan[c, q] * row[q]
                scale[c] = per_class / total
        if _is_done(plan, scale, row, tolerance):
            break
    _sum_classes(plan, scale, row)
    for c in range(n_way):
        log_scale[c] += np.float32(math.log(scale[c]))
        for q in range(n_query):
            plan[c, q] = plan[c, q] * scale[c] / row[q]


@compiled
def _sum_classes(plan: Floats, scale: Floats, sums: Floats) -> None:
    """Fill the sums of the queries (queries,) over the classes, each with its scale."""
    sums[:] = ZERO
    for c in range(len(plan)):
        for q in range(len(sums)):
            sums[q] += plan[c, q] * scale[c]


@compiled
def _is_done(plan: Floats, scale: Floats, row: Floats, tolerance: np.float32) -> bool:
    """Whether the sums of the queries, each times its row factor, are all within the tolerance of 1."""
    sums = np.empty(len(row), np.float32)
    _sum_classes(plan, scale, sums)
    largest = ZERO
    for q in range(len(row)):
        largest = max(largest, abs(sums[q] * row[q] - ONE))
    return not largest > tolerance
