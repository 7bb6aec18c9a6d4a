"""Exemplar: classify four augmented views of each image, and pull them together against all other images.

Mangla et al., WACV 2020, arXiv:1907.12087 (S2M2), section 3.2, after Dosovitskiy et al., arXiv:1406.6909. The
reference code of S2M2 does not contain it.

    fsbench train-backbone exemplar --dataset cifar-fs --backbone conv4

Not measured yet.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fsbench.models import Network
from fsbench.training import Recipe, Stage, fast_preset
from fsbench.training.fast import EPOCHS
from fsbench.training.losses import exemplar_losses

VIEWS = 4


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Compute L_class + L_exemplar, means over all views."""
    return exemplar_losses(network, images, labels)


def unit_length_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Compute the same losses from unit-length features; the paper only says Euclidean distance.

    From random weights, the loss of the paper can shrink all features to one point, where it is ln 2 and
    gradients vanish. A Conv4 on CIFAR-FS reaches this point within an epoch; its class loss stays at chance,
    ln 64.
    """
    return exemplar_losses(network, images, labels, unit_length=True)


PAPER = Recipe(
    name="exemplar",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(Stage("self-supervised", step, epochs=400, views=VIEWS),),
    batch_size=64,
)

PRESETS = {
    "fast": fast_preset(PAPER, [Stage("self-supervised", unit_length_step, epochs=EPOCHS, views=VIEWS)]),
    "paper": PAPER,
    "unit-length": replace(
        PAPER,
        preset="unit-length",
        stages=(Stage("self-supervised", unit_length_step, epochs=400, views=VIEWS),),
    ),
}
