"""Label noise for training: replace labels at random with a given probability."""

import numpy as np
from numpy.typing import NDArray

from fsbench._util.rng import stream


def add_label_noise(
    labels: NDArray[np.int32], n_classes: int, probability: float, seed: int
) -> NDArray[np.int32]:
    """Replace each label, with the given probability, by a class drawn uniformly from all classes.

    The drawn class may be the true one, so an expected fraction `probability * (1 - 1 / n_classes)` of the
    labels becomes wrong. Labels that are replaced at one probability are replaced identically at any higher
    one.

    Args:
        labels: Class of each image, (n,), 0 to `n_classes - 1`.
        n_classes: Number of classes.
        probability: Probability of replacing a label, 0 to 1.
        seed: Seed of the random numbers.

    Returns:
        The noisy labels, (n,).

    Source:
        mixup (arXiv:1710.09412), section 3.4, after Zhang et al. (arXiv:1611.03530).

    Example:
        >>> add_label_noise(np.arange(5, dtype=np.int32), n_classes=5, probability=0.0, seed=0)
        array([0, 1, 2, 3, 4], dtype=int32)
    """
    rng = stream(seed, "label noise")
    replaced = rng.random(len(labels)) < probability
    drawn = rng.integers(n_classes, size=len(labels), dtype=np.int32)
    return np.where(replaced, drawn, labels)
