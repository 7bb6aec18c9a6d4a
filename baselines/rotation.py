"""Rotation: classify every image in four rotations, and predict the rotation.

Mangla et al., WACV 2020, arXiv:1907.12087 (S2M2), section 3.2, after Gidaris et al., arXiv:1803.07728;
reference code nupurkmr9/S2M2_fewshot.

    fsbench train-backbone rotation --dataset cifar-fs --backbone conv4

Measured with preset fast (Conv4, 32 px, 40 epochs, bf16, training seed 0): 13 minutes on one CPU core;
56.45 ± 0.22 % (5-way 1-shot) and 72.89 ± 0.18 % (5-way 5-shot) on novel classes of CIFAR-FS,
with nearest-mean; ± is the 95 % half width over 10,000 tasks.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fsbench.models import Network
from fsbench.training import Recipe, Stage, fast_preset
from fsbench.training.fast import EPOCHS
from fsbench.training.losses import N_ROTATIONS, halved, random_rotation_losses, rotation_losses


def code_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Follow the reference code: half of each loss. With Adam the factor has no effect."""
    return halved(rotation_losses(network, images, labels, rng))


PAPER = Recipe(
    name="rotation",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(
        Stage("self-supervised", rotation_losses, epochs=400),
    ),  # mini-ImageNet; 200 on CUB, 100 on tiered
    batch_size=64,
    auxiliary_classifiers={"rotation": N_ROTATIONS},
)

PRESETS = {
    # Each image in one random rotation: four times as many steps in the same time.
    "fast": fast_preset(PAPER, [Stage("self-supervised", random_rotation_losses, epochs=EPOCHS)]),
    "paper": PAPER,
    "official-code": replace(
        PAPER,
        preset="official-code",
        stages=(Stage("self-supervised", code_step, epochs=400),),
        classifier_width=200,  # for any number of classes; the unused outputs take part in the softmax
    ),
}
