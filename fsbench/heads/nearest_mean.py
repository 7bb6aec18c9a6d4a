"""Nearest mean: a query belongs to the class whose support mean is nearest."""

import torch
from torch import Tensor

from fsbench.heads._support import class_means
from fsbench.heads.batching import product, widened


def nearest_mean(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by their negative squared Euclidean distance to the class means.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d) -> logits (tasks, queries, n_way). Shots
    (tasks, n_way) count the support of each class, rows beyond are padding. The term |query|^2 is the same
    for every class and left out, so logits are 2 q.m - |m|^2. Source: SimpleShot (arXiv:1911.04623) eq. 2;
    Snell et al. (arXiv:1703.05175) eq. 1-2.
    """
    return distance_logits(class_means(widened(support), shots), widened(query))


def distance_logits(means: Tensor, query: Tensor) -> Tensor:
    """Logits (tasks, queries, n_way) of query (tasks, queries, d) by distance to means (tasks, n_way, d)."""
    squares = torch.linalg.vector_norm(means, dim=-1, keepdim=True).square()  # in one pass
    return product(means, query.mT, squares, beta=-1, alpha=2).mT
