"""Input mixup: train on mixtures of two images and of their labels.

Zhang et al., ICLR 2018, arXiv:1710.09412, section 2; reference code facebookresearch/mixup-cifar10.

    fsbench train-backbone mixup --dataset cifar-fs --backbone conv4

Measured with preset fast (Conv4, 32 px, 40 epochs, bf16, training seed 0): 17 minutes on one CPU core;
58.11 ± 0.22 % (5-way 1-shot) and 74.86 ± 0.18 % (5-way 5-shot) on novel classes of CIFAR-FS,
with nearest-mean; ± is the 95 % half width over 10,000 tasks.
"""

import numpy as np
from torch import Tensor

from fsbench.data import Augment
from fsbench.models import Network
from fsbench.training import Optimiser, Recipe, Stage, fast_preset
from fsbench.training.fast import EPOCHS
from fsbench.training.losses import draw_permutation, draw_weight, mix, mixed_cross_entropy

ALPHA = 1.0  # of the paper on CIFAR


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Mix the batch with itself, shuffled: one weight and one permutation per batch."""
    weight, permutation = draw_weight(rng, ALPHA), draw_permutation(rng, labels)
    logits = network(mix(images, permutation, weight))
    return {"mixed": mixed_cross_entropy(logits, labels, permutation, weight)}


# Optimiser, classifier and augmentation are those of S2M2, so that recipes differ in their loss only.
PAPER = Recipe(
    name="mixup",
    preset="paper",
    paper="arXiv:1710.09412",
    stages=(Stage("mixed", step, epochs=400),),
    batch_size=64,
)

PRESETS = {
    "fast": fast_preset(PAPER, [Stage("mixed", step, epochs=EPOCHS)]),
    "paper": PAPER,
    # train.py of the reference code, which cuts the rate after epochs 100 and 150, counted from 0.
    "official-code": Recipe(
        name="mixup",
        preset="official-code",
        paper="arXiv:1710.09412",
        stages=(Stage("mixed", step, epochs=200),),
        batch_size=128,
        classifier="linear",
        dropout={"wrn28-10": 0.0},
        optimiser=Optimiser("sgd", learning_rate=0.1, weight_decay=1e-4, milestones=(101 / 200, 151 / 200)),
        augment=Augment(scale=None, jitter=0.0, padding=4),
    ),
}
