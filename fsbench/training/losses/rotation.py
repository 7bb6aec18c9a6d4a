"""Rotation as a self-supervised task: predict by how many quarter turns an image was rotated."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.models.classifiers import Network
from fsbench.training.losses.terms import halved

N_ROTATIONS = 4  # by 0, 90, 180 and 270 degrees


def all_rotations(images: Tensor) -> Tensor:
    """Rotate every image by 0, 90, 180 and 270 degrees, counterclockwise.

    Args:
        images: Images, (b, 3, s, s).

    Returns:
        Rotated images, (4 b, 3, s, s): first all by 0 degrees, then all by 90 degrees, and so on.
    """
    if images.device.type == "cpu" and images.dtype == torch.float32 and not images.requires_grad:
        from fsbench.data._augment_numba import turn_images  # compiled when first called

        rows = images.permute(0, 2, 3, 1).contiguous()  # copies nothing if the images are channels last
        rotations = rows.new_empty(N_ROTATIONS, *rows.shape)
        turn_images(rows.numpy(), rotations.numpy())
        return rotations.flatten(0, 1).permute(0, 3, 1, 2)
    transposed = images.transpose(2, 3).contiguous()  # its flips are quarter turns: one slow copy, not two
    return torch.cat([images, transposed.flip(2), images.flip(2, 3), transposed.flip(3)])


def rotated(images: Tensor, quarter_turns: Tensor) -> Tensor:
    """Rotate each image by its own number of quarter turns, counterclockwise.

    Args:
        images: Images, (b, 3, s, s).
        quarter_turns: Number for each image, (b,) int64 in 0..3, on the CPU: selecting rows by a tensor on
            a GPU would make the host wait for the device.

    Returns:
        Rotated images, (b, 3, s, s).
    """
    result = images.clone()
    for quarters in range(1, N_ROTATIONS):
        rows = (quarter_turns == quarters).nonzero().squeeze(1).to(images.device)
        result[rows] = torch.rot90(images[rows], quarters, (2, 3))
    return result


def rotation_losses(
    network: Network,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,  # noqa: ARG001 - nothing is random, but all steps share one signature
) -> dict[str, Tensor]:
    """Compute class and rotation loss of a batch that is seen in all four rotations.

    Args:
        network: A network with the auxiliary classifier "rotation" of 4 classes.
        images: Images, (b, 3, s, s).
        labels: Their labels, (b,).
        rng: Not used.

    Returns:
        Loss terms "class" and "rotation", scalars: cross entropies, means over the 4 b images.

    Source:
        S2M2, arXiv:1907.12087, section 3.2: L_class + L_rot.
    """
    turns = torch.arange(N_ROTATIONS, device=labels.device).repeat_interleave(len(labels))
    return _class_and_rotation(network, all_rotations(images), labels.repeat(N_ROTATIONS), turns)


def halved_rotation_losses(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Compute half of each of the `rotation_losses`. With Adam the factor has no effect.

    Args:
        network: A network with the auxiliary classifier "rotation" of 4 classes.
        images: Images, (b, 3, s, s).
        labels: Their labels, (b,).
        rng: Not used.

    Returns:
        Loss terms "class" and "rotation", scalars.

    Source:
        The reference code of S2M2, nupurkmr9/S2M2_fewshot.
    """
    return halved(rotation_losses(network, images, labels, rng))


def random_rotation_losses(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Compute class and rotation loss of a batch with one random rotation per image.

    Except for batch statistics, the expected values are those of `rotation_losses`, at a quarter of its cost.

    Args:
        network: A network with the auxiliary classifier "rotation" of 4 classes.
        images: Images, (b, 3, s, s).
        labels: Their labels, (b,).
        rng: Generator of the step.

    Returns:
        Loss terms "class" and "rotation", scalars: cross entropies, means over the b images.

    Source:
        S2M2, arXiv:1907.12087, section 3.2, with the mean over rotations replaced by one sample.
    """
    turns = torch.from_numpy(rng.integers(N_ROTATIONS, size=len(labels)))
    return _class_and_rotation(network, rotated(images, turns), labels, turns.to(labels.device))


def _class_and_rotation(network: Network, images: Tensor, labels: Tensor, turns: Tensor) -> dict[str, Tensor]:
    """Compute both losses of rotated images (n, 3, s, s) with labels (n,) and quarter turns (n,)."""
    features = network.backbone(images)
    class_loss = F.cross_entropy(network.classifier(features), labels)
    rotation_loss = F.cross_entropy(network.auxiliary_classifiers["rotation"](features), turns)
    return {"class": class_loss, "rotation": rotation_loss}
