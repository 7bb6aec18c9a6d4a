"""Calibration and likelihood: how far confidence can be trusted, on the manifold and off it.

The reliability diagram needs the bins, and torchmetrics returns their error alone; from the bins that is one
line, which tests hold against torchmetrics.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fsbench._util.rng import stream
from fsbench.diagnose._plots import reliability_diagrams
from fsbench.diagnose._section import Claim, ReportSection, TextTable
from fsbench.diagnose.study import Study, Subject, evenly
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec

BINS = 15
TASKS = TaskSpec(n_shot=5, n_tasks=200)
HEAD = "logistic"  # the softmax of nearest mean is of no fitted scale, so its confidence says nothing


@dataclass(frozen=True, eq=False)
class Reliability:
    """Answers by their confidence, in bins of equal width: (bins,) each; 0 where a bin is empty."""

    counts: Tensor
    confidence: Tensor  # mean of a bin, 0..1
    accuracy: Tensor  # mean of a bin, 0..1

    @property
    def error(self) -> float:
        """Expected calibration error, 0..1: the mean distance of accuracy and confidence over all answers.

        Source: Naeini et al., AAAI 2015; Guo et al. (arXiv:1706.04599) eq. 3.
        """
        return float((self.counts * (self.accuracy - self.confidence).abs()).sum() / self.counts.sum())


def reliability(probabilities: Tensor, answers: Tensor, bins: int = BINS) -> Reliability:
    """Sort answers (n,) by the confidence of the most likely class of probabilities (n, classes)."""
    confidence, given = probabilities.double().max(dim=1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1  # a bin holds its upper edge
    counts = torch.bincount(place, minlength=bins).double()

    def mean(values: Tensor) -> Tensor:
        return torch.bincount(place, values, minlength=bins) / counts.clamp(min=1)

    return Reliability(counts, mean(confidence), mean((given == answers).double()))


def section(study: Study) -> ReportSection:
    """Likelihood, calibration error and reliability of every network, and its confidence off the manifold."""
    rows, diagrams, values = [], {}, {}
    losses: dict[str, dict[str, NDArray[np.float64]]] = {"base": {}, "few-shot": {}}
    sure: dict[str, dict[str, NDArray[np.float64]]] = {}
    for subject in study.subjects:
        base = _base_answers(study, subject)
        novel = _novel_answers(study, subject)
        diagrams[subject.name] = {
            "base": reliability(*_shares(base)),
            "few-shot": reliability(*_shares(novel)),
        }
        numbers = {
            "base accuracy": _accuracy(base),
            "base NLL": F.cross_entropy(*base).item(),
            "base ECE": 100 * diagrams[subject.name]["base"].error,
            "few-shot accuracy": _accuracy(novel),
            "few-shot NLL": F.cross_entropy(*novel).item(),
            "few-shot ECE": 100 * diagrams[subject.name]["few-shot"].error,
        }
        for what, shares in _confidences(study, subject).items():
            sure.setdefault(what, {})[subject.name] = 100 * shares
            numbers[f"confidence, {what}"] = 100 * shares.mean()
        losses["base"][subject.name] = _losses(*base)
        losses["few-shot"][subject.name] = _losses(*novel).reshape(TASKS.n_tasks, -1).mean(axis=1)
        values[subject.name] = numbers
        rows.append((subject.name, *(f"{v:.3f}" if "NLL" in k else f"{v:.1f}" for k, v in numbers.items())))
    heads = tuple(next(iter(values.values())))
    return ReportSection(
        "calibration",
        "Calibration and likelihood",
        f"Accuracy and expected calibration error (ECE, {BINS} bins) in %, negative log-likelihood (NLL) in "
        f"nats. Base: {len(study.base_rows)} images that the networks were trained on, so low numbers are "
        f"no sign of generalisation. Few-shot: {TASKS.n_tasks} tasks {TASKS.name} with the head {HEAD}. "
        "Confidence (%): the mean largest base-class probability on as many base images, on novel images, "
        "on the middle between two base images of different classes, and on uniform noise; the last three "
        "belong to no base class. After Manifold Mixup (arXiv:1806.05236) table 1 and figure 1.",
        (TextTable(("network", *heads), tuple(rows)),),
        {"reliability": reliability_diagrams(diagrams)},
        values,
        (
            Claim("base NLL", "MM table 1", -1, 3, losses["base"]),
            Claim("few-shot NLL", "", 0, 3, losses["few-shot"]),
            *(
                Claim(f"confidence on {what}, %", "MM fig. 1", -1, 1, sure[what])
                for what in ("middles", "noise")
            ),
        ),
    )


def _base_answers(study: Study, subject: Subject) -> tuple[Tensor, Tensor]:
    """Scores (n, classes) and answers (n,) of base images."""
    with torch.no_grad():
        parts = [(batch.scores(batch.images), batch.answers) for batch in study.batches(subject, "base")]
    scores, answers = (torch.cat(part) for part in zip(*parts, strict=True))
    return scores, answers


def _novel_answers(study: Study, subject: Subject) -> tuple[Tensor, Tensor]:
    """Scores (tasks * queries, n_way) of the head and answers."""
    values = l2(torch.tensor(subject.novel.values), None)
    tasks = sampler.sample(study.novel.labels, TASKS)
    support = values[torch.from_numpy(tasks.support).long()]
    query = values[torch.from_numpy(tasks.query).long()]
    scores = find_head(HEAD).classify(support, query).flatten(0, 1)
    return scores, torch.from_numpy(tasks.answers.ravel()).long()


def _losses(scores: Tensor, answers: Tensor) -> NDArray[np.float64]:
    """The negative log-likelihood of each answer, (n,)."""
    losses: NDArray[np.float64] = F.cross_entropy(scores, answers, reduction="none").double().cpu().numpy()
    return losses


def _confidences(study: Study, subject: Subject) -> dict[str, NDArray[np.float64]]:
    """Confidences of the base classifier on and off the manifold, (n,) each, 0..1."""
    rng = stream(0, "diagnose", "off-manifold")
    base = study.base.pixels[study.base_rows]
    partners = _of_other_classes(study.base.labels[study.base_rows], rng)
    middles = (base.astype(np.uint16) + base[partners]) // 2
    kinds = {
        "base images": base,
        "novel images": study.novel.pixels[evenly(study.novel.labels, len(base))],
        "middles": middles.astype(np.uint8),
        "noise": rng.integers(0, 256, base.shape, dtype=np.uint8),
    }
    return {name: _confidence(subject, pixels) for name, pixels in kinds.items()}


def _of_other_classes(labels: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each label (n,) the row of another one, evenly spread: sorted labels, turned by a random amount."""
    size = int(np.bincount(labels).max())
    order = np.argsort(labels, kind="stable")
    partners = np.empty(len(labels), dtype=np.int64)
    partners[order] = np.roll(order, int(rng.integers(size, len(labels) - size + 1)))
    return partners


def _confidence(subject: Subject, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    with torch.no_grad():
        parts = [
            subject.scores(subject.images(part)).softmax(dim=1).amax(dim=1)
            for part in np.array_split(pixels, -(-len(pixels) // 128))
        ]
    confidences: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
    return confidences


def _shares(scores_and_answers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    scores, answers = scores_and_answers
    return scores.softmax(dim=1), answers


def _accuracy(scores_and_answers: tuple[Tensor, Tensor]) -> float:
    scores, answers = scores_and_answers
    return 100 * (scores.argmax(dim=1) == answers).double().mean().item()
