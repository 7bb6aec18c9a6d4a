"""Input mixup: train on mixtures of two images and of their labels.

Zhang et al., ICLR 2018, arXiv:1710.09412, section 2; reference code facebookresearch/mixup-cifar10.

    fsbench train-backbone mixup --dataset cifar-fs --backbone conv4
"""

import numpy as np
from torch import Tensor

from fsbench.models.classifiers import Network
from fsbench.training.fast import EPOCHS, fast
from fsbench.training.losses import draw_order, draw_weight, mix, mixed_cross_entropy
from fsbench.training.optim import Optimiser
from fsbench.training.recipe import Recipe, Stage

ALPHA = 1.0  # the paper's on CIFAR


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Mix the batch with itself, shuffled: one weight and one order a batch."""
    weight, order = draw_weight(rng, ALPHA), draw_order(rng, labels)
    scores = network(mix(images, order, weight))
    return {"mixed": mixed_cross_entropy(scores, labels, order, weight)}


# The loss is the paper's. Optimiser, classifier and augmentation are S2M2's, so that recipes differ in
# their loss alone.
PAPER = Recipe(
    name="mixup",
    preset="paper",
    paper="arXiv:1710.09412",
    stages=(Stage("mixed", step, epochs=400),),
    batch_size=64,
)

PRESETS = {
    "fast": fast(PAPER, [Stage("mixed", step, epochs=EPOCHS)]),
    "paper": PAPER,
    # train.py of the reference code, but for its padded crop: crops are resized here as in S2M2.
    "official-code": Recipe(
        name="mixup",
        preset="official-code",
        paper="arXiv:1710.09412",
        stages=(Stage("mixed", step, epochs=200),),
        batch_size=128,
        classifier="linear",
        optimiser=Optimiser("sgd", learning_rate=0.1, weight_decay=1e-4, milestones=(0.5, 0.75)),
    ),
}
