"""Functions of a task's support that heads share: labels, class means, centred points, linear logits.

Classes may have fewer than n_shot support images; rows of a class beyond its shots are then padding.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fsbench.heads.batching import product


def is_for_kernels(*tensors: Tensor, dtypes: Sequence[torch.dtype] = (torch.float32,)) -> bool:
    """Whether compiled code can take these features: of these types, on a CPU, without gradients."""
    return all(x.device.type == "cpu" and x.dtype in dtypes and not x.requires_grad for x in tensors)


def real_rows(support: Tensor, shots: Tensor) -> Tensor:
    """Return which rows of support (tasks, n_way, n_shot, d) are not padding, (tasks, n_way, n_shot)."""
    return torch.arange(support.shape[2], device=support.device) < shots.unsqueeze(2)


def shots_of(support: Tensor, shots: Tensor | None) -> Tensor:
    """Return the shots of each class (tasks, n_way): `shots`, or n_shot if that is None."""
    n_tasks, n_way, n_shot, _ = support.shape
    return torch.full((n_tasks, n_way), n_shot, device=support.device) if shots is None else shots


def task_chunks(
    at_once: int, support: Tensor, query: Tensor, shots: Tensor | None, *more: Tensor
) -> Iterator[tuple[Any, ...]]:
    """Split support, query, shots (None: n_shot) and more tensors into chunks of `at_once` tasks."""
    tensors = support, query, shots_of(support, shots), *more
    return zip(*(tensor.split(at_once) for tensor in tensors), strict=True)


def mean_shots(support: Tensor, shots: Tensor | None) -> Tensor:
    """Return the mean shots over the classes of each task, (tasks, 1, 1)."""
    return shots_of(support, shots).to(support.dtype).mean(dim=1).view(-1, 1, 1)


def one_hot(support: Tensor, shots: Tensor | None = None) -> Tensor:
    """Return the one-hot classes of the support, (tasks, n_way, n_way * n_shot); zero for padding."""
    n_tasks, n_way, n_shot, _ = support.shape
    labels = torch.eye(n_way, dtype=support.dtype, device=support.device).repeat_interleave(n_shot, dim=1)
    if shots is None:
        return labels.expand(n_tasks, -1, -1)
    return labels * real_rows(support, shots).view(n_tasks, 1, -1)


def class_means(support: Tensor, shots: Tensor | None = None) -> Tensor:
    """Compute the class means (tasks, n_way, d) of support (tasks, n_way, n_shot, d) without padding."""
    n_tasks, n_way, n_shot, _ = support.shape
    if n_shot == 1:
        return support.squeeze(2)
    if shots is None:
        weights = support.new_full((n_tasks, n_way, n_shot), 1 / n_shot)
    else:
        weights = real_rows(support, shots).to(support.dtype) / shots.unsqueeze(2)
    means = product(weights.view(-1, 1, n_shot), support.flatten(0, 1))  # faster than mean()
    return means.view(n_tasks, n_way, -1)


def centred(support: Tensor, shots: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Centre the support in double precision; linear classifiers with free intercepts are fitted to it.

    support (tasks, n_way, n_shot, d), shots (tasks, n_way) or None -> mean of all points (tasks, 1, d),
    points minus the mean (tasks, points, d), one-hot classes (tasks, n_way, points). Points and classes of
    padding are zero.
    """
    points, labels = support.flatten(1, 2), one_hot(support, shots).double()
    if shots is None:
        # Converted first, since a mean in another precision is slower; a copy, since it is changed in place.
        points = points.to(torch.float64, copy=True)
        centre = points.mean(dim=1, keepdim=True)
        return centre, points.sub_(centre), labels
    real = labels.sum(dim=1).unsqueeze(2)  # (tasks, points, 1): 0 for padding
    centre = (points.double() * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
    return centre, (points - centre) * real, labels


def linear_logits(query: Tensor, centre: Tensor, weights: Tensor, intercepts: Tensor) -> Tensor:
    """Compute logits (tasks, queries, n_way) of classifiers fitted to points minus a centre (tasks, 1, d).

    Weights (tasks, n_way, d) and intercepts (tasks, n_way, 1) are in double precision.
    """
    intercepts = intercepts - product(weights, centre.mT)
    return product(weights.to(query.dtype), query.mT, intercepts.to(query.dtype)).mT
