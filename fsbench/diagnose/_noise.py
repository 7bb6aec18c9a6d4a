"""Memorised label noise: predictions for images that were part of the training with a false label."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench.data.label_noise import add_label_noise
from fsbench.diagnose._plots import bars
from fsbench.diagnose._section import Mean, ReportSection, TextTable
from fsbench.diagnose.study import FEW_SHOT, Study, TrainedNetwork, batches_of, evenly, percent

IMAGES = 4096  # base images at most


def memorised(predicted: Tensor, truth: Tensor, training_labels: Tensor) -> dict[str, Mean | None]:
    """Return accuracies of predictions (n,) by true labels (n,), and how many repeat a false label, in %.

    A number is None if it has fewer than two images, such as without false `training_labels` (n,).
    """
    false = truth != training_labels
    correct = predicted == truth
    return {
        "base accuracy": _percent(correct),
        "right, true label": _percent(correct[~false]),
        "right, false label": _percent(correct[false]),
        "memorised": _percent((predicted == training_labels)[false]),
    }


def section(study: Study) -> ReportSection | None:
    """Measure how much label noise was memorised; None if no network was trained with label noise."""
    if not any(network.label_noise for network in study.networks):
        return None
    images = evenly(study.base.labels, IMAGES)
    numbers = {network.name: _memorised(study, network, images) for network in study.networks}
    columns = (
        "network",
        "noise",
        "epoch",
        *next(iter(numbers.values())),
        "1-shot accuracy",
        "5-shot accuracy",
    )
    rows = [
        (
            network.name,
            f"{network.label_noise:g}",
            f"{network.provenance.epoch} of {network.provenance.epochs}",
            *(str(mean or "-") for mean in numbers[network.name].values()),
            *map(str, study.few_shot[network.name]),
        )
        for network in study.networks
    ]
    means = {
        name: {column: mean.mean for column, mean in row.items() if mean} for name, row in numbers.items()
    }
    return ReportSection(
        "noise",
        "Label noise",
        "Networks that were trained with a fraction of the base labels replaced by random ones, tested on "
        f"{len(images)} of their training images (%, ± 95 % half width). Accuracy is by true labels: on all "
        "images, on those with a true training label, and on those with a false one. Memorised: the "
        "prediction is the false label; guessing reaches "
        f"{100 / len(study.base.class_names):.1f} %. No base images are held out, so nothing here is a test "
        f"error. Few-shot: {FEW_SHOT[0].n_tasks} novel tasks, nearest mean. After mixup (arXiv:1710.09412) "
        "section 3.4; its numbers were not verified at the source and are not quoted.",
        (TextTable(columns, tuple(rows)),),
        {"answers under label noise": bars(means, "images, %")},
        means,
    )


def _memorised(study: Study, network: TrainedNetwork, rows: NDArray[np.int64]) -> dict[str, Mean | None]:
    """Return the numbers of one network on these base images."""
    training_labels = add_label_noise(
        study.base.labels,
        len(study.base.class_names),
        network.label_noise,
        network.provenance.train_seed,
    )
    with torch.no_grad():
        predicted = torch.cat(
            [
                network.scores(network.images(study.base.pixels[part])).argmax(dim=1).cpu()
                for part in batches_of(rows, 256)
            ]
        )
    truth, training = (torch.from_numpy(x[rows]).long() for x in (study.base.labels, training_labels))
    return memorised(predicted, truth, training)


def _percent(flags: Tensor) -> Mean | None:
    """Return how often flags (n,) are set, with an interval; None for fewer than two."""
    return percent(flags.double().numpy()) if len(flags) > 1 else None
