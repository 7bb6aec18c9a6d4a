"""Distribution calibration: logistic regression on the support and on draws from normals near it.

Yang, Liu, Xu, ICLR 2021, arXiv:2101.06395. The normal of a support feature has the mean and covariance of the
base classes nearest to it. The settings are those of the published code.
"""

import math

import torch
from torch import Tensor

from fsbench.heads._logistic import fit
from fsbench.heads._random import bits
from fsbench.heads._support import linear_logits, task_chunks
from fsbench.heads.base import BaseStatistics

NEAREST = 2  # base classes used for each support feature
SPREAD = 0.21  # added to every entry of a covariance, not only to its diagonal
DRAWS = 750  # per class; each of its shots gets int(DRAWS / shots)
_TASKS_AT_ONCE = {"cpu": 1, "cuda": 16}
BYTES_PER_TASK = 1 << 28  # memory of the draws and the fit


def distribution_calibration(
    support: Tensor, query: Tensor, shots: Tensor | None = None, *, base: BaseStatistics, keys: Tensor
) -> Tensor:
    """Score queries by logistic regression on the support and on int(750 / shots) draws per support feature.

    The regression is L2-regularised with C = 1. Logits are its log-odds.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        base: Statistics of the base features before preprocessing.
        keys: One number per task, int64 (tasks,); the draws depend on it alone.

    Returns:
        Logits, (tasks, queries, n_way).

    Source:
        Yang, Liu, Xu (arXiv:2101.06395) section 3.

    Example:
        >>> from fsbench.heads import base_statistics
        >>> base = base_statistics(torch.eye(3), torch.tensor([0, 1, 2]))
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> logits = distribution_calibration(support, query, base=base, keys=torch.tensor([0]))
        >>> logits.shape
        torch.Size([1, 3, 3])
    """
    at_once = _TASKS_AT_ONCE.get(query.device.type, 1) if shots is None else 1
    chunks = task_chunks(at_once, support, query, shots, keys)
    return torch.cat([_classify(base, *chunk) for chunk in chunks])


def _classify(base: BaseStatistics, support: Tensor, query: Tensor, shots: Tensor, keys: Tensor) -> Tensor:
    """Return the logits of tasks with the same shots, fitted together."""
    n_tasks, n_way = support.shape[:2]
    class_keys = bits(keys.unsqueeze(1), torch.arange(n_way, device=keys.device))  # (tasks, n_way)
    points_by_class = []
    for c, count in enumerate(shots[0].tolist()):
        real = support[:, c, :count]
        drawn = calibrated_draws(real, base, class_keys[:, c], DRAWS // count)
        points_by_class.append(torch.cat([real, drawn], dim=1))
    points = torch.cat(points_by_class, dim=1).double()  # (tasks, points, d)
    sizes = torch.tensor([len(rows[0]) for rows in points_by_class], device=query.device)
    labels = torch.eye(n_way, dtype=torch.float64, device=query.device).repeat_interleave(sizes, dim=1)
    labels = labels.expand(n_tasks, -1, -1)
    centre = points.mean(dim=1, keepdim=True)
    weights, intercepts = fit(points - centre, labels)
    return linear_logits(query, centre, weights, intercepts)


def calibrated_draws(support: Tensor, base: BaseStatistics, keys: Tensor, count: int) -> Tensor:
    """Draw `count` features from the calibrated normal of each support feature of one class.

    support (tasks, n_shot, d) -> draws (tasks, n_shot * count, d). The mean of a normal is that of the
    NEAREST base means and the support feature, its covariance the mean of their covariances plus SPREAD.
    Covariances of independent normals add up, so the calibrated covariance need not be factorised: the
    factors of the base classes and a row of ones are stacked.
    """
    n_tasks, n_shot, d = support.shape
    distances = torch.cdist(support, base.means, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.topk(NEAREST, largest=False).indices  # (tasks, n_shot, NEAREST)
    mean = (base.means[nearest].sum(dim=2) + support) / (NEAREST + 1)
    base_factor = base.factors[nearest].flatten(2, 3) / math.sqrt(NEAREST)  # (tasks, n_shot, rank, d)
    spread = base_factor.new_full((n_tasks, n_shot, 1, d), math.sqrt(SPREAD))
    factor = torch.cat([base_factor, spread], dim=2)
    noise = normals(keys, n_shot * count * factor.shape[2]).to(factor.dtype)
    return (noise.view(n_tasks, n_shot, count, -1) @ factor + mean.unsqueeze(2)).flatten(1, 2)


def normals(keys: Tensor, count: int) -> Tensor:
    """Draw standard normals that depend only on the key and their index, float32 (tasks, count).

    Each pair of normals is computed from two numbers of 24 bits. Source: Box and Muller (1958).
    """
    places = torch.arange((count + 1) // 2, device=keys.device)
    words = bits(keys.unsqueeze(1), places)
    radius = ((((words >> 40) & 0xFFFFFF) + 1).float() / (1 << 24)).log_().mul_(-2).sqrt_()
    angle = (words & 0xFFFFFF).float() * (2 * math.pi / (1 << 24))
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2).flatten(1)[:, :count]
