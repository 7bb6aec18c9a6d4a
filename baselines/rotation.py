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
    # On mini-ImageNet; 200 epochs on CUB, 100 on tiered-ImageNet.
    stages=(Stage("self-supervised", rotation_losses, epochs=400),),
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
        stages=(Stage("self-supervised", halved_rotation_losses, epochs=400),),
        classifier_width=200,  # for any number of classes; the unused outputs take part in the softmax
    ),
}
