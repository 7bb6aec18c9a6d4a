"""Behaviour between samples: errors and gradients along lines from one training image to another."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fsbench._util.rng import stream
from fsbench.diagnose._plots import Panel, panels
from fsbench.diagnose._section import Claim, ReportSection, TextTable
from fsbench.diagnose.study import Scores, Study, Subject

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


def section(study: Study) -> ReportSection:
    """Misses and gradient norms of every network between base images of different classes."""
    first, second = _pairs(study.base.labels, study.questions // 4)
    missed: dict[str, NDArray[np.float64]] = {}  # (weights, pairs), in %
    steep: dict[str, NDArray[np.float64]] = {}
    for subject in study.subjects:
        parts = [
            _along(study, subject, *rows)
            for rows in zip(*(np.array_split(r, -(-len(first) // 128)) for r in (first, second)), strict=True)
        ]
        missed[subject.name], steep[subject.name] = (
            np.concatenate(p, axis=1) for p in zip(*parts, strict=True)
        )
    inside = slice(1, -1)
    rows = tuple(
        (
            name,
            f"{off[[0, -1]].mean():.1f}",
            f"{off[inside].mean():.1f}",
            f"{off[len(WEIGHTS) // 2].mean():.1f}",
            f"{steep[name][inside].mean():.2f}",
        )
        for name, off in missed.items()
    )
    return ReportSection(
        "between",
        "Between samples",
        f"Along the lines between {len(first)} pairs of base images of different classes (training images), "
        f"at {len(WEIGHTS)} places each: the share (%) of predictions that are neither of the two classes, "
        "at the ends, on average in between and in the middle; and the mean Euclidean length in between of "
        "the gradient of the mixed cross entropy by pixels in 0..1. After mixup (arXiv:1710.09412) figure "
        "2.",
        (TextTable(("network", "misses, ends", "in between", "middle", "gradient norm"), rows),),
        {
            "between samples": panels(
                [Panel("misses, %", _curves(missed)), Panel("gradient norm", _curves(steep))],
                "weight of the first image",
            )
        },
        {
            "misses": {name: _means(off) for name, off in missed.items()},
            "gradient norms": {name: _means(norms) for name, norms in steep.items()},
        },
        tuple(
            Claim(what, "mixup fig. 2", -1, digits, {n: v[inside].mean(axis=0) for n, v in found.items()})
            for what, digits, found in (
                ("misses between samples, %", 1, missed),
                ("gradient norm between samples", 2, steep),
            )
        ),
    )


def _means(values: NDArray[np.float64]) -> list[float]:
    """The mean over pairs at every weight."""
    means: list[float] = values.mean(axis=1).tolist()
    return means


def _curves(found: dict[str, NDArray[np.float64]]) -> dict[str, list[tuple[float, float]]]:
    return {name: list(zip(WEIGHTS, _means(values), strict=True)) for name, values in found.items()}


def _along(
    study: Study, subject: Subject, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Misses (0 or 100) and gradient norms at every weight between pairs of base images, (weights, n)."""
    ends = [subject.images(study.base.pixels[rows]) for rows in (first, second)]
    a, b = (torch.from_numpy(study.base.labels[rows]).long().to(subject.device) for rows in (first, second))
    off, norms = [], []
    for weight in WEIGHTS:
        mixed = weight * ends[0] + (1 - weight) * ends[1]
        scores, lengths = gradient_norms(subject.scores, mixed, a, b, weight)
        off.append(100 * misses(scores, a, b).double())
        norms.append(lengths.double())
    return torch.stack(off).cpu().numpy(), torch.stack(norms).cpu().numpy()


def _pairs(labels: NDArray[np.integer], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of n pairs of images of different classes, (n,) each."""
    rng = stream(0, "diagnose", "pairs")
    first = rng.integers(len(labels), size=4 * n)
    second = rng.integers(len(labels), size=4 * n)
    kept = np.flatnonzero(labels[first] != labels[second])[:n]
    return first[kept], second[kept]
