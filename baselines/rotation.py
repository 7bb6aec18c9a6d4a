"""Rotation: classify every image in four rotations, and predict the rotation.

Mangla et al., WACV 2020, arXiv:1907.12087 (S2M2), section 3.2, after Gidaris et al., arXiv:1803.07728;
reference code nupurkmr9/S2M2_fewshot.

    fsbench train-backbone rotation --dataset cifar-fs --backbone conv4

Measured with preset fast (Conv4, 32 px, 40 epochs, bf16, training seed 0): 13 minutes on one CPU core;
56.45 ± 0.22 % (5-way 1-shot) and 72.89 ± 0.18 % (5-way 5-shot) on novel classes of CIFAR-FS,
with nearest-mean; ± is the 95 % half width over 10,000 tasks.
"""

from dataclasses import replace

from fsbench.training import Recipe, Stage, fast_preset
from fsbench.training.fast import EPOCHS
from fsbench.training.losses import (
    N_ROTATIONS,
    halved_rotation_losses,
    random_rotation_losses,
    rotation_losses,
)

PAPER = Recipe(
    name="rotation",
    preset="paper",
    paper="arXiv:1907.12087",
    stages=(Stage("self-supervised", rotation_losses, epochs=400),),
    batch_size=64,
    auxiliary_classifiers={"rotation": N_ROTATIONS},
)


def _official(settings_for: str, epochs: int) -> Recipe:
    """Make the preset of train.py, with the epochs that the authors state for a data set."""
    return replace(
        PAPER,
        preset="official-code",
        stages=(Stage("self-supervised", halved_rotation_losses, epochs=epochs),),
        classifier_width=200,  # for any number of classes; the unused outputs take part in the softmax
        dropout={"wrn28-10": 0.5},
        settings_for=settings_for,
    )


CIFAR = replace(_official("cifar-fs", 400), classifier_width=64, dropout={"wrn28-10": 0.9})  # train_cifar.py

PRESETS = {
    # Each image in one random rotation: four times as many steps in the same time.
    "fast": fast_preset(PAPER, [Stage("self-supervised", random_rotation_losses, epochs=EPOCHS)]),
    "paper": PAPER,
    "official-code": _official("mini-imagenet", 400),
}

VARIANTS = {
    "official-code": {
        "cub": _official("cub", 200),
        "tiered-imagenet": _official("tiered-imagenet", 100),
        "cifar-fs": CIFAR,
        "fc100": CIFAR,
    }
}
