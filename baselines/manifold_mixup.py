"""Manifold mixup: train on mixtures of hidden features and of their labels.

Verma et al., ICML 2019, arXiv:1806.05236, section 2; reference code vikasverma1077/manifold_mixup.

    fsbench train-backbone manifold-mixup --dataset cifar-fs --backbone conv4

Measured with preset fast (Conv4, 32 px, 40 epochs, bf16, training seed 0): 13 minutes on one CPU core;
59.55 ± 0.22 % (5-way 1-shot) and 75.54 ± 0.18 % (5-way 5-shot) on novel classes of CIFAR-FS,
with nearest-mean; ± is the 95 % half width over 10,000 tasks.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.data import Augment
from fsbench.models import Network
from fsbench.training import Optimiser, Recipe, Stage, fast_preset
from fsbench.training.fast import EPOCHS
from fsbench.training.losses import draw_permutation, draw_weight, manifold_mixup, mix

ALPHA = 2.0  # of the paper on CIFAR, and of S2M2
CODE_DEPTHS = 3  # the reference code draws from the input and the first two blocks, for every network


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Mix at a random depth, either the input or the end of any block, as S2M2's code does.

    The paper uses fewer depths: the input and the first block of a WRN, and the next block, too, of a ResNet.
    """
    return {"mixed": manifold_mixup(network, images, labels, rng, ALPHA)}


def code_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Follow the reference code: three depths, and binary cross entropy of the softmax and mixed one-hots."""
    depth, weight = int(rng.integers(CODE_DEPTHS)), draw_weight(rng, ALPHA)
    permutation = draw_permutation(rng, labels)
    features = network.backbone(images, depth, lambda hidden: mix(hidden, permutation, weight))
    logits = network.classifier(features)
    # As F.binary_cross_entropy, which also clamps logarithms at -100 but is refused by autocast.
    log_p, log_rest = F.log_softmax(logits, dim=1), torch.log1p(-F.softmax(logits, dim=1)).clamp(min=-100)
    one_hot = F.one_hot(labels, logits.shape[1]).to(log_p.dtype)  # float32 also under autocast
    target = mix(one_hot, permutation, weight)
    return {"mixed": -(target * log_p + (1 - target) * log_rest).mean()}


# Optimiser, classifier and augmentation are those of S2M2, so that recipes differ in their loss only.
PAPER = Recipe(
    name="manifold-mixup",
    preset="paper",
    paper="arXiv:1806.05236",
    stages=(Stage("mixed", step, epochs=400),),
    batch_size=64,
)

PRESETS = {
    "fast": fast_preset(PAPER, [Stage("mixed", step, epochs=EPOCHS)]),
    "paper": PAPER,
    # WRN-28-10 on CIFAR: defaults of main.py, crops of load_data_subset, epochs of the README's command.
    "official-code": Recipe(
        name="manifold-mixup",
        preset="official-code",
        paper="arXiv:1806.05236",
        stages=(Stage("mixed", code_step, epochs=400),),
        batch_size=100,
        classifier="linear",
        dropout={"wrn28-10": 0.0},
        optimiser=Optimiser(
            "sgd", learning_rate=0.1, weight_decay=1e-4, nesterov=True, milestones=(200 / 400, 300 / 400)
        ),
        augment=Augment(scale=None, jitter=0.0, padding=2),
    ),
}
