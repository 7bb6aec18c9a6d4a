"""Behaviour between samples: errors and gradients along lines from one training image to another."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.diagnose.plots import curves
from fsbench.diagnose.section import Section, Table
from fsbench.diagnose.subject import Scores, Study
from fsbench.streams import stream

PAIRS = 128
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))  # of the first image of a pair


def misses(scores: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Whether the highest of scores (n, classes) is neither the class `first` nor `second` (n,): (n,) bool.

    Source: mixup (arXiv:1710.09412) figure 2a.
    """
    given = scores.argmax(dim=1)
    return (given != first) & (given != second)


def gradient_norms(
    scores: Scores, images: Tensor, first: Tensor, second: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Scores (n, classes) of images (n, 3, s, s) and the length (n,) of their loss gradients by pixels.

    The loss is cross entropy against `weight` of the class `first` and the rest of `second`.
    Source: mixup (arXiv:1710.09412) figure 2b, which does not say of which output its gradient is.
    """
    images = images.detach().requires_grad_()
    found = scores(images)
    own, partner = (F.cross_entropy(found, labels, reduction="sum") for labels in (first, second))
    gradient = torch.autograd.grad(weight * own + (1 - weight) * partner, images)[0]
    return found.detach(), gradient.flatten(1).norm(dim=1)


def section(study: Study) -> Section:
    """Misses and gradient norms of every network between base images of different classes."""
    first, second = _pairs(study)
    missed: dict[str, list[tuple[float, float]]] = {}
    steep: dict[str, list[tuple[float, float]]] = {}
    for subject in study.subjects:
        ends = [subject.images(study.base.pixels[rows]) for rows in (first, second)]
        a, b = (
            torch.from_numpy(study.base.labels[rows]).long().to(ends[0].device) for rows in (first, second)
        )
        missed[subject.name], steep[subject.name] = [], []
        for weight in WEIGHTS:
            mixed = weight * ends[0] + (1 - weight) * ends[1]
            scores, norms = gradient_norms(subject.scores, mixed, a, b, weight)
            missed[subject.name].append((weight, 100 * misses(scores, a, b).double().mean().item()))
            steep[subject.name].append((weight, norms.mean().item()))
    inside = [number for number, weight in enumerate(WEIGHTS) if 0 < weight < 1]
    rows = []
    for name in missed:
        ends_missed = np.mean([missed[name][0][1], missed[name][-1][1]])
        between = np.mean([missed[name][number][1] for number in inside])
        norm = np.mean([steep[name][number][1] for number in inside])
        rows.append(
            (name, f"{ends_missed:.1f}", f"{between:.1f}", f"{missed[name][5][1]:.1f}", f"{norm:.2f}")
        )
    return Section(
        "between",
        "Between samples",
        f"Along the lines between {PAIRS} pairs of base images of different classes (training images), at "
        f"{len(WEIGHTS)} places each: the share (%) of predictions that are neither of the two classes, at "
        "the ends, on average in between and in the middle; and the mean Euclidean length in between of "
        "the gradient of the mixed cross entropy by pixels in 0..1. After mixup (arXiv:1710.09412) figure "
        "2.",
        (Table(("network", "misses, ends", "in between", "middle", "gradient norm"), tuple(rows)),),
        {
            "misses between samples": curves(missed, "weight of the first image", "misses, %"),
            "gradient norm between samples": curves(steep, "weight of the first image", "gradient norm"),
        },
        {"misses": missed, "gradient norms": steep},
    )


def _pairs(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Rows of base images in pairs of different classes, (PAIRS,) each."""
    labels = study.base.labels
    rng = stream(0, "diagnose", "pairs")
    first = rng.integers(len(labels), size=4 * PAIRS)
    second = rng.integers(len(labels), size=4 * PAIRS)
    kept = np.flatnonzero(labels[first] != labels[second])[:PAIRS]
    return first[kept], second[kept]
