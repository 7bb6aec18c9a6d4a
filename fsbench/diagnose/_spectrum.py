"""Representation: singular values of the features of a class, and distances between classes."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from fsbench import stats
from fsbench.diagnose._plots import Panel, panels, points
from fsbench.diagnose._section import Claim, Mean, ReportSection, TextTable
from fsbench.diagnose.study import FEW_SHOT, Study, TrainedNetwork, batches_of
from fsbench.heads.preprocess import l2

CLASSES, PER_CLASS = 20, 100  # at most; singular values are comparable only for equal numbers of images


def class_spectra(features: Tensor, labels: Tensor) -> Tensor:
    """Return the singular values of each class's features about its mean, (classes, min(n, d)), descending.

    `features` (classes * n, d) have the same number of rows for each of the sorted `labels`. The values are
    divided by the Frobenius norm of all features about their mean, so they do not depend on the scale.
    """
    norm = torch.linalg.matrix_norm(features - features.mean(dim=0))
    classes = features.view(len(labels.unique()), -1, features.shape[1])
    spectra: Tensor = torch.linalg.svdvals(classes - classes.mean(dim=1, keepdim=True)) / norm
    return spectra


def effective_rank(singular_values: Tensor) -> Tensor:
    """Return the exponential of the entropy of normalised singular values (..., k), 1..k.

    Source: Roy and Vetterli, EUSIPCO 2007, definition 1.
    """
    normalised = singular_values / singular_values.sum(dim=-1, keepdim=True)
    rank: Tensor = torch.special.entr(normalised).sum(dim=-1).exp()
    return rank


def variance_ratio(features: Tensor, labels: Tensor) -> float:
    """Divide the variance within classes by the variance between them; classes have equal sizes."""
    classes = features.view(len(labels.unique()), -1, features.shape[1])
    means = classes.mean(dim=1)
    within = (classes - means[:, None]).square().sum(dim=2).mean()
    between = (means - means.mean(dim=0)).square().sum(dim=1).mean()
    return float(within / between)


def describe(features: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the numbers of each class (classes,), and the variance ratio of all classes (1,)."""
    spectra = class_spectra(features.double(), labels)
    return {
        "largest": spectra[:, 0],
        "sum of others": spectra[:, 1:].sum(dim=1),
        "effective rank": effective_rank(spectra),
        "within / between": torch.tensor([variance_ratio(features.double(), labels)], dtype=torch.float64),
    }


def section(study: Study) -> ReportSection:
    """Measure the spectra of base and novel features, and their correlation with few-shot accuracy."""
    described: dict[str, dict[str, dict[str, Tensor]]] = {"base": {}, "novel": {}}
    spectra: dict[str, Tensor] = {}
    for network in study.networks:
        base, novel = _base_features(study, network), _novel_features(study, network)
        described["base"][network.name], described["novel"][network.name] = describe(*base), describe(*novel)
        mean = class_spectra(*novel).mean(dim=0)
        n = len(novel[1]) // len(novel[1].unique())
        spectra[network.name] = mean[: n - 1]  # n rows about their mean have n - 1 directions
    numbers = {
        split: {name: {w: v.mean().item() for w, v in row.items()} for name, row in rows.items()}
        for split, rows in described.items()
    }
    tables = [_table(split, rows, study) for split, rows in numbers.items()]
    one_shot = {name: means[0] for name, means in study.few_shot.items()}
    correlations = {
        f"{split}: {quantity}": stats.correlation(
            [rows[name][quantity] for name in rows], [mean.mean for mean in one_shot.values()]
        )
        for split, rows in numbers.items()
        for quantity in next(iter(rows.values()))
    }
    if len(study.networks) > 2:
        rows_of_correlations = tuple(
            (quantity, "-" if r is None else f"{r:+.2f}", str(len(one_shot)))
            for quantity, r in correlations.items()
        )
        tables.append(
            TextTable(("number", "correlation with 1-shot accuracy", "networks"), rows_of_correlations)
        )
    common = min(map(len, spectra.values()))  # narrow features have fewer
    spectra = {name: values[:common] for name, values in spectra.items()}
    first = next(iter(spectra.values()))
    several = len(spectra) > 1  # one network alone is not compared
    return ReportSection(
        "spectrum",
        "Representation",
        "Singular values of the features of a class about its mean, divided by the norm of all features "
        "about their mean: the largest one, and the sum of all others (lower for flatter classes), as means "
        "over classes; effective rank (Roy and Vetterli 2007); variance within classes divided by variance "
        "between classes. Features have unit length, as in nearest mean. At most "
        f"{CLASSES} classes of {PER_CLASS} images; base images are training images, novel images are not. "
        f"Few-shot accuracy: {FEW_SHOT[0].n_tasks} novel tasks, nearest mean. A correlation over so few "
        "networks is descriptive and not a test. After Manifold Mixup (arXiv:1806.05236) section 3.2.",
        tuple(tables),
        {
            "mean spectrum of a novel class": panels(
                [
                    Panel(
                        "singular value / norm",
                        {n: _curve(values) for n, values in spectra.items()},
                        log=True,
                    ),
                    Panel(
                        f"the same, divided by {study.networks[0].name}",
                        {n: _curve(values / first) for n, values in spectra.items() if several},
                    ),
                ],
                "singular value",
            ),
            **({"novel features and accuracy": _scatter(numbers["novel"], one_shot)} if several else {}),
        },
        {**numbers, "correlations": correlations},
        tuple(
            Claim(
                f"singular values of {split} classes: {quantity}",
                "MM §3.2",
                -1,
                digits,
                {name: row[quantity].numpy() for name, row in rows.items()},
            )
            for split, rows in described.items()
            for quantity, digits in (("largest", 4), ("sum of others", 3))
        ),
    )


def _curve(values: Tensor) -> list[tuple[float, float]]:
    """Return singular values over their rank."""
    return [(float(place), value) for place, value in enumerate(values.tolist(), 1)]


def _base_features(study: Study, network: TrainedNetwork) -> tuple[Tensor, Tensor]:
    """Return unit-length features (n, d) of base images and their labels (n,)."""
    rows = _rows(study.base.labels)
    with torch.no_grad():
        parts = [network.features(network.images(study.base.pixels[part])) for part in batches_of(rows, 256)]
    return l2(torch.cat(parts).cpu(), None), torch.from_numpy(study.base.labels[rows])


def _novel_features(study: Study, network: TrainedNetwork) -> tuple[Tensor, Tensor]:
    """Return unit-length features (n, d) of novel images and their labels (n,)."""
    rows = _rows(study.novel.labels)
    values = l2(torch.from_numpy(network.novel.values[rows]), None)
    return values, torch.from_numpy(study.novel.labels[rows])


def _rows(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rows of the first images of the first classes, the same number of each."""
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    each = min(PER_CLASS, int(sizes.min()))
    rows: NDArray[np.int64] = (first[:CLASSES, None] + np.arange(each)).ravel()
    return rows


def _scatter(rows: Mapping[str, Mapping[str, float]], one_shot: Mapping[str, Mean]) -> Figure:
    """Draw 1-shot accuracy over each number of the novel features."""
    quantities = next(iter(rows.values()))
    return points(
        {quantity: {n: (row[quantity], one_shot[n]) for n, row in rows.items()} for quantity in quantities},
        "5-way 1-shot accuracy, %",
    )


def _table(split: str, rows: Mapping[str, Mapping[str, float]], study: Study) -> TextTable:
    """Return the table of one split, for novel features with few-shot accuracy."""
    columns = (f"{split} features", *next(iter(rows.values())))
    digits = (4, 3, 1, 2)
    cells = [
        (name, *(f"{value:.{n}f}" for value, n in zip(row.values(), digits, strict=True)))
        for name, row in rows.items()
    ]
    if split == "novel":
        columns += ("1-shot accuracy", "5-shot accuracy")
        cells = [(*row, *map(str, study.few_shot[row[0]])) for row in cells]
    return TextTable(columns, tuple(cells))
