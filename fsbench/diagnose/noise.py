"""Memorised label noise: what networks that learned from false labels answer to those images."""

import numpy as np
import torch
from torch import Tensor

from fsbench.data.label_noise import replaced
from fsbench.diagnose.plots import bars
from fsbench.diagnose.section import Section, Table
from fsbench.diagnose.subject import FEW_SHOT, Study, Subject, evenly

IMAGES = 2048  # base images that are asked about, at most


def shares(given: Tensor, truth: Tensor, taught: Tensor) -> dict[str, float]:
    """Shares (%) of answers (n,): right for true labels; memorised, and right, for false ones."""
    false = truth != taught
    return {
        "right, true label": _percent((given == truth)[~false]),
        "memorised": _percent((given == taught)[false]),
        "right, false label": _percent((given == truth)[false]),
    }


def section(study: Study) -> Section | None:
    """What networks that were trained with label noise memorised of it; None when none was."""
    noisy = [subject for subject in study.subjects if label_noise(subject) > 0]
    if not noisy:
        return None
    rows_asked = evenly(study.base.labels, IMAGES)
    found = {subject.name: _shares(study, subject, rows_asked) for subject in noisy}
    heads = ("network", "noise", "epoch", *next(iter(found.values())), "1-shot accuracy", "5-shot accuracy")
    rows = [
        (
            subject.name,
            f"{label_noise(subject):g}",
            f"{subject.provenance.epoch} of {subject.provenance.epochs}",
            *(f"{value:.1f}" for value in found[subject.name].values()),
            *map(str, study.few_shot[subject.name]),
        )
        for subject in noisy
    ]
    return Section(
        "noise",
        "Label noise",
        "Networks that were trained with a share of base labels replaced by random ones, asked about "
        f"{len(rows_asked)} of their training images (%): right where the label was true; memorised, that "
        "is answering the false label; and right where the label was false, which no training label told. "
        f"Few-shot: {FEW_SHOT[0].n_tasks} novel tasks, nearest mean (± 95 % half width). Give best and last "
        "checkpoint of a run to compare them. After mixup (arXiv:1710.09412) section 3.4.",
        (Table(heads, tuple(rows)),),
        {"answers under label noise": bars(found, "share, %")},
        found,
    )


def label_noise(subject: Subject) -> float:
    """The share of base labels that were replaced when the network was trained."""
    return float(subject.provenance.settings.get("label_noise") or 0.0)


def _shares(study: Study, subject: Subject, rows: np.ndarray) -> dict[str, float]:
    taught = replaced(
        study.base.labels,
        len(study.base.class_names),
        label_noise(subject),
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


def _percent(flags: Tensor) -> float:
    return 100 * flags.double().mean().item() if len(flags) else float("nan")
