"""Ridge regression on one-hot classes, in closed form."""

import torch
from torch import Tensor

from fsbench.heads._gram import inner_products
from fsbench.heads._support import centred, linear_logits, one_hot
from fsbench.heads.batching import product, widened

PENALTY = 1.0  # factor of the squared weights


def ridge(support: Tensor, query: Tensor, shots: Tensor | None = None, *, intercept: bool = True) -> Tensor:
    """Score queries by ridge regression on one-hot classes, with intercepts that are not penalised.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        intercept: Fit an intercept for each class. False: a regression through the origin, as in R2-D2.

    Returns:
        Logits, (tasks, queries, n_way): estimates of the one-hot class.

    Source:
        R2-D2, Bertinetto et al. (arXiv:1805.08136) eq. 4-6. The paper learns the penalty together with the
        backbone, and a scale of all logits, which changes no prediction. Here the penalty is fixed.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> ridge(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    # Per task, with X the support (points, d), Y its one-hot classes (points, n_way) and P the penalty:
    #
    #     minimise |X W + b - Y|^2 + P |W|^2 over weights W (d, n_way) and intercepts b (n_way).
    #
    # With X centred, the best b is the mean of Y (the class frequencies). Without intercepts, X is not
    # centred, and b is zero. In both cases, W solves
    #
    #     (X^T X + P I) W = X^T Y,   so   W = X^T A   with   (X X^T + P I) A = Y.
    #
    # The second form holds because X^T (X X^T + P I) = (X^T X + P I) X^T. Its system has one row per point
    # instead of one per feature value. Y need not be centred: X^T 1 = 0 if X is, so a constant in Y does not
    # change W.
    support, query = widened(support), widened(query)
    if intercept:
        centre, points, labels = centred(support, shots)
        counts = labels.sum(dim=2, keepdim=True)  # (tasks, n_way, 1)
        intercepts = counts / counts.sum(dim=1, keepdim=True)
    else:
        labels = one_hot(support, shots).double()
        points = support.flatten(1, 2) * labels.sum(dim=1).unsqueeze(2)  # zero for padding
        centre, intercepts = torch.zeros_like(points[:, :1]), torch.zeros_like(labels[..., :1])
    system = inner_products(points)  # X X^T
    system.diagonal(dim1=1, dim2=2).add_(PENALTY)
    mixture = torch.cholesky_solve(labels.mT, torch.linalg.cholesky(system)).mT  # A^T, (tasks, n_way, points)
    return linear_logits(query, centre, product(mixture, points), intercepts)
