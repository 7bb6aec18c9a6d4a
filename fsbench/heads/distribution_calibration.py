"""Distribution calibration: logistic regression on support and on draws from normals near it.

Yang, Liu, Xu, ICLR 2021, arXiv:2101.06395. A support borrows mean and covariance from the base classes that
lie nearest to it; the settings are those of the published code.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.heads._random import bits
from fsbench.heads._support import few_tasks, linear_logits
from fsbench.heads.logistic import fit

NEAREST = 2  # base classes a support borrows from
SPREAD = 0.21  # added to every entry of a covariance, not to its diagonal alone
DRAWS = 750  # a class; each of its shots gets int(DRAWS / shots)
_TASKS_AT_ONCE = {"cpu": 1, "cuda": 16}
BYTES_A_TASK = 1 << 28  # of what is made for one


@dataclass(frozen=True, eq=False)
class BaseStatistics:
    """Mean and covariance of each base class, the covariance as a factor that normals are drawn with."""

    means: Tensor  # (classes, d)
    factors: Tensor  # (classes, rank, d): the covariance of class c is factors[c].T @ factors[c]


def base_statistics(features: Tensor, labels: Tensor) -> BaseStatistics:
    """Statistics of raw base features (n, d) by their labels (n,); covariances divide by n - 1.

    The centred features of a class are themselves a factor of their covariance, so nothing is decomposed
    unless a class has more images than features have values. Factors of small classes end in zero rows.

    Raises:
        FsbenchError: fewer than NEAREST classes.
    """
    groups = [features[labels == label] for label in labels.unique()]
    if len(groups) < NEAREST:
        raise FsbenchError(f"base features: at least {NEAREST} classes are needed, not {len(groups)}")
    means = torch.stack([group.mean(dim=0) for group in groups])
    factors = []
    for group, mean in zip(groups, means, strict=True):
        factor = (group - mean) / math.sqrt(max(1, len(group) - 1))
        factors.append(torch.linalg.qr(factor, mode="r").R if len(group) > group.shape[1] else factor)
    return BaseStatistics(means, torch.nn.utils.rnn.pad_sequence(factors, batch_first=True))


def distribution_calibration(
    support: Tensor, query: Tensor, shots: Tensor | None = None, *, base: BaseStatistics, keys: Tensor
) -> Tensor:
    """Log-odds of a logistic regression (L2, C = 1) on support and int(750 / shots) draws a support.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d), one key a task (tasks,) int64 -> logits
    (tasks, queries, n_way). Shots (tasks, n_way) count the support of each class, rows beyond are padding.
    Draws depend on the task's key alone. Source: arXiv:2101.06395, section 3.
    """
    at_once = _TASKS_AT_ONCE.get(query.device.type, 1) if shots is None else 1
    chunks = few_tasks(at_once, support, query, shots, keys)
    return torch.cat([_classify(base, *chunk) for chunk in chunks])


def _classify(base: BaseStatistics, support: Tensor, query: Tensor, shots: Tensor, keys: Tensor) -> Tensor:
    """Logits of some tasks with the same shots, fitted together."""
    n_tasks, n_way = support.shape[:2]
    class_keys = bits(keys.unsqueeze(1), torch.arange(n_way, device=keys.device))  # (tasks, n_way)
    of_classes = []
    for c, count in enumerate(shots[0].tolist()):
        real = support[:, c, :count]
        of_classes.append(torch.cat([real, draws(real, base, class_keys[:, c], DRAWS // count)], dim=1))
    points = torch.cat(of_classes, dim=1).double()  # (tasks, points, d)
    sizes = torch.tensor([len(rows[0]) for rows in of_classes], device=query.device)
    labels = torch.eye(n_way, dtype=torch.float64, device=query.device).repeat_interleave(sizes, dim=1)
    labels = labels.expand(n_tasks, -1, -1)
    centre = points.mean(dim=1, keepdim=True)
    weights, intercepts = fit(points - centre, labels)
    return linear_logits(query, centre, weights, intercepts)


def draws(support: Tensor, base: BaseStatistics, keys: Tensor, count: int) -> Tensor:
    """Draws from the calibrated normals of one class's support (tasks, n_shot, d), `count` from each.

    Shape (tasks, n_shot * count, d). A normal's mean is that of the NEAREST base means and the support, its
    covariance the mean of their covariances plus SPREAD. A sum of independent normals has the sum of their
    covariances, so no factor of the calibrated covariance is needed: the base classes' own factors and a row
    of ones are stacked.
    """
    n_tasks, n_shot, d = support.shape
    away = torch.cdist(support, base.means, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = away.topk(NEAREST, largest=False).indices  # (tasks, n_shot, NEAREST)
    mean = (base.means[nearest].sum(dim=2) + support) / (NEAREST + 1)
    borrowed = base.factors[nearest].flatten(2, 3) / math.sqrt(NEAREST)  # (tasks, n_shot, rank, d)
    spread = borrowed.new_full((n_tasks, n_shot, 1, d), math.sqrt(SPREAD))
    factor = torch.cat([borrowed, spread], dim=2)
    noise = normals(keys, n_shot * count * factor.shape[2]).to(factor.dtype)
    return (noise.view(n_tasks, n_shot, count, -1) @ factor + mean.unsqueeze(2)).flatten(1, 2)


def normals(keys: Tensor, count: int) -> Tensor:
    """Standard normals that depend on the key and their place alone, float32 (tasks, count).

    Two numbers of 24 bits a pair of normals. Source: Box and Muller (1958).
    """
    places = torch.arange((count + 1) // 2, device=keys.device)
    words = bits(keys.unsqueeze(1), places)
    radius = ((((words >> 40) & 0xFFFFFF) + 1).float() / (1 << 24)).log_().mul_(-2).sqrt_()
    angle = (words & 0xFFFFFF).float() * (2 * math.pi / (1 << 24))
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2).flatten(1)[:, :count]
