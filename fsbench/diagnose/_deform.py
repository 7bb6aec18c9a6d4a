"""Deformations that did not occur in training: rotated, sheared and zoomed images."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fsbench._util.rng import stream
from fsbench.diagnose._plots import bars
from fsbench.diagnose._section import Claim, ReportSection, TextTable
from fsbench.diagnose.study import KINDS, Kind, Study, TrainedNetwork, accuracies, percent

Deformation = Callable[[Tensor, np.random.Generator], Tensor]


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate images (b, c, s, s) counterclockwise about the centre by degrees (b,), with black edges."""
    angle = degrees.deg2rad()
    cosine, sine = angle.cos(), angle.sin()
    return _sampled(images, torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2))


def sheared(images: Tensor, degrees: Tensor) -> Tensor:
    """Shear images (b, c, s, s) so that vertical lines lean by degrees (b,), with black edges."""
    one, zero = torch.ones_like(degrees), torch.zeros_like(degrees)
    return _sampled(images, torch.stack([one, degrees.deg2rad().tan(), zero, one], dim=1).view(-1, 2, 2))


def zoomed(images: Tensor, fraction: float) -> Tensor:
    """Scale the middle `fraction` of both sides to the whole image (b, c, s, s); above 1 the frame is black.

    Bilinear without smoothing, so zooming out causes aliasing, as it may in the paper.
    """
    return _sampled(images, (fraction * torch.eye(2, device=images.device)).expand(len(images), 2, 2))


def _sampled(images: Tensor, matrices: Tensor) -> Tensor:
    """Sample images (b, c, s, s): the pixel at (x, y) comes from `matrices` (b, 2, 2) times (x, y)."""
    grid = F.affine_grid(F.pad(matrices, (0, 1)), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _random(deform: Callable[[Tensor, Tensor], Tensor], most: float) -> Deformation:
    """Deform each image by its own angle, uniform in ± `most` degrees."""

    def apply(images: Tensor, rng: np.random.Generator) -> Tensor:
        return deform(images, torch.from_numpy(rng.uniform(-most, most, len(images))).to(images))

    return apply


def _fixed(fraction: float) -> Deformation:
    """Zoom every image in the same way."""
    return lambda images, rng: zoomed(images, fraction)  # noqa: ARG005 - all share one signature


DEFORMATIONS: dict[str, Deformation] = {
    "none": lambda images, rng: images,  # noqa: ARG005 - all share one signature
    "rotate ±20°": _random(rotated, 20),
    "rotate ±40°": _random(rotated, 40),
    "shear ±28.6°": _random(sheared, 28.6),
    "shear ±57.3°": _random(sheared, 57.3),
    "zoom in 60 %": _fixed(0.6),
    "zoom in 80 %": _fixed(0.8),
    "zoom out 120 %": _fixed(1.2),
    "zoom out 140 %": _fixed(1.4),
}


def section(study: Study) -> ReportSection:
    """Measure accuracy on deformed base images and on novel tasks with deformed query images."""
    samples = {
        kind: {network.name: _accuracies(study, network, kind) for network in study.networks}
        for kind in KINDS
    }
    means = {
        kind: {name: {d: percent(values) for d, values in row.items()} for name, row in rows.items()}
        for kind, rows in samples.items()
    }
    return ReportSection(
        "deform",
        "Novel deformations",
        "Accuracy (%, ± 95 % half width) on rotated, sheared and zoomed images. Each image has its own "
        'uniform angle, the same for all networks. "zoom in 60 %" scales the middle 60 % of both sides to '
        f'the whole image; "zoom out" leaves a black frame. Base: {len(study.base_rows)} training images. '
        f"Few-shot: the query images of {study.episodes.n_tasks} tasks {study.episodes.name} are deformed, "
        "the support images are not. After Manifold Mixup "
        "(arXiv:1806.05236) table 9.",
        tuple(_table(kind, rows) for kind, rows in means.items()),
        {
            f"{kind} accuracy on deformed images": bars(
                {name: {d: mean.mean for d, mean in row.items()} for name, row in rows.items()},
                f"{kind} accuracy, %",
            )
            for kind, rows in means.items()
        },
        {
            kind: {name: {d: vars(mean) for d, mean in row.items()} for name, row in rows.items()}
            for kind, rows in means.items()
        },
        tuple(
            Claim(
                f"{kind} accuracy, mean over deformations",
                "MM table 9",
                +1,
                1,
                {
                    name: 100 * np.mean([values for d, values in row.items() if d != "none"], axis=0)
                    for name, row in rows.items()
                },
            )
            for kind, rows in samples.items()
        ),
    )


def _accuracies(study: Study, network: TrainedNetwork, kind: Kind) -> dict[str, NDArray[np.float64]]:
    """Return the accuracies of independent units for each deformation."""
    correct: dict[str, list[Tensor]] = {name: [] for name in DEFORMATIONS}
    for number, batch in enumerate(study.batches(network, kind)):
        for name, deform in DEFORMATIONS.items():
            images = deform(batch.images, stream(0, "diagnose", "deform", kind, name, number))
            with torch.no_grad():
                correct[name].append(batch.scores(images).argmax(dim=1) == batch.answers)
    return {name: accuracies(torch.cat(parts), kind) for name, parts in correct.items()}


def _table(kind: Kind, rows: Mapping[str, Mapping[str, object]]) -> TextTable:
    """Return the table of one kind of images: one row per network, one column per deformation."""
    return TextTable(
        (kind, *DEFORMATIONS),
        tuple((name, *(str(row[deformation]) for deformation in DEFORMATIONS)) for name, row in rows.items()),
    )
