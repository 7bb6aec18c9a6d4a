"""Ingredients of recipes: pure functions on tensors, and the loss terms that recipes share.

Whatever is random in them is drawn by the caller's generator, once a batch and outside the network.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.models.classifiers import Network

TURNS = 4  # by 0, 90, 180 and 270 degrees


def draw_weight(rng: np.random.Generator, alpha: float) -> float:
    """A mixing weight from Beta(alpha, alpha), in 0..1; 1, which mixes nothing, when alpha is 0.

    Source: mixup (arXiv:1710.09412) section 2; alpha 0 as in its authors' code.
    """
    return float(rng.beta(alpha, alpha)) if alpha > 0 else 1.0


def draw_order(rng: np.random.Generator, labels: Tensor) -> Tensor:
    """A random order of a batch, (b,) int64 on the labels' device: with whom each row is mixed."""
    return torch.from_numpy(rng.permutation(len(labels))).to(labels.device)


def mix(hidden: Tensor, order: Tensor, weight: float) -> Tensor:
    """`weight` of each row and 1 - `weight` of its partner, shape of `hidden` (b, ...).

    Source: mixup (arXiv:1710.09412) eq. 1; on hidden features, Manifold Mixup (arXiv:1806.05236) eq. 1.
    """
    partner = (
        hidden.movedim(1, -1).index_select(0, order).movedim(-1, 1)
    )  # rows lie in one piece, channels last
    return weight * hidden + (1 - weight) * partner


def mixed_cross_entropy(scores: Tensor, labels: Tensor, order: Tensor, weight: float) -> Tensor:
    """Cross entropy of scores (b, classes) against labels (b,) mixed as the rows are.

    Cross entropy is linear in its target, so this is the loss against the mixed one-hot labels.
    """
    own, partner = F.cross_entropy(scores, labels), F.cross_entropy(scores, labels[order])
    return weight * own + (1 - weight) * partner


def turned(images: Tensor) -> Tensor:
    """Images (b, 3, s, s) in all four rotations, (4 b, 3, s, s): first all by 0 degrees, then by 90 ..."""
    if images.device.type == "cpu" and images.dtype == torch.float32 and not images.requires_grad:
        from fsbench.data._augment_numba import turn_images  # compiled, as `train_augment`

        rows = images.permute(0, 2, 3, 1).contiguous()  # no copy of what lies channels last
        into = rows.new_empty(TURNS, *rows.shape)
        turn_images(rows.numpy(), into.numpy())
        return into.flatten(0, 1).permute(0, 3, 1, 2)
    across = images.transpose(2, 3).contiguous()  # flips of it are quarter turns; one slow copy, not two
    return torch.cat([images, across.flip(2), images.flip(2, 3), across.flip(3)])


def turned_by(images: Tensor, turns: Tensor) -> Tensor:
    """Images (b, 3, s, s), each turned by its own number of quarter turns, `turns` (b,) in 0..3.

    `turns` lies on the host, where it is drawn: finding rows on a GPU would make the host wait for it.
    """
    result = images.clone()
    for quarters in range(1, TURNS):
        rows = (turns == quarters).nonzero().squeeze(1).to(images.device)
        result[rows] = torch.rot90(images[rows], quarters, (2, 3))
    return result


def hardest_triplets(features: Tensor) -> Tensor:
    """The exemplar loss of features (views, b, d): views of one image come closer than any two images.

    The mean over all views of softplus(max D_pos - min D_neg), D Euclidean: the farthest other view of the
    image against the nearest view of another image. Source: S2M2 (arXiv:1907.12087), exemplar loss. The
    printed formula has the opposite sign, which would drive positives apart, against the paper's own text.
    """
    views, count, _ = features.shape
    distances = torch.cdist(features.flatten(0, 1), features.flatten(0, 1))  # (views * b, views * b)
    image = torch.arange(count, device=features.device).repeat(views)
    same = image[:, None] == image
    farthest = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
    return F.softplus(farthest - nearest).mean()


def manifold_mixup(
    network: Network,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    alpha: float,
    depths: Sequence[int] | None = None,
) -> Tensor:
    """Cross entropy (scalar) of a batch mixed with itself at one random depth, of `depths` or of all.

    One depth, one weight and one order a batch; gradients flow through everything, also below the depth.
    Source: Manifold Mixup (arXiv:1806.05236) section 2.
    """
    depth = int(rng.choice(depths if depths is not None else network.backbone.mixing_points))
    weight, order = draw_weight(rng, alpha), draw_order(rng, labels)
    features = network.backbone(images, depth, lambda hidden: mix(hidden, order, weight))
    return mixed_cross_entropy(network.classifier(features), labels, order, weight)


def rotation_terms(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Class and rotation loss (scalars) of images (b, 3, s, s), each seen in four rotations.

    Needs the extra head "rotation" of width 4. Source: S2M2 (arXiv:1907.12087) section 3.2.
    """
    turns = torch.arange(TURNS, device=labels.device).repeat_interleave(len(labels))
    return _class_and_turn_terms(network, turned(images), labels.repeat(TURNS), turns)


def random_rotation_terms(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Class and rotation loss (scalars) of images (b, 3, s, s), each seen in one rotation drawn from four.

    Their expected values are those of `rotation_terms`, at a quarter of its cost.
    Source: S2M2 (arXiv:1907.12087) section 3.2, with the mean over rotations sampled.
    """
    turns = torch.from_numpy(rng.integers(TURNS, size=len(labels)))
    return _class_and_turn_terms(network, turned_by(images, turns), labels, turns.to(labels.device))


def _class_and_turn_terms(
    network: Network, images: Tensor, labels: Tensor, turns: Tensor
) -> tuple[Tensor, Tensor]:
    """Class and rotation loss (scalars) of images that are turned by `turns` quarter turns, (n,)."""
    features = network.backbone(images)
    class_loss = F.cross_entropy(network.classifier(features), labels)
    return class_loss, F.cross_entropy(network.extra_heads["rotation"](features), turns)


def exemplar_terms(
    network: Network, images: Tensor, labels: Tensor, *, unit_length: bool = False
) -> tuple[Tensor, Tensor]:
    """Class and exemplar loss (scalars) of images (views * b, 3, s, s) with labels (b,).

    Views come in blocks of b: row v * b + i is view v of image i. With `unit_length` distances are between
    features scaled to unit length, as the cosine classifier sees them.
    Source: S2M2 (arXiv:1907.12087) section 3.2.
    """
    features = network.backbone(images)
    views = len(images) // len(labels)
    class_loss = F.cross_entropy(network.classifier(features), labels.repeat(views))
    if unit_length:
        features = F.normalize(features, dim=1)
    return class_loss, hardest_triplets(features.view(views, len(labels), -1))
