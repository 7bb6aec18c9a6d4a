"""PT-MAP: class means found together with an optimal transport of all queries to the classes."""

import numpy as np
import torch
from torch import Tensor

from fsbench.heads._gram import inner_products
from fsbench.heads._rows import Rows, logits_by, rows_of
from fsbench.heads._soft_kmeans import initial_means, means_of, unit
from fsbench.heads._support import class_means, is_for_kernels, shots_of
from fsbench.heads.batching import product, widened

SHARPNESS = 10.0  # the transport's inverse temperature
STEP = 0.2  # how far a mean moves towards its estimate
UPDATES = 20
TOLERANCE, MOST_ROUNDS, ROUNDS_PER_CHECK = 1e-6, 1000, 4


def pt_map(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by the logarithm of the mass that an optimal transport moves from them to each class.

    Class means and transport are found together. Every class receives queries / n_way: the head is given the
    class prior, and its errors grow with the difference from the true counts.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        Hu, Gripon, Pateux (arXiv:2006.03806) algorithm 1. The published code first changes the basis by a QR
        decomposition. It is left out, since only inner products are used and these are the same in any basis.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> pt_map(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    if is_for_kernels(support, query):
        return of_rows(rows_of(support, query, shots))
    return by_torch(support, query, shots)


def of_rows(rows: Rows) -> Tensor:
    """Compute `pt_map` from rows of features."""
    from fsbench.heads._pt_map_numba import transport_tasks  # compiles on its first call

    numbers = np.float32(SHARPNESS), np.float32(STEP), UPDATES, np.float32(TOLERANCE)
    return logits_by(
        transport_tasks,
        rows,
        *numbers,
        MOST_ROUNDS // ROUNDS_PER_CHECK,
        ROUNDS_PER_CHECK,
        with_inner_products=True,
    )


def by_torch(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Compute `pt_map` on any device."""
    support, query = widened(support), widened(query)
    n_way, counts = support.shape[1], shots_of(support, shots).to(query.dtype).unsqueeze(2)
    centre = product((counts / counts.sum(dim=1, keepdim=True)).mT, class_means(support, shots))
    support, query = unit(support - centre.unsqueeze(2)), unit(query - query.mean(dim=1, keepdim=True))
    points = torch.cat([class_means(support, shots), query], dim=1)
    gram, mixture = widened(inner_products(points)[..., n_way:]), initial_means(points, n_way)
    log_scale = torch.zeros_like(counts)
    for update in range(UPDATES + 1):
        # Minus SHARPNESS times the squared distance, without the squares of points and means: the factors of
        # the transport absorb what is the same for all classes of a query or all queries of a class.
        score = 2 * SHARPNESS * product(mixture, gram)[..., : query.shape[1]]  # (tasks, n_way, queries)
        plan, log_scale = transport(score, log_scale)
        if update < UPDATES:
            mixture = mixture.lerp(means_of(counts, plan), STEP)
    return (score + log_scale).mT


def transport(score: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Find the plan exp(score + row + column) whose query sums are 1 and class sums queries / n_way.

    score (tasks, n_way, queries) and an initial guess of the classes' terms (tasks, n_way, 1), which only
    affects the number of rounds -> plan, classes' terms. Sinkhorn's iteration corrects the two kinds of sums
    in turn until those of the queries are within TOLERANCE of 1. Every task has its own number of rounds, so
    batching changes no result. Source: Cuturi (arXiv:1306.0895) algorithm 1.
    """
    per_class = score.shape[2] / score.shape[1]
    kernel = (score + log_scale).softmax(dim=1)  # the first row sum corrects the factor of a query
    column = torch.ones_like(log_scale)
    todo, left, scale = torch.arange(len(score), device=score.device), kernel, column
    for _ in range(MOST_ROUNDS // ROUNDS_PER_CHECK):
        for _ in range(ROUNDS_PER_CHECK):
            row = (left * scale).sum(dim=1, keepdim=True).reciprocal()
            scale = per_class / (left * row).sum(dim=2, keepdim=True)
        column = column.index_copy(0, todo, scale)
        unfinished = ((left * scale).sum(dim=1, keepdim=True) * row - 1).abs().amax(dim=(1, 2)) > TOLERANCE
        todo, left, scale = todo[unfinished], left[unfinished], scale[unfinished]
        if len(todo) == 0:
            break
    plan = kernel * column
    return plan / plan.sum(dim=1, keepdim=True), log_scale + column.log()
