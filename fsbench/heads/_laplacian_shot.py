"""LaplacianShot: nearest rectified mean, smoothed over the queries' nearest neighbours."""

import torch
from torch import Tensor

from fsbench.heads._bd_cspn import rectified
from fsbench.heads._support import mean_shots
from fsbench.heads.batching import product, widened

NEIGHBOURS = 2  # the published kNN(3) counts the query itself and then drops it
UPDATES = 20


def laplacian_shot(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by distance to the rectified class means and agreement with their neighbours.

    Neighbours have weight 0.7 with one shot and 0.3 with more, on average over the classes of a task. These
    are the values of arXiv:2204.11181 for balanced mini-ImageNet, used here for all data sets.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        Ziko et al. (arXiv:2006.15486) eq. 7 and algorithm 1. The published code stops earlier once the energy
        changes by less than 1e-6 of itself, which only saves time.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> laplacian_shot(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    support, query = widened(support), widened(query)
    unary = rectified(support, query, shots)[1].mT.contiguous()  # (tasks, n_way, queries)
    average = mean_shots(support, shots)
    weight = torch.full_like(average, 0.3).masked_fill(average == 1, 0.7)
    near = widened(weight * _neighbours(query))
    logits = unary
    for _ in range(UPDATES):
        logits = unary + product(logits.softmax(dim=1), near)[..., : query.shape[1]]
    return logits.mT


def _neighbours(query: Tensor) -> Tensor:
    """Return 1 at [t, j, i] if query j is among the NEIGHBOURS nearest to query i, else 0; not symmetric."""
    gram = product(query, query.mT)
    closeness = 2 * gram - gram.diagonal(dim1=1, dim2=2).unsqueeze(2)  # |q_i|^2 - |q_i - q_j|^2
    closeness.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    near = torch.zeros_like(closeness)  # (tasks, queries, queries)
    for _ in range(min(NEIGHBOURS, query.shape[1] - 1)):  # three times as fast as topk for so few
        nearest = closeness.max(dim=1, keepdim=True).indices
        near.scatter_(1, nearest, 1.0)
        closeness.scatter_(1, nearest, -torch.inf)
    return near
