"""Soft k-means: class means move to the mean of their support and of the queries softly assigned to them."""

import torch
from torch import Tensor

from fsbench.heads._support import one_hot
from fsbench.heads.batching import product, widened

TEMPERATURE = 5.0
UPDATES = 29  # the published loop makes 30, but classifies by the distances to the means of the 29th


def soft_kmeans(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by their negative squared distance to the class means, times TEMPERATURE.

    A class mean moves to the mean of its support and of the queries, weighted by their soft assignment. The
    queries of each class have a total weight of queries / n_way: the head uses the class prior.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        EASY, Bendou et al. (arXiv:2201.09699), `softkmeans` of its published code.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> soft_kmeans(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    support, query = widened(support), widened(query)
    gram, labels = widened(_gram(support.flatten(1, 2), query)), one_hot(support, shots)
    n_support, per_class = labels.shape[2], query.shape[1] / labels.shape[1]
    images = labels.sum(dim=2, keepdim=True) + per_class  # per class, (tasks, n_way, 1)
    of_support = labels / images
    mixture = initial_means(labels, query.shape[1])
    for _ in range(UPDATES):
        score = TEMPERATURE * closeness(mixture, gram)[..., n_support:]  # (tasks, n_way, queries)
        # The softmax over queries makes the weights of a class sum to one even if all of them underflow.
        share = score.log_softmax(dim=1).softmax(dim=2)
        mixture = torch.cat([of_support, share * per_class / images], dim=2)
    return TEMPERATURE * closeness(mixture, gram)[..., n_support:].mT


def _gram(support: Tensor, query: Tensor) -> Tensor:
    """Inner products of a task's points, support (tasks, points, d) first, (tasks, points, points).

    A mean of points is a mixture of them, so the Gram matrix contains all that its distances need: points by
    points instead of points by d.
    """
    across = product(support, query.mT)
    # Block by block: this copies no feature, and a product of 75 x 75 is faster than one of 100 x 100.
    upper = torch.cat([product(support, support.mT), across], dim=2)
    lower = torch.cat([across.mT, product(query, query.mT)], dim=2)
    return torch.cat([upper, lower], dim=1)


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
