"""S2M2-E: exemplar training first, then manifold mixup with it as a regulariser.

Mangla et al., WACV 2020, arXiv:1907.12087, Algorithm 1. The reference code does not contain it.

    fsbench train-backbone s2m2-e --dataset cifar-fs --backbone conv4

Not measured yet.
"""

from functools import partial

import numpy as np
from torch import Tensor

from fsbench.models import Network
from fsbench.training import Recipe, Stage, fast_preset
from fsbench.training.losses import exemplar_losses, halved, manifold_mixup

ALPHA = 2.0
VIEWS = 4


def first_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator, *, unit_length: bool
) -> dict[str, Tensor]:
    """Compute L_class + L_exemplar."""
    return exemplar_losses(network, images, labels, unit_length=unit_length)


def second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator, *, unit_length: bool
) -> dict[str, Tensor]:
    """Compute L_mm + 0.5 (L_class + L_exemplar); the first view of each image is mixed."""
    mixed = manifold_mixup(network, images[: len(labels)], labels, rng, ALPHA)
    exemplar = exemplar_losses(network, images, labels, unit_length=unit_length)
    return {"mixed": mixed, **halved(exemplar)}


def _recipe(preset: str, *, unit_length: bool) -> Recipe:
    """Make a preset with the epochs of the paper."""
    first = partial(first_step, unit_length=unit_length)
    second = partial(second_step, unit_length=unit_length)
    return Recipe(
        name="s2m2-e",
        preset=preset,
        paper="arXiv:1907.12087",
        stages=(
            Stage("self-supervised", first, epochs=400, views=VIEWS),
            Stage("manifold", second, epochs=100, views=VIEWS, patience=1),
        ),
        batch_size=64,
    )


PAPER = _recipe("paper", unit_length=False)

PRESETS = {
    "fast": fast_preset(
        PAPER,
        [
            Stage("self-supervised", partial(first_step, unit_length=True), epochs=10, views=VIEWS),
            Stage("manifold", partial(second_step, unit_length=True), epochs=30, views=VIEWS),
        ],
    ),
    "paper": PAPER,
    "unit-length": _recipe("unit-length", unit_length=True),  # exemplar.py gives the reason
}
