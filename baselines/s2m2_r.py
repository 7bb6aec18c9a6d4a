"""S2M2-R: rotation first, then manifold mixup with rotation as a regulariser.

Mangla et al., WACV 2020, arXiv:1907.12087, Algorithm 1; reference code nupurkmr9/S2M2_fewshot.

    fsbench train-backbone s2m2-r --dataset cifar-fs --backbone conv4

Measured with preset fast (Conv4, 32 px, 40 epochs, bf16, training seed 0): 20 minutes on one CPU core;
59.01 ± 0.22 % (5-way 1-shot) and 75.51 ± 0.18 % (5-way 5-shot) on novel classes of CIFAR-FS,
with nearest-mean; ± is the 95 % half width over 10,000 tasks.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fsbench.models import Network
from fsbench.training import Recipe, Stage, fast_preset
from fsbench.training.losses import (
    N_ROTATIONS,
    halved,
    halved_rotation_losses,
    manifold_mixup,
    random_rotation_losses,
    rotation_losses,
)

ALPHA = 2.0


def second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Compute L_mm + 0.5 (L_class + L_rot); the second forward sees the unmixed images in four rotations."""
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    return {"mixed": mixed, **halved(rotation_losses(network, images, labels, rng))}


def fast_second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Compute the same losses with each unmixed image in one random rotation, as in rotation.py."""
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    return {"mixed": mixed, **halved(random_rotation_losses(network, images, labels, rng))}


def code_second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Follow the reference code: only a random quarter of the batch is rotated, so both forwards are equal.

    The code calls backward twice and steps once, which equals one backward of the sum.
    """
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    quarter = rng.permutation(len(labels))[: max(1, len(labels) // N_ROTATIONS)]
    rows = torch.from_numpy(quarter).to(labels.device)
    return {"mixed": mixed, **halved(rotation_losses(network, images[rows], labels[rows], rng))}


def cifar_second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Follow the reference code for CIFAR-FS, whose second stage has no rotation."""
    return {"mixed": manifold_mixup(network, images, labels, rng, ALPHA)}


PAPER = Recipe(
    name="s2m2-r",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(
        Stage("self-supervised", rotation_losses, epochs=400),
        Stage("manifold", second_step, epochs=100, patience=1),  # ends when val accuracy falls
    ),
    batch_size=64,
    auxiliary_classifiers={"rotation": N_ROTATIONS},
)


def _official(settings_for: str, first: int, second: int) -> Recipe:
    """Make the preset of train.py, with the epochs that the authors state for a data set."""
    return replace(
        PAPER,
        preset="official-code",
        stages=(
            Stage("self-supervised", halved_rotation_losses, epochs=first),
            # The code loads backbone and class classifier; it does not load the rotation classifier.
            Stage("manifold", code_second_step, epochs=second, fresh_classifiers=("rotation",)),
        ),
        classifier_width=200,  # for any number of classes; the unused outputs take part in the softmax
        dropout={"wrn28-10": 0.5},
        settings_for=settings_for,
    )


# train_cifar.py; it states no epochs, so those of mini-ImageNet.
CIFAR = replace(
    _official("cifar-fs", 400, 100),
    stages=(
        Stage("self-supervised", halved_rotation_losses, epochs=400),
        Stage("manifold", cifar_second_step, epochs=100),
    ),
    classifier_width=64,
    dropout={"wrn28-10": 0.9},
)

PRESETS = {
    "fast": fast_preset(
        PAPER,
        [
            Stage("self-supervised", random_rotation_losses, epochs=10),
            Stage("manifold", fast_second_step, epochs=30),
        ],
    ),
    "paper": PAPER,
    "official-code": _official("mini-imagenet", 400, 100),
}

VARIANTS = {
    "official-code": {
        "cub": _official("cub", 200, 100),
        "tiered-imagenet": _official("tiered-imagenet", 100, 50),
        "cifar-fs": CIFAR,
        "fc100": CIFAR,
    }
}
