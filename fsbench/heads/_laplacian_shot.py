"""LaplacianShot: nearest rectified mean, smoothed over the queries' nearest neighbours."""

import numpy as np
import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.heads._bd_cspn import SCALE, rectified, shift_of
from fsbench.heads._gram import inner_products
from fsbench.heads._nearest_mean import distance_logits
from fsbench.heads._rows import Rows, logits_by, rows_of
from fsbench.heads._support import class_means, is_for_kernels, mean_shots, shots_of
from fsbench.heads.batching import product, widened

NEIGHBOURS = 2  # the published kNN(3) counts the query itself and then drops it
UPDATES = 20
_LARGEST = 1e30  # weight, far above any distance of features


def laplacian_shot(
    support: Tensor,
    query: Tensor,
    shots: Tensor | None = None,
    *,
    balanced: bool = True,
    shifted_queries: bool = False,
    weight_one_shot: float = 0.7,
    weight: float = 0.3,
) -> Tensor:
    """Score queries by distance to the rectified class means and agreement with their neighbours.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        balanced: Rectify the class means by the queries, as published for tasks whose classes have the same
            number of queries. False: use the support means, as published for Dirichlet queries.
        shifted_queries: Measure the distances from the queries that rectification shifts to where the support
            is, as the code of the paper does. It has no effect without rectification.
        weight_one_shot: Weight of the neighbours in tasks with one shot, 0 or larger.
        weight: Weight of the neighbours in tasks with more shots on average over the classes, 0 or larger.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Raises:
        FsbenchError: A weight is negative or above 1e30.

    Source:
        Ziko et al. (arXiv:2006.15486) eq. 7 and algorithm 1. The published code stops earlier once the energy
        changes by less than 1e-6 of itself, which only saves time. Weights and unshifted queries are those of
        Veilleux et al. (arXiv:2204.11181) for balanced mini-ImageNet, used here for all data sets.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> laplacian_shot(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    weights = {"weight_one_shot": weight_one_shot, "weight": weight}
    if is_for_kernels(support, query):
        rows = rows_of(support, query, shots)
        return of_rows(rows, balanced=balanced, shifted_queries=shifted_queries, **weights)
    return by_torch(support, query, shots, balanced=balanced, shifted_queries=shifted_queries, **weights)


def of_rows(
    rows: Rows, *, balanced: bool, shifted_queries: bool, weight_one_shot: float, weight: float
) -> Tensor:
    """Compute `laplacian_shot` from rows of features."""
    from fsbench.heads._laplacian_shot_numba import smooth_tasks  # compiles on its first call

    _check(weight_one_shot=weight_one_shot, weight=weight)
    numbers = np.float32(weight_one_shot), np.float32(weight), np.float32(SCALE), NEIGHBOURS, UPDATES
    return logits_by(smooth_tasks, rows, balanced, shifted_queries, *numbers, with_inner_products=True)


def by_torch(
    support: Tensor,
    query: Tensor,
    shots: Tensor | None,
    *,
    balanced: bool,
    shifted_queries: bool,
    weight_one_shot: float,
    weight: float,
) -> Tensor:
    """Compute `laplacian_shot` on any device."""
    _check(weight_one_shot=weight_one_shot, weight=weight)
    support, query = widened(support), widened(query)
    unary = _distances(support, query, shots, balanced, shifted_queries)
    average = mean_shots(support, shots)
    weights = torch.full_like(average, weight).masked_fill(average == 1, weight_one_shot)
    near = widened(weights * _neighbours(query))
    logits = unary
    for _ in range(UPDATES):
        logits = unary + product(logits.softmax(dim=1), near)[..., : query.shape[1]]
    return logits.mT


def _check(**weights: float) -> None:
    """Refuse weights out of range."""
    for name, value in weights.items():
        if not 0 <= value <= _LARGEST:
            raise FsbenchError(f"{name} must be from 0 to {_LARGEST:.0e}, but is {value}")


def _distances(
    support: Tensor, query: Tensor, shots: Tensor | None, balanced: bool, shifted_queries: bool
) -> Tensor:
    """Score queries by their negative squared distances to the class means, (tasks, n_way, queries)."""
    means = rectified(support, query, shots) if balanced else class_means(support, shots)
    unary = distance_logits(means, query).mT
    if balanced and shifted_queries:  # 2 (q + s).m - |m|^2 for a shift s
        counts = shots_of(support, shots).to(support.dtype).unsqueeze(2)
        unary = unary + 2 * product(means, shift_of(class_means(support, shots), counts, query).mT)
    return unary


def _neighbours(query: Tensor) -> Tensor:
    """Return 1 at [t, j, i] if query j is among the NEIGHBOURS nearest to query i, else 0; not symmetric."""
    gram = inner_products(query)
    closeness = 2 * gram - gram.diagonal(dim1=1, dim2=2).unsqueeze(2)  # |q_i|^2 - |q_i - q_j|^2
    closeness.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    near = torch.zeros_like(closeness)  # (tasks, queries, queries)
    for _ in range(min(NEIGHBOURS, query.shape[1] - 1)):  # three times as fast as topk for so few
        nearest = closeness.max(dim=1, keepdim=True).indices
        near.scatter_(1, nearest, 1.0)
        closeness.scatter_(1, nearest, -torch.inf)
    return near
