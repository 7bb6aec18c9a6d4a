"""Mixtures of images or of hidden features, and the cross entropy of labels mixed in the same way."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.models.classifiers import Network


def draw_weight(rng: np.random.Generator, alpha: float) -> float:
    """Draw a mixing weight from Beta(alpha, alpha).

    Args:
        rng: Generator of the step.
        alpha: Parameter of the distribution, at least 0. At 0 the weight is 1, which mixes nothing.

    Returns:
        The weight of each image's own row, 0..1.

    Source:
        mixup, arXiv:1710.09412, section 2; alpha 0 as in its authors' code.
    """
    return float(rng.beta(alpha, alpha)) if alpha > 0 else 1.0


def draw_permutation(rng: np.random.Generator, labels: Tensor) -> Tensor:
    """Draw the partner of each row of a batch.

    Args:
        rng: Generator of the step.
        labels: Labels of the batch, (b,).

    Returns:
        Row numbers in random order, (b,) int64, on the device of the labels.
    """
    return torch.from_numpy(rng.permutation(len(labels))).to(labels.device)


def mix(hidden: Tensor, permutation: Tensor, weight: float) -> Tensor:
    """Mix each row with its partner: `weight * row + (1 - weight) * partner`.

    Args:
        hidden: Images, hidden features or targets, (b, ...).
        permutation: Row number of each row's partner, (b,) int64.
        weight: Weight of the row itself, 0..1.

    Returns:
        Mixed rows, of the shape of `hidden`.

    Source:
        mixup, arXiv:1710.09412, equation 1; for hidden features Manifold Mixup, arXiv:1806.05236, equation 1.

    Example:
        >>> mix(torch.tensor([[0.0], [1.0]]), torch.tensor([1, 0]), 0.75)
        tensor([[0.2500],
                [0.7500]])
    """
    # Channels last, the values of a row are contiguous in memory.
    partner = hidden.movedim(1, -1).index_select(0, permutation).movedim(-1, 1)
    return weight * hidden + (1 - weight) * partner


def mixed_cross_entropy(logits: Tensor, labels: Tensor, permutation: Tensor, weight: float) -> Tensor:
    """Compute the cross entropy of mixed rows against labels mixed in the same way.

    Cross entropy is linear in its target, so this equals the loss against mixed one-hot labels.

    Args:
        logits: Logits of the mixed rows, (b, classes).
        labels: Labels of the unmixed rows, (b,).
        permutation: Row number of each row's partner, (b,) int64.
        weight: Weight of the row itself, 0..1.

    Returns:
        Mean loss, a scalar.

    Source:
        mixup, arXiv:1710.09412, equation 1.
    """
    own, partner = F.cross_entropy(logits, labels), F.cross_entropy(logits, labels[permutation])
    return weight * own + (1 - weight) * partner


def manifold_mixup(
    network: Network,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    alpha: float,
    depths: Sequence[int] | None = None,
) -> Tensor:
    """Compute the cross entropy of a batch that is mixed with itself at one random depth.

    Depth, weight and permutation are drawn once per batch. Gradients flow through the whole network,
    including the layers below the depth.

    Args:
        network: The network.
        images: Images, (b, 3, s, s).
        labels: Their labels, (b,).
        rng: Generator of the step.
        alpha: The weight is drawn from Beta(alpha, alpha).
        depths: Mixing points to draw from. Default: all mixing points of the backbone, including the images.

    Returns:
        Mean loss, a scalar.

    Source:
        Manifold Mixup, arXiv:1806.05236, section 2.
    """
    depth = int(rng.choice(depths if depths is not None else network.backbone.mixing_points))
    weight, permutation = draw_weight(rng, alpha), draw_permutation(rng, labels)
    features = network.backbone(images, depth, lambda hidden: mix(hidden, permutation, weight))
    return mixed_cross_entropy(network.classifier(features), labels, permutation, weight)
