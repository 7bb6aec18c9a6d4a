"""BD-CSPN: nearest mean, with class means rectified by the queries that lean towards them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.heads.nearest_mean import nearest_mean

SCALE = 10.0  # of cosine similarity, inside the softmax


def bd_cspn(support: Tensor, query: Tensor) -> Tensor:
    """Score queries by their negative squared Euclidean distance to the rectified class means.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d) -> logits (tasks, queries, n_way), up to a
    term that is the same for every class. Source: Liu, Song, Qin (arXiv:1911.10713); the code of Realistic
    Transductive Few-Shot (arXiv:2204.11181), which scores the queries where they are, not shifted.
    """
    return nearest_mean(rectified_means(support, query).unsqueeze(2), query)


def rectified_means(support: Tensor, query: Tensor) -> Tensor:
    """Class means that take in the queries, shape (tasks, n_way, d).

    Queries are shifted so that their mean is the support's. Each point then belongs to the class whose
    support mean has the largest cosine similarity, weighted by the softmax of SCALE times the similarities,
    and a class becomes the mean of its weighted points. A class that no point belongs to keeps its support
    mean. Source: arXiv:1911.10713 eq. 3-6, whose sums run over all points; the published code keeps a
    point to its own class, as here.
    """
    # Memory is what takes the time here: the shift enters by inner products, so that no feature is copied.
    shots, means = support.flatten(1, 2), support.mean(dim=2)  # (tasks, points, d), (tasks, n_way, d)
    shift = means.mean(dim=1, keepdim=True) - query.mean(dim=1, keepdim=True)  # (tasks, 1, d)
    directions = torch.cat([F.normalize(means, dim=-1), shift], dim=1)
    shifted = directions @ query.mT + directions @ shift.mT  # (tasks, n_way + 1, queries)
    squares = _squares(query) + 2 * shifted[:, -1:] - _squares(shift)  # of the shifted queries' lengths
    products = torch.cat([directions[:, :-1] @ shots.mT, shifted[:, :-1]], dim=2)
    cosine = products / torch.cat([_squares(shots), squares], dim=2).clamp_min(1e-24).sqrt()
    nearest = cosine.max(dim=1, keepdim=True).indices
    own = torch.zeros_like(cosine).scatter_(1, nearest, 1.0)  # (tasks, n_way, points)
    weights = (SCALE * cosine).softmax(dim=1) * own
    of_shots, of_query = weights.tensor_split([shots.shape[1]], dim=2)
    sums = of_shots @ shots + of_query @ query + of_query.sum(dim=2, keepdim=True) * shift
    counts = own.sum(dim=2, keepdim=True)  # (tasks, n_way, 1)
    return torch.where(counts > 0, sums / counts, means)


def _squares(points: Tensor) -> Tensor:
    """Squared lengths of points (tasks, points, d), shape (tasks, 1, points)."""
    lengths: Tensor = torch.linalg.vector_norm(points, dim=-1)
    return lengths.square().unsqueeze(1)
