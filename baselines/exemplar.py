"""Exemplar: classify four augmented views of each image, and pull them together against all other images.

Mangla et al., WACV 2020, arXiv:1907.12087 (S2M2), section 3.2, after Dosovitskiy et al., arXiv:1406.6909. The
reference code does not have it.

    fsbench train-backbone exemplar --dataset cifar-fs --backbone conv4
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fsbench.models.classifiers import Network
from fsbench.training.fast import EPOCHS, fast
from fsbench.training.losses import exemplar_terms
from fsbench.training.recipe import Recipe, Stage

VIEWS = 4


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """L_class + L_exemplar, means over all views."""
    class_loss, exemplar_loss = exemplar_terms(network, images, labels)
    return {"class": class_loss, "exemplar": exemplar_loss}


def unit_length_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The same with distances between unit-length features; the paper names plain Euclidean distance.

    From scratch the paper's loss can shrink all features to one point, where it is ln 2 and gradients vanish:
    a Conv4 on CIFAR-FS is there within an epoch, and its class loss stays at chance, ln 64.
    """
    class_loss, exemplar_loss = exemplar_terms(network, images, labels, unit_length=True)
    return {"class": class_loss, "exemplar": exemplar_loss}


PAPER = Recipe(
    name="exemplar",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(Stage("self-supervised", step, epochs=400, views=VIEWS),),
    batch_size=64,
)

PRESETS = {
    "fast": fast(PAPER, [Stage("self-supervised", unit_length_step, epochs=EPOCHS, views=VIEWS)]),
    "paper": PAPER,
    "unit-length": replace(
        PAPER,
        preset="unit-length",
        stages=(Stage("self-supervised", unit_length_step, epochs=400, views=VIEWS),),
    ),
}
