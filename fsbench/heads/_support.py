"""The support of a task as heads are fitted to it: class means, and points around the mean of all.

Classes may have fewer than n_shot support images; rows of a class beyond its shots are then padding.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fsbench.heads.batching import product


def real_rows(support: Tensor, shots: Tensor) -> Tensor:
    """Which rows of support (tasks, n_way, n_shot, d) are no padding, bool (tasks, n_way, n_shot)."""
    return torch.arange(support.shape[2], device=support.device) < shots.unsqueeze(2)


def shots_of(support: Tensor, shots: Tensor | None) -> Tensor:
    """The given shots (tasks, n_way); without any, those of support (tasks, n_way, n_shot, d) in full."""
    n_tasks, n_way, n_shot, _ = support.shape
    return torch.full((n_tasks, n_way), n_shot, device=support.device) if shots is None else shots


def few_tasks(
    at_once: int, support: Tensor, query: Tensor, shots: Tensor | None, *more: Tensor
) -> Iterator[tuple[Any, ...]]:
    """The same `at_once` tasks of each tensor, then the next ones; without shots, all rows count."""
    tensors = support, query, shots_of(support, shots), *more
    return zip(*(tensor.split(at_once) for tensor in tensors), strict=True)


def mean_shots(support: Tensor, shots: Tensor | None) -> Tensor:
    """Shots of a class on average, (tasks, 1, 1): what papers choose some settings by."""
    return shots_of(support, shots).to(support.dtype).mean(dim=1).view(-1, 1, 1)


def one_hot(support: Tensor, shots: Tensor | None = None) -> Tensor:
    """The classes of a task's support, (tasks, n_way, n_way * n_shot): one-hot, zero for padding."""
    n_tasks, n_way, n_shot, _ = support.shape
    labels = torch.eye(n_way, dtype=support.dtype, device=support.device).repeat_interleave(n_shot, dim=1)
    if shots is None:
        return labels.expand(n_tasks, -1, -1)
    return labels * real_rows(support, shots).view(n_tasks, 1, -1)


def class_means(support: Tensor, shots: Tensor | None = None) -> Tensor:
    """The mean of each class's support (tasks, n_way, n_shot, d), without padding: (tasks, n_way, d)."""
    n_tasks, n_way, n_shot, _ = support.shape
    if n_shot == 1:
        return support.squeeze(2)
    if shots is None:
        weights = support.new_full((n_tasks, n_way, n_shot), 1 / n_shot)
    else:
        weights = real_rows(support, shots).to(support.dtype) / shots.unsqueeze(2)
    means = product(weights.view(-1, 1, n_shot), support.flatten(0, 1))  # is faster than an average
    return means.view(n_tasks, n_way, -1)


def centred(support: Tensor, shots: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """What a linear classifier with free intercepts is fitted to, in double precision: exact at any scale.

    support (tasks, n_way, n_shot, d), shots (tasks, n_way) or None -> the mean of all points (tasks, 1, d),
    points minus the mean (tasks, points, d), classes (tasks, n_way, points), one-hot. Points and classes of
    padding are zero.
    """
    points, labels = support.flatten(1, 2), one_hot(support, shots).double()
    if shots is None:
        # averaged after, as an average in another precision is slower; a copy, which the mean is taken out of
        points = points.to(torch.float64, copy=True)
        centre = points.mean(dim=1, keepdim=True)
        return centre, points.sub_(centre), labels
    real = labels.sum(dim=1).unsqueeze(2)  # (tasks, points, 1): 0 for padding
    centre = (points.double() * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
    return centre, (points - centre) * real, labels


def linear_logits(query: Tensor, centre: Tensor, weights: Tensor, intercepts: Tensor) -> Tensor:
    """Logits (tasks, queries, n_way) of linear classifiers that were fitted around a centre (tasks, 1, d).

    Weights (tasks, n_way, d), intercepts (tasks, n_way, 1), both in double precision.
    """
    intercepts = intercepts - product(weights, centre.mT)
    return product(weights.to(query.dtype), query.mT, intercepts.to(query.dtype)).mT
