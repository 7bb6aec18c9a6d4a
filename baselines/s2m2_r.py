"""S2M2-R: rotation first, then manifold mixup with rotation as a regulariser.

Mangla et al., WACV 2020, arXiv:1907.12087, Algorithm 1; reference code nupurkmr9/S2M2_fewshot.

    fsbench train-backbone s2m2-r --dataset cifar-fs --backbone conv4
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fsbench.models.classifiers import Network
from fsbench.training.fast import fast
from fsbench.training.losses import TURNS, manifold_mixup, random_rotation_terms, rotation_terms
from fsbench.training.recipe import Recipe, Stage

ALPHA = 2.0


def first_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """L_class + L_rot."""
    class_loss, rotation_loss = rotation_terms(network, images, labels)
    return {"class": class_loss, "rotation": rotation_loss}


def second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """L_mm + 0.5 (L_class + L_rot); the second forward sees the images unmixed, in four rotations."""
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    return {"mixed": mixed, **code_first_step(network, images, labels, rng)}


def fast_first_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The losses of the first stage, each image in one random rotation, as in rotation.py."""
    class_loss, rotation_loss = random_rotation_terms(network, images, labels, rng)
    return {"class": class_loss, "rotation": rotation_loss}


def fast_second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The losses of the second stage; each unmixed image is in one random rotation."""
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    rest = fast_first_step(network, images, labels, rng)
    return {"mixed": mixed, **{name: 0.5 * loss for name, loss in rest.items()}}


def code_first_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """As the reference code: half of each."""
    return {name: 0.5 * loss for name, loss in first_step(network, images, labels, rng).items()}


def code_second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """As the reference code: only a random quarter of the batch is rotated, so both forwards are as large.

    The code calls backward twice and steps once, which is one backward of the sum.
    """
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    quarter = rng.permutation(len(labels))[: max(1, len(labels) // TURNS)]
    rows = torch.from_numpy(quarter).to(labels.device)
    return {"mixed": mixed, **code_first_step(network, images[rows], labels[rows], rng)}


PAPER = Recipe(
    name="s2m2-r",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(
        Stage("self-supervised", first_step, epochs=400),  # mini-ImageNet; 200 on CUB, 100 on tiered
        Stage("manifold", second_step, epochs=100, patience=1),  # while the accuracy on val classes rises
    ),
    batch_size=64,
    extra_heads={"rotation": TURNS},
)

PRESETS = {
    "fast": fast(
        PAPER,
        [
            Stage("self-supervised", fast_first_step, epochs=10),
            Stage("manifold", fast_second_step, epochs=30),
        ],
    ),
    "paper": PAPER,
    "official-code": replace(
        PAPER,
        preset="official-code",
        stages=(
            Stage("self-supervised", code_first_step, epochs=400),
            Stage(
                "manifold", code_second_step, epochs=100, fresh_heads=True
            ),  # it is built anew, and so reset
        ),
        classifier_width=200,  # whatever the number of classes; the dead scores take part in the softmax
    ),
}
