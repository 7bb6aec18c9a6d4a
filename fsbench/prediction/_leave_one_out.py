"""Leave-one-out: how the head answers for support images that it has not seen."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench.prediction._distance import scaled_distances

FOLDS = 20  # classes with more images leave out several at once
Score = Callable[[Tensor, Tensor, Sequence[int]], NDArray[np.float32]]  # support, query, shots -> scores


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Support images that were left out once each, n of them.

    Attributes:
        scores: Scores (n, n_way) of the head, from the other support images.
        answers: Their classes (n,), as columns of `scores`.
        distances: Scaled distance (n,) to the nearest class of the other support images.
    """

    scores: NDArray[np.float64]
    answers: NDArray[np.intp]
    distances: NDArray[np.float64]


def leave_one_out(
    support: Tensor, shots: Sequence[int], folds: NDArray[np.intp], score: Score, query: Tensor | None
) -> HeldOut:
    """Score every support image (all shots, d) by the others, one image of each class at a time.

    All classes lose an image together, so that their numbers of images stay in proportion: some heads favour
    the class with more images.

    Args:
        support: Support features, (all shots, d), class by class.
        shots: Support images of each class, (n_way,).
        folds: Output of `assign_folds`, (all shots,).
        score: The head.
        query: Query features, (queries, d), which a transductive head uses together with the images that are
            left out; None for other heads.

    Returns:
        The images that have a fold.
    """
    answers = np.repeat(np.arange(len(shots)), shots)
    scores = np.zeros((len(answers), len(shots)))
    distances = np.zeros(len(answers))
    for fold in range(folds.max() + 1):
        out = folds == fold
        kept = np.bincount(answers[~out], minlength=len(shots)).tolist()
        images, others = support[torch.from_numpy(out)], support[torch.from_numpy(~out)]
        together = images if query is None else torch.cat([images, query])
        scores[out] = score(others, together, kept)[: len(images)]
        distances[out] = scaled_distances(others, kept, images)
    used = folds >= 0
    return HeldOut(scores[used], answers[used], distances[used])


def without_copies(shots: Sequence[int], digests: Sequence[bytes]) -> NDArray[np.bool_]:
    """Return whether each support image (all shots,) has no copy in its class."""
    keys = [*zip(np.repeat(np.arange(len(shots)), shots).tolist(), digests, strict=True)]
    counts = Counter(keys)
    return np.array([counts[key] == 1 for key in keys])


def assign_folds(shots: Sequence[int], digests: Sequence[bytes]) -> NDArray[np.intp]:
    """Assign every support image (all shots,) to the fold in which it is left out.

    Copies of an image are left out together. The images of a class with a single one are never left out: -1.
    """
    folds, start = np.full(sum(shots), -1), 0
    for number in shots:
        own = digests[start : start + number]
        ranks = {digest: rank for rank, digest in enumerate(dict.fromkeys(own))}
        if len(ranks) > 1:
            folds[start : start + number] = [ranks[digest] % FOLDS for digest in own]
        start += number
    return folds
