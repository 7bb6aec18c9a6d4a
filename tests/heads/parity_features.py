"""Synthetic features of the parity tests: not negative, and about as hard as those of mini-ImageNet."""

import hashlib

import numpy as np
from numpy.typing import NDArray

WIDTH, CENTRE_AXES, SPREAD_AXES = 640, 60, 40
NOVEL, BASE = (20, 600), (64, 200)  # classes, images of each

# Of the novel features in half precision, which hides the last bits of another processor.
SHA256 = "66431999685eaf8fe2002b7a88c2a613357b8385d84f89d7213259c38a1bbd6d"


def make() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return novel features (12000, 640), base features (12800, 640) and base labels (12800,).

    Classes follow each other. The order of the draws is part of the golden answers.
    """
    rng = np.random.default_rng(7)
    centre_axes = rng.normal(size=(CENTRE_AXES, WIDTH)) / np.sqrt(CENTRE_AXES)
    spread_axes = rng.normal(size=(SPREAD_AXES, WIDTH)) / np.sqrt(SPREAD_AXES)

    def one_class(images: int) -> NDArray[np.float64]:
        centre = rng.normal(size=CENTRE_AXES) @ centre_axes * 0.5
        spread = rng.uniform(0.7, 1.3)
        along_axes = rng.normal(size=(images, SPREAD_AXES)) @ spread_axes * spread
        in_all_directions = rng.normal(size=(images, WIDTH)) * 0.35
        return np.maximum(centre + along_axes + in_all_directions - 0.6, 0)

    def split(classes: int, images: int) -> NDArray[np.float32]:
        return np.concatenate([one_class(images) for _ in range(classes)]).astype(np.float32) * 0.4

    novel, base = split(*NOVEL), split(*BASE)
    return novel, base, np.arange(BASE[0]).repeat(BASE[1])


def digest(features: NDArray[np.float32]) -> str:
    """SHA-256 of features in half precision."""
    return hashlib.sha256(features.astype("<f2").tobytes()).hexdigest()
