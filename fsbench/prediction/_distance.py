"""How far images are from the classes, and from which distance on they belong to none of them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fsbench.prediction.accuracy import class_weights, effective_images

WRONGLY_REJECTED = 0.1  # share of the images of the classes that rejection may cost
_EQUAL = 1e-9  # difference of equal numbers by rounding, at most


def scaled_distances(support: Tensor, shots: Sequence[int], query: Tensor) -> NDArray[np.float64]:
    """Compute the squared distance of each image to the nearest class mean, in units that depend on no shots.

    Features are scaled to unit length. An image is farther from the mean of K images than from the centre of
    its class, because K images place the mean with an error: by the factor 1 + 1/K if a class has the same
    variance in all directions. Distances are divided by it, so that those of `leave_one_out`, with K - 1
    images, can be compared with those of query images.

    Args:
        support: Support features, (all shots, d), class by class.
        shots: Support images of each class, (n_way,).
        query: Features of the images, (queries, d).

    Returns:
        Distances, (queries,).
    """
    classes = F.normalize(support.double(), dim=1).split(list(shots))
    means = torch.stack([images.mean(dim=0) for images in classes])
    factors = torch.tensor([1 + 1 / number for number in shots], device=query.device)
    squares = torch.cdist(F.normalize(query.double(), dim=1), means).square() / factors
    distances: NDArray[np.float64] = squares.amin(dim=1).cpu().numpy()
    return distances


def rejection_threshold(held_out: NDArray[np.float64], answers: NDArray[np.intp]) -> tuple[float, float]:
    """Choose the distance above which an image is answered "none of these".

    A new image of the classes is equally likely to have any rank among the n distances of the images that
    were left out. So it is above the r-th smallest of them with probability (n + 1 - r) / (n + 1). r is the
    smallest rank for which this is at most 10 %; with fewer than 9 images, r is n.

    Equal distances count once: the two images of a class are equally far from each other, and copies are not
    new images. Images are weighted so that each class counts equally; n is then Kish's effective sample size.

    Args:
        held_out: Scaled distances (images,) of support images that were left out, at least one.
        answers: Their classes, (images,).

    Returns:
        The threshold, and the share of the images of the classes that are above it, 0..1.

    Source:
        Conformal prediction: Lei et al., JASA 2018 (arXiv:1604.04173) section 2.
    """
    order = np.argsort(held_out, kind="stable")
    different = np.append(np.diff(held_out[order]) > _EQUAL, True)  # keeps the last one of equal distances
    distances, weights = held_out[order][different], class_weights(answers[order][different])
    n = effective_images(weights)
    above = np.append(np.cumsum(weights[:0:-1])[::-1], 0.0)  # weight of the distances above each one
    shares = (n * above + 1) / (n + 1)
    allowed = np.flatnonzero(shares <= WRONGLY_REJECTED + _EQUAL)
    rank = allowed[0] if len(allowed) else len(shares) - 1
    return float(distances[rank]), float(shares[rank])
