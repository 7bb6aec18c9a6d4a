"""S2M2-E: exemplar training first, then manifold mixup with it as a regulariser.

Mangla et al., WACV 2020, arXiv:1907.12087, Algorithm 1. The reference code does not have it.

    fsbench train-backbone s2m2-e --dataset cifar-fs --backbone conv4
"""

from functools import partial

import numpy as np
from torch import Tensor

from fsbench.models.classifiers import Network
from fsbench.training.fast import fast
from fsbench.training.losses import exemplar_terms, manifold_mixup
from fsbench.training.recipe import Recipe, Stage

ALPHA = 2.0
VIEWS = 4


def first_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator, *, unit_length: bool
) -> dict[str, Tensor]:
    """L_class + L_exemplar."""
    class_loss, exemplar_loss = exemplar_terms(network, images, labels, unit_length=unit_length)
    return {"class": class_loss, "exemplar": exemplar_loss}


def second_step(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator, *, unit_length: bool
) -> dict[str, Tensor]:
    """L_mm + 0.5 (L_class + L_exemplar); the first view of each image is the one that is mixed."""
    mixed = manifold_mixup(network, images[: len(labels)], labels, rng, ALPHA)
    rest = first_step(network, images, labels, rng, unit_length=unit_length)
    return {"mixed": mixed, **{name: 0.5 * loss for name, loss in rest.items()}}


def _recipe(preset: str, *, unit_length: bool) -> Recipe:
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
    "fast": fast(
        PAPER,
        [
            Stage("self-supervised", partial(first_step, unit_length=True), epochs=10, views=VIEWS),
            Stage("manifold", partial(second_step, unit_length=True), epochs=30, views=VIEWS),
        ],
    ),
    "paper": PAPER,
    "unit-length": _recipe("unit-length", unit_length=True),  # why: see exemplar.py
}
