"""Rotation: classify every image in four rotations, and tell by which one it was turned.

Mangla et al., WACV 2020, arXiv:1907.12087 (S2M2), section 3.2, after Gidaris et al., arXiv:1803.07728;
reference code nupurkmr9/S2M2_fewshot.

    fsbench train-backbone rotation --dataset cifar-fs --backbone conv4
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fsbench.models.classifiers import Network
from fsbench.training.fast import EPOCHS, fast
from fsbench.training.losses import TURNS, random_rotation_terms, rotation_terms
from fsbench.training.recipe import Recipe, Stage


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """L_class + L_rot, means over the fourfold batch."""
    class_loss, rotation_loss = rotation_terms(network, images, labels)
    return {"class": class_loss, "rotation": rotation_loss}


def fast_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The same losses, each image in one random rotation: four times as many steps in the same time."""
    class_loss, rotation_loss = random_rotation_terms(network, images, labels, rng)
    return {"class": class_loss, "rotation": rotation_loss}


def code_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """As the reference code: half of each. Adam does not see the factor."""
    return {name: 0.5 * loss for name, loss in step(network, images, labels, rng).items()}


PAPER = Recipe(
    name="rotation",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(Stage("self-supervised", step, epochs=400),),  # mini-ImageNet; 200 on CUB, 100 on tiered
    batch_size=64,
    extra_heads={"rotation": TURNS},
)

PRESETS = {
    "fast": fast(PAPER, [Stage("self-supervised", fast_step, epochs=EPOCHS)]),
    "paper": PAPER,
    "official-code": replace(
        PAPER,
        preset="official-code",
        stages=(Stage("self-supervised", code_step, epochs=400),),
        classifier_width=200,  # whatever the number of classes; the dead scores take part in the softmax
    ),
}
