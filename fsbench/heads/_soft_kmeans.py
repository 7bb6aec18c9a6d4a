"""Soft k-means: class means move to the mean of their support and of the queries softly assigned to them."""

import torch
from torch import Tensor

from fsbench.heads._gram import inner_products
from fsbench.heads._support import one_hot
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
    return _cluster(support, query, shots, centred=centred, class_prior=False)


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
    return _cluster(support, query, shots, centred=False, class_prior=True)


def _cluster(
    support: Tensor, query: Tensor, shots: Tensor | None, *, centred: bool, class_prior: bool
) -> Tensor:
    """Return the logits of soft k-means."""
    labels, n_query = one_hot(support, shots), query.shape[1]
    points, query = widened(support.flatten(1, 2)), widened(query)
    if centred:
        real = labels.sum(dim=1, keepdim=True)  # (tasks, 1, points), 0 for padding
        total = product(real, points) + query.sum(dim=1, keepdim=True)
        centre = total / (real.sum(dim=2, keepdim=True) + n_query)
        points, query = _unit(points - centre), _unit(query - centre)
    gram, n_support = widened(inner_products(torch.cat([points, query], dim=1))), labels.shape[2]
    mixture = initial_means(labels, n_query)
    for _ in range(UPDATES):
        score = TEMPERATURE * closeness(mixture, gram)[..., n_support:]  # (tasks, n_way, queries)
        if class_prior:
            # The softmax over queries gives a class its weight even if all of its shares underflow.
            share = score.log_softmax(dim=1).softmax(dim=2) * (n_query / labels.shape[1])
        else:
            share = score.softmax(dim=1)
        members = torch.cat([labels, share], dim=2)
        mixture = members / members.sum(dim=2, keepdim=True)
    return TEMPERATURE * closeness(mixture, gram)[..., n_support:].mT


def _unit(points: Tensor) -> Tensor:
    """Scale points (tasks, points, d) to unit length; the zero vector stays zero."""
    lengths: Tensor = torch.linalg.vector_norm(points, dim=-1, keepdim=True)
    return points / lengths.clamp_min(1e-12)


def initial_means(labels: Tensor, n_query: int) -> Tensor:
    """The support means as mixtures of points, (tasks, n_way, points): each row sums to one."""
    of_queries = labels.new_zeros(*labels.shape[:2], n_query)
    return torch.cat([labels / labels.sum(dim=2, keepdim=True), of_queries], dim=2)


def closeness(mixture: Tensor, gram: Tensor) -> Tensor:
    """|x|^2 - |x - m|^2 = 2 x.m - |m|^2 of every mixture m and point x, (tasks, n_way, points).

    gram (tasks, points, points) may be `widened`.
    """
    inner = product(mixture, gram)[..., : gram.shape[1]]
    return 2 * inner - (inner * mixture).sum(dim=2, keepdim=True)
