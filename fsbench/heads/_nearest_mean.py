"""Nearest mean: a query belongs to the class whose support mean is nearest."""

import torch
from torch import Tensor

from fsbench.heads._rows import Rows, logits_by, rows_of
from fsbench.heads._support import class_means, is_for_kernels
from fsbench.heads.batching import product, widened


def nearest_mean(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by their negative squared Euclidean distance to the class means.

    The term |query|^2 is the same for every class and left out, so logits are 2 q.m - |m|^2.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way).

    Source:
        SimpleShot, Wang et al. (arXiv:1911.04623) eq. 2; prototypical networks, Snell et al.
        (arXiv:1703.05175) eq. 1-2.

    Example:
        >>> support = torch.tensor([[[[0.0, 0.0]], [[1.0, 1.0]]]])  # one task, two classes, one shot
        >>> nearest_mean(support, torch.tensor([[[0.9, 0.8]]]))
        tensor([[[0.0000, 1.4000]]])
    """
    if is_for_kernels(support, query):
        return of_rows(rows_of(support, query, shots))
    return by_torch(support, query, shots)


def of_rows(rows: Rows) -> Tensor:
    """Compute `nearest_mean` without a copy of the features."""
    from fsbench.heads._nearest_mean_numba import score_tasks  # compiles on its first call

    return logits_by(score_tasks, rows)


def by_torch(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Compute `nearest_mean` on any device."""
    return distance_logits(class_means(widened(support), shots), widened(query))


def distance_logits(means: Tensor, query: Tensor) -> Tensor:
    """Compute logits (tasks, queries, n_way) from distances of query (tasks, queries, d) to class means.

    means are (tasks, n_way, d).
    """
    squares = torch.linalg.vector_norm(means, dim=-1, keepdim=True).square()  # in one pass
    return product(means, query.mT, squares, beta=-1, alpha=2).mT
