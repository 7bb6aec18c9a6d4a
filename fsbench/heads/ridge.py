"""Ridge regression on one-hot classes, in closed form."""

import torch
from torch import Tensor

from fsbench.heads._support import centred, linear_logits
from fsbench.heads.batching import product, widened

PENALTY = 1.0  # of the squared weights


def ridge(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by least squares on one-hot classes plus PENALTY times the squared weights.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d) -> logits (tasks, queries, n_way), estimates
    of the one-hot class. Shots (tasks, n_way) count the support of each class, rows beyond are padding.
    Intercepts are free. Source: R2-D2, Bertinetto et al. (arXiv:1805.08136) eq. 4-6, which learns the
    penalty with the backbone, and a scale of all logits that changes no answer; with a given backbone the
    penalty is fixed.
    """
    support, query = widened(support), widened(query)
    centre, points, labels = centred(support, shots)
    # Weights lie in the span of the points: points by points instead of d by d.
    system = product(points, points.mT)
    system.diagonal(dim1=1, dim2=2).add_(PENALTY)
    mixture = torch.cholesky_solve(labels.mT, torch.linalg.cholesky(system)).mT  # (tasks, n_way, points)
    counts = labels.sum(dim=2, keepdim=True)  # (tasks, n_way, 1)
    return linear_logits(query, centre, product(mixture, points), counts / counts.sum(dim=1, keepdim=True))
