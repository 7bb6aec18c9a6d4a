"""Label noise: a share of labels replaced by random ones, for training on them."""

import numpy as np
from numpy.typing import NDArray

from fsbench._util.rng import stream


def replaced(labels: NDArray[np.int32], n_classes: int, share: float, seed: int) -> NDArray[np.int32]:
    """Labels (n,), each with probability `share` (0..1) replaced by a class drawn uniformly from all.

    The drawn class may be the true one, so about `share` * (1 - 1 / n_classes) of them become false. What a
    share replaces, a larger one replaces alike. Source: mixup (arXiv:1710.09412) section 3.4, after Zhang et
    al. (arXiv:1611.03530).
    """
    rng = stream(seed, "label noise")
    chosen = rng.random(len(labels)) < share
    drawn = rng.integers(n_classes, size=len(labels), dtype=np.int32)
    return np.where(chosen, drawn, labels)
