"""Behaviour between samples: errors and gradients on lines between two training images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fsbench._util.rng import stream
from fsbench.diagnose._plots import Panel, panels
from fsbench.diagnose._section import Claim, ReportSection, TextTable
from fsbench.diagnose.study import Scores, Study, TrainedNetwork, batches_of

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))  # of the first image of a pair


def misses(scores: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return (n,) bool: whether the best of scores (n, classes) is neither class `first` nor `second` (n,).

    Source: mixup (arXiv:1710.09412) figure 2a.
    """
    predicted = scores.argmax(dim=1)
    return (predicted != first) & (predicted != second)


def gradient_norms(
    scores: Scores, images: Tensor, first: Tensor, second: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Return scores (n, classes) of images (n, 3, s, s) and the norm (n,) of their loss gradients by pixels.

    The loss is cross entropy with `weight` for class `first` and the rest for class `second`.
    Source: mixup (arXiv:1710.09412) figure 2b, which does not say which output it differentiates.
    """
    images = images.detach().requires_grad_()
    values = scores(images)
    losses = [F.cross_entropy(values, labels, reduction="sum") for labels in (first, second)]
    gradient = torch.autograd.grad(weight * losses[0] + (1 - weight) * losses[1], images)[0]
    return values.detach(), gradient.flatten(1).norm(dim=1)


def section(study: Study) -> ReportSection:
    """Measure misses and gradient norms of every network between base images of different classes."""
    first, second = _pairs(study.base.labels, study.questions // 4)
    missed: dict[str, NDArray[np.float64]] = {}  # (weights, pairs), in %
    norms: dict[str, NDArray[np.float64]] = {}  # (weights, pairs)
    for network in study.networks:
        parts = [
            _along(study, network, *rows)
            for rows in zip(batches_of(first, 128), batches_of(second, 128), strict=True)
        ]
        missed[network.name], norms[network.name] = (
            np.concatenate(p, axis=1) for p in zip(*parts, strict=True)
        )
    inside = slice(1, -1)
    rows = tuple(
        (
            name,
            f"{misses[[0, -1]].mean():.1f}",
            f"{misses[inside].mean():.1f}",
            f"{misses[len(WEIGHTS) // 2].mean():.1f}",
            f"{norms[name][inside].mean():.2f}",
        )
        for name, misses in missed.items()
    )
    return ReportSection(
        "between",
        "Between samples",
        f"{len(WEIGHTS)} mixtures of each of {len(first)} pairs of training images of different classes. "
        "Misses: predictions (%) that are neither of the two classes, at the ends, on average in between, "
        "and in the middle. Gradient norm: the mean Euclidean norm, in between, of the gradient of the mixed "
        "cross entropy by pixels in 0..1. After mixup (arXiv:1710.09412) figure 2.",
        (TextTable(("network", "misses, ends", "in between", "middle", "gradient norm"), rows),),
        {
            "between samples": panels(
                [Panel("misses, %", _curves(missed)), Panel("gradient norm", _curves(norms))],
                "weight of the first image",
            )
        },
        {
            "misses": {name: _means(values) for name, values in missed.items()},
            "gradient norms": {name: _means(values) for name, values in norms.items()},
        },
        tuple(
            Claim(
                quantity, "mixup fig. 2", -1, digits, {n: v[inside].mean(axis=0) for n, v in networks.items()}
            )
            for quantity, digits, networks in (
                ("misses between samples, %", 1, missed),
                ("gradient norm between samples", 2, norms),
            )
        ),
    )


def _means(values: NDArray[np.float64]) -> list[float]:
    """Return the mean over pairs at every weight."""
    means: list[float] = values.mean(axis=1).tolist()
    return means


def _curves(networks: dict[str, NDArray[np.float64]]) -> dict[str, list[tuple[float, float]]]:
    """Return the mean over pairs as a curve over the weight, for each network."""
    return {name: list(zip(WEIGHTS, _means(values), strict=True)) for name, values in networks.items()}


def _along(
    study: Study, network: TrainedNetwork, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return misses (0 or 100) and gradient norms between pairs of base images, (weights, n) each."""
    ends = [network.images(study.base.pixels[rows]) for rows in (first, second)]
    a, b = (torch.from_numpy(study.base.labels[rows]).long().to(network.device) for rows in (first, second))
    missed, norms = [], []
    for weight in WEIGHTS:
        mixed = weight * ends[0] + (1 - weight) * ends[1]
        scores, lengths = gradient_norms(network.scores, mixed, a, b, weight)
        missed.append(100 * misses(scores, a, b).double())
        norms.append(lengths.double())
    return torch.stack(missed).cpu().numpy(), torch.stack(norms).cpu().numpy()


def _pairs(labels: NDArray[np.integer], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the rows of n pairs of images of different classes, (n,) each."""
    rng = stream(0, "diagnose", "pairs")
    first = rng.integers(len(labels), size=4 * n)
    second = rng.integers(len(labels), size=4 * n)
    kept = np.flatnonzero(labels[first] != labels[second])[:n]
    return first[kept], second[kept]
