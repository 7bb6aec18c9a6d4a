"""ERM: plain cross entropy over the base classes, "Baseline++" with the cosine classifier.

Chen et al., ICLR 2019, arXiv:1904.04232, section 3.2; reference code wyharveychen/CloserLookFewShot.

    fsbench train-backbone erm --dataset cifar-fs --backbone conv4

Measured with preset fast (Conv4, 32 px, 40 epochs, bf16, training seed 0): 12 minutes on one CPU core;
59.83 ± 0.22 % (5-way 1-shot) and 76.16 ± 0.18 % (5-way 5-shot) on novel classes of CIFAR-FS,
with nearest-mean; ± is the 95 % half width over 10,000 tasks.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from fsbench.models import Network
from fsbench.training import Recipe, Stage, fast_preset
from fsbench.training.fast import EPOCHS


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Compute the cross entropy of the classifier; nothing is random."""
    return {"class": F.cross_entropy(network(images), labels)}


COSINE = Recipe(
    name="erm",
    preset="cosine",
    paper="arXiv:1904.04232",
    stages=(Stage("class", step, epochs=400),),  # mini-ImageNet and cross-domain; 200 on CUB
    batch_size=16,
    classifier="cosine",
)

PRESETS = {
    "fast": fast_preset(COSINE, [Stage("class", step, epochs=EPOCHS)]),
    "cosine": COSINE,  # Baseline++
    "linear": replace(COSINE, preset="linear", classifier="linear"),  # Baseline
}
