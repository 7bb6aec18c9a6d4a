"""Memorised label noise: what networks that learned from false labels answer to those images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench.data.label_noise import add_label_noise
from fsbench.diagnose.plots import bars
from fsbench.diagnose.section import Mean, Section, Table
from fsbench.diagnose.subject import FEW_SHOT, Study, Subject, evenly, percent

IMAGES = 4096  # base images that are asked about, at most


def shares(given: Tensor, truth: Tensor, taught: Tensor) -> dict[str, Mean | None]:
    """Shares of answers (n,) in %: right; memorised among images with false labels, and right among those.

    None where no label is false.
    """
    false = truth != taught
    right = given == truth
    return {
        "base accuracy": _percent(right),
        "right, true label": _percent(right[~false]),
        "right, false label": _percent(right[false]),
        "memorised": _percent((given == taught)[false]),
    }


def section(study: Study) -> Section | None:
    """What networks that were trained with label noise memorised of it; None when none was."""
    if not any(subject.label_noise for subject in study.subjects):
        return None
    rows_asked = evenly(study.base.labels, IMAGES)
    found = {subject.name: _shares(study, subject, rows_asked) for subject in study.subjects}
    heads = ("network", "noise", "epoch", *next(iter(found.values())), "1-shot accuracy", "5-shot accuracy")
    rows = [
        (
            subject.name,
            f"{subject.label_noise:g}",
            f"{subject.provenance.epoch} of {subject.provenance.epochs}",
            *(str(mean or "-") for mean in found[subject.name].values()),
            *map(str, study.few_shot[subject.name]),
        )
        for subject in study.subjects
    ]
    means = {name: {what: mean.mean for what, mean in row.items() if mean} for name, row in found.items()}
    return Section(
        "noise",
        "Label noise",
        "Networks that were trained with a share of base labels replaced by random ones, asked about "
        f"{len(rows_asked)} of their training images (%, ± 95 % half width). Base accuracy is by true "
        "labels: of all, of those whose label was true, and of those whose label was false, so that no "
        "training label told. Memorised: the answer is the false label, which a guess hits in "
        f"{100 / len(study.base.class_names):.1f} %. No base image is held out, so nothing here is a test "
        f"error. Few-shot: {FEW_SHOT[0].n_tasks} novel tasks, nearest mean. After mixup (arXiv:1710.09412) "
        "section 3.4, whose numbers were not read at their source and are not quoted.",
        (Table(heads, tuple(rows)),),
        {"answers under label noise": bars(means, "share, %")},
        means,
    )


def _shares(study: Study, subject: Subject, rows: NDArray[np.int64]) -> dict[str, Mean | None]:
    taught = add_label_noise(
        study.base.labels,
        len(study.base.class_names),
        subject.label_noise,
        subject.provenance.train_seed,
    )
    with torch.no_grad():
        given = torch.cat(
            [
                subject.scores(subject.images(study.base.pixels[part])).argmax(dim=1).cpu()
                for part in np.array_split(rows, -(-len(rows) // 256))
            ]
        )
    return shares(given, *(torch.from_numpy(labels[rows]).long() for labels in (study.base.labels, taught)))


def _percent(flags: Tensor) -> Mean | None:
    return percent(flags.double().numpy()) if len(flags) > 1 else None
