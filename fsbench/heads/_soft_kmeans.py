"""Soft k-means: class means move to the mean of their support and of the queries softly assigned to them."""

import numpy as np
import torch
from torch import Tensor

from fsbench.heads._gram import inner_products
from fsbench.heads._rows import Rows, logits_by, rows_of
from fsbench.heads._support import class_means, is_for_kernels, shots_of
from fsbench.heads.batching import product, widened

TEMPERATURE = 5.0
UPDATES = 29  # the published loop makes 30, but classifies by the distances to the means of the 29th


def soft_kmeans(
    support: Tensor, query: Tensor, shots: Tensor | None = None, *, centred: bool = True
) -> Tensor:
    """Score queries by their negative squared distance to class means that queries move.

    A class mean moves to the mean of its support and of the queries, each weighted by the softmax of its
    scores. The weights of a query sum to one, those of a class to any number.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        centred: Subtract the mean of the task's points from each of them and scale them to unit length first.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        EASY, Bendou et al. (arXiv:2201.09699), `softkmeans` of its published code since its second day, with
        the settings of its commands.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> soft_kmeans(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    if is_for_kernels(support, query):
        return of_rows(rows_of(support, query, shots), centred=centred)
    return by_torch(support, query, shots, centred=centred, class_prior=False)


def soft_kmeans_prior(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries as soft-kmeans does, with the same total weight of queries in every class.

    The queries of each class have a total weight of queries / n_way: the head uses the class prior.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        EASY, Bendou et al. (arXiv:2201.09699), `softkmeans` in the first version of its published code.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> soft_kmeans_prior(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    if is_for_kernels(support, query):
        return prior_of_rows(rows_of(support, query, shots))
    return by_torch(support, query, shots, centred=False, class_prior=True)


def of_rows(rows: Rows, *, centred: bool) -> Tensor:
    """Compute `soft_kmeans` from rows of features."""
    return _by_kernel(rows, centred=centred, class_prior=False)


def prior_of_rows(rows: Rows) -> Tensor:
    """Compute `soft_kmeans_prior` from rows of features."""
    return _by_kernel(rows, centred=False, class_prior=True)


def _by_kernel(rows: Rows, *, centred: bool, class_prior: bool) -> Tensor:
    """Compute logits with compiled code."""
    from fsbench.heads._points_numba import BY_ONE_MEAN, UNCENTRED  # compiles on its first call
    from fsbench.heads._soft_kmeans_numba import cluster_tasks

    centring = BY_ONE_MEAN if centred else UNCENTRED
    settings = centring, class_prior, np.float32(TEMPERATURE), UPDATES
    return logits_by(cluster_tasks, rows, *settings, with_inner_products=True)


def by_torch(
    support: Tensor, query: Tensor, shots: Tensor | None, *, centred: bool, class_prior: bool
) -> Tensor:
    """Compute logits, (tasks, queries, n_way), on any device."""
    support, query = widened(support), widened(query)
    counts = shots_of(support, shots).to(query.dtype).unsqueeze(2)  # (tasks, n_way, 1)
    if centred:
        total = product(counts.mT, class_means(support, shots)) + query.sum(dim=1, keepdim=True)
        centre = total / (counts.sum(dim=1, keepdim=True) + query.shape[1])  # (tasks, 1, d)
        support, query = unit(support - centre.unsqueeze(2)), unit(query - centre)
    points = torch.cat([class_means(support, shots), query], dim=1)
    gram, mixture = widened(inner_products(points)), initial_means(points, support.shape[1])
    for _ in range(UPDATES):
        score = TEMPERATURE * closeness(mixture, gram)[..., support.shape[1] :]  # (tasks, n_way, queries)
        if class_prior:
            # The softmax over queries gives a class its weight even if all of its shares underflow.
            share = score.log_softmax(dim=1).softmax(dim=2) * (query.shape[1] / support.shape[1])
        else:
            share = score.softmax(dim=1)
        mixture = means_of(counts, share)
    return TEMPERATURE * closeness(mixture, gram)[..., support.shape[1] :].mT


def unit(points: Tensor) -> Tensor:
    """Scale points (..., d) to unit length; the zero vector stays zero."""
    lengths: Tensor = torch.linalg.vector_norm(points, dim=-1, keepdim=True)
    return points / lengths.clamp_min(1e-12)


def initial_means(points: Tensor, n_way: int) -> Tensor:
    """The first n_way of points (tasks, points, d) as mixtures of all points, (tasks, n_way, points)."""
    mixture = torch.eye(n_way, points.shape[1], dtype=points.dtype, device=points.device)
    return mixture.expand(len(points), -1, -1)


def means_of(counts: Tensor, share: Tensor) -> Tensor:
    """The means of support and shares of the queries (tasks, n_way, queries) as mixtures: rows sum to one.

    counts (tasks, n_way, 1) are the support images of each class.
    """
    members = torch.cat([counts.squeeze(2).diag_embed(), share], dim=2)
    return members / members.sum(dim=2, keepdim=True)


def closeness(mixture: Tensor, gram: Tensor) -> Tensor:
    """|x|^2 - |x - m|^2 = 2 x.m - |m|^2 of every mixture m and point x, (tasks, n_way, points).

    gram (tasks, points, points) may be `widened`.
    """
    inner = product(mixture, gram)[..., : gram.shape[1]]
    return 2 * inner - (inner * mixture).sum(dim=2, keepdim=True)
