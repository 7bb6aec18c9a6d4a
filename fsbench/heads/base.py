"""Statistics of the base classes, which heads such as distribution calibration use."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError

FEWEST_CLASSES = 2


@dataclass(frozen=True, eq=False)
class BaseStatistics:
    """Mean and covariance of the features of each base class.

    The covariance is kept as a factor, with which normal vectors are drawn.

    Attributes:
        means: Mean of each class, (classes, d).
        factors: Factor of each covariance, (classes, rank, d); the covariance of class c is
            factors[c].T @ factors[c].
    """

    means: Tensor
    factors: Tensor


def base_statistics(features: Tensor, labels: Tensor) -> BaseStatistics:
    """Compute mean and covariance of each base class.

    The centred features of a class are already a factor of their covariance. A QR decomposition is needed
    only for a class with more images than d. Factors of small classes end in rows of zeros.

    Args:
        features: Base features before preprocessing, (n, d).
        labels: Class of each feature, (n,).

    Returns:
        Means and covariances, which divide by n - 1.

    Raises:
        FsbenchError: There are fewer than two classes.

    Example:
        >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 1.0], [5.0, 3.0]])
        >>> base_statistics(features, torch.tensor([0, 0, 1, 1])).means
        tensor([[1., 0.],
                [5., 2.]])
    """
    groups = [features[labels == label] for label in labels.unique()]
    if len(groups) < FEWEST_CLASSES:
        raise FsbenchError(
            f"base features must have at least {FEWEST_CLASSES} classes, but have {len(groups)}"
        )
    means = torch.stack([group.mean(dim=0) for group in groups])
    factors = []
    for group, mean in zip(groups, means, strict=True):
        factor = (group - mean) / math.sqrt(max(1, len(group) - 1))
        factors.append(torch.linalg.qr(factor, mode="r").R if len(group) > group.shape[1] else factor)
    return BaseStatistics(means, torch.nn.utils.rnn.pad_sequence(factors, batch_first=True))
