"""BD-CSPN: nearest mean, with class means rectified by the queries that are most similar to them."""

import numpy as np
import torch
from torch import Tensor

from fsbench.heads._nearest_mean import distance_logits
from fsbench.heads._rows import Rows, logits_by, rows_of
from fsbench.heads._support import class_means, is_for_kernels, one_hot
from fsbench.heads.batching import product, widened

SCALE = 10.0  # of cosine similarity, inside the softmax


def bd_cspn(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by their negative squared Euclidean distance to the rectified class means.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        Liu, Song, Qin (arXiv:1911.10713). As in the code of Realistic Transductive Few-Shot
        (arXiv:2204.11181), unshifted queries are scored.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> bd_cspn(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    if is_for_kernels(support, query):
        return of_rows(rows_of(support, query, shots))
    return by_torch(support, query, shots)


def of_rows(rows: Rows) -> Tensor:
    """Compute `bd_cspn` without a copy of the features."""
    from fsbench.heads._bd_cspn_numba import score_tasks  # compiles on its first call

    return logits_by(score_tasks, rows, np.float32(SCALE))


def by_torch(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Compute `bd_cspn` on any device."""
    support, query = widened(support), widened(query)
    return distance_logits(rectified(support, query, shots), query)


def rectified(support: Tensor, query: Tensor, shots: Tensor | None) -> Tensor:
    """Compute class means that include the queries, (tasks, n_way, d); both are `widened`.

    Queries are shifted so that their mean is that of the support. Each point then belongs to the class whose
    support mean has the largest cosine similarity, weighted by the softmax of SCALE times the similarities,
    and a class becomes the mean of its weighted points. A class to which no point belongs keeps its support
    mean. Source: arXiv:1911.10713 eq. 3-6, whose sums run over all points; the published code limits a point
    to its own class, as here.
    """
    # Access to memory takes most of the time. So no feature is copied: the shift enters through inner
    # products, and operations apply to the weights of points or to products instead of to features.
    points = support.flatten(1, 2)  # (tasks, points, d)
    labels = one_hot(support, shots)  # (tasks, n_way, points)
    means = class_means(support, shots)  # (tasks, n_way, d)
    counts, n_support = labels.sum(dim=2, keepdim=True), labels.shape[2]
    shift = shift_of(means, counts, query)
    directions = torch.cat([means, shift], dim=1)
    shifted = product(directions, query.mT) + product(directions, shift.mT)  # (tasks, n_way + 1, queries)
    squares = _squares(query) + 2 * shifted[:, -1:] - _squares(shift)  # lengths of the shifted queries
    squares = torch.cat([_squares(points), squares], dim=2)
    products = torch.cat([product(means, points.mT), shifted[:, :-1]], dim=2)
    cosine = products * _inverse_root(squares) * _inverse_root(_squares(means).mT)
    nearest = cosine.max(dim=1, keepdim=True).indices
    assigned = torch.zeros_like(cosine).scatter_(1, nearest, 1.0)  # (tasks, n_way, points and queries)
    assigned[..., :n_support] *= labels.sum(dim=1, keepdim=True)  # padding belongs to no class
    empty = assigned.sum(dim=2, keepdim=True) == 0  # (tasks, n_way, 1)
    weights = (SCALE * cosine).softmax(dim=1) * assigned
    weights[..., :n_support] += empty * labels
    weights /= assigned.sum(dim=2, keepdim=True) + counts * empty
    of_support, of_query = weights.tensor_split([n_support], dim=2)
    moved = of_query.sum(dim=2, keepdim=True) * shift
    return product(of_support, points, product(of_query, query, moved))


def shift_of(means: Tensor, counts: Tensor, query: Tensor) -> Tensor:
    """Return the mean of the support minus that of the queries, (tasks, 1, d).

    means (tasks, n_way, d) are the class means of the support, counts (tasks, n_way, 1) its images per class.
    """
    return product((counts / counts.sum(dim=1, keepdim=True)).mT, means) - query.mean(dim=1, keepdim=True)


def _squares(points: Tensor) -> Tensor:
    """Squared lengths of points (tasks, points, d), (tasks, 1, points)."""
    lengths: Tensor = torch.linalg.vector_norm(points, dim=-1)
    return lengths.square().unsqueeze(1)


def _inverse_root(squares: Tensor) -> Tensor:
    """1 / sqrt(squares); a length of zero counts as a tiny one."""
    return squares.clamp_min(1e-24).rsqrt()
