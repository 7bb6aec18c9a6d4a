"""Manifold mixup: train on mixtures of hidden features and of their labels.

Verma et al., ICML 2019, arXiv:1806.05236, section 2; reference code vikasverma1077/manifold_mixup.

    fsbench train-backbone manifold-mixup --dataset cifar-fs --backbone conv4
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.models.classifiers import Network
from fsbench.training.fast import EPOCHS, fast
from fsbench.training.losses import draw_order, draw_weight, manifold_mixup, mix
from fsbench.training.optim import Optimiser
from fsbench.training.recipe import Recipe, Stage

ALPHA = 2.0  # the paper's on CIFAR, and S2M2's
CODE_DEPTHS = 3  # the reference code draws among the input and the first two blocks, for every network


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Mix at a random depth, the input and the end of each block among them, as S2M2's code does.

    The paper's own depths are fewer: the input and the first block of a WRN, one block more of a ResNet.
    """
    return {"mixed": manifold_mixup(network, images, labels, rng, ALPHA)}


def code_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """As the reference code: three depths, and binary cross entropy of the softmax against mixed one-hots."""
    depth, weight = int(rng.integers(CODE_DEPTHS)), draw_weight(rng, ALPHA)
    order = draw_order(rng, labels)
    features = network.backbone(images, depth, lambda hidden: mix(hidden, order, weight))
    scores = network.classifier(features)
    # By hand, as autocast refuses F.binary_cross_entropy; it clamps logarithms at -100 too.
    log_p, log_rest = F.log_softmax(scores, dim=1), torch.log1p(-F.softmax(scores, dim=1)).clamp(min=-100)
    target = mix(F.one_hot(labels, scores.shape[1]).to(log_p.dtype), order, weight)  # never in half precision
    return {"mixed": -(target * log_p + (1 - target) * log_rest).mean()}


# The loss is the paper's. Optimiser, classifier and augmentation are S2M2's, so that recipes differ in
# their loss alone.
PAPER = Recipe(
    name="manifold-mixup",
    preset="paper",
    paper="arXiv:1806.05236",
    stages=(Stage("mixed", step, epochs=400),),
    batch_size=64,
)

PRESETS = {
    "fast": fast(PAPER, [Stage("mixed", step, epochs=EPOCHS)]),
    "paper": PAPER,
    # The reference code's settings for WRN-28-10, but for its padded crop.
    "official-code": Recipe(
        name="manifold-mixup",
        preset="official-code",
        paper="arXiv:1806.05236",
        stages=(Stage("mixed", code_step, epochs=400),),
        batch_size=100,
        classifier="linear",
        optimiser=Optimiser("sgd", learning_rate=0.1, weight_decay=1e-4, milestones=(0.5, 0.75)),
    ),
}
