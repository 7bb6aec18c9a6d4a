"""Nearest mean: a query belongs to the class whose support mean is nearest."""

import torch
from torch import Tensor

from fsbench.heads.points import real_rows


def nearest_mean(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by their negative squared Euclidean distance to the class means.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d) -> logits (tasks, queries, n_way). Shots
    (tasks, n_way) count the support of each class, rows beyond are padding. The term |query|^2 is the same
    for every class and left out, so logits are 2 q.m - |m|^2. Source: SimpleShot (arXiv:1911.04623) eq. 2;
    Snell et al. (arXiv:1703.05175) eq. 1-2.
    """
    if support.shape[2] == 1:
        means = support.squeeze(2)
    elif shots is None:
        means = support.mean(dim=2)  # (tasks, n_way, d)
    else:
        means = (support * real_rows(support, shots).unsqueeze(3)).sum(dim=2) / shots.unsqueeze(2)
    squares = means.square().sum(dim=-1, keepdim=True)
    return torch.baddbmm(squares, means, query.mT, beta=-1, alpha=2).mT
