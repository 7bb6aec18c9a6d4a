"""ERM: plain cross entropy over the base classes ("Baseline++" with the cosine classifier).

Chen et al., ICLR 2019, arXiv:1904.04232, section 3.2; reference code wyharveychen/CloserLookFewShot.

    fsbench train-backbone erm --dataset cifar-fs --backbone conv4
"""

from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from fsbench.models.classifiers import Network
from fsbench.training.fast import EPOCHS, fast
from fsbench.training.recipe import Recipe, Stage


def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Cross entropy of the classifier; nothing is drawn."""
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
    "fast": fast(COSINE, [Stage("class", step, epochs=EPOCHS)]),
    "cosine": COSINE,  # Baseline++
    "linear": replace(COSINE, preset="linear", classifier="linear"),  # Baseline
}
