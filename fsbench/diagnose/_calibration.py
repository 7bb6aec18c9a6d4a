"""Calibration and likelihood: how well confidence agrees with accuracy, on photographs and artificial images.

The reliability diagram needs the bins, of which torchmetrics returns only the error. Tests compare the error
with that of torchmetrics.
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
from fsbench.diagnose.study import Study, TrainedNetwork, batches_of, evenly
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec

BINS = 15
TASKS = TaskSpec(n_shot=5, n_tasks=200)
HEAD = "logistic"  # nearest mean does not fit the scale of its scores, so its confidence has no meaning


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions by confidence, in bins of equal width: (bins,) each; 0 where a bin is empty."""

    counts: Tensor
    confidence: Tensor  # mean of each bin, 0..1
    accuracy: Tensor  # mean of each bin, 0..1

    @property
    def error(self) -> float:
        """Expected calibration error, 0..1: the mean distance between accuracy and confidence.

        Source: Naeini et al., AAAI 2015; Guo et al. (arXiv:1706.04599) eq. 3.
        """
        return float((self.counts * (self.accuracy - self.confidence).abs()).sum() / self.counts.sum())


def reliability(probabilities: Tensor, answers: Tensor, bins: int = BINS) -> Reliability:
    """Sort answers (n,) into bins by the highest of their probabilities (n, classes)."""
    confidence, predicted = probabilities.double().max(dim=1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1  # a bin includes its upper edge
    counts = torch.bincount(place, minlength=bins).double()

    def mean(values: Tensor) -> Tensor:
        return torch.bincount(place, values, minlength=bins) / counts.clamp(min=1)

    return Reliability(counts, mean(confidence), mean((predicted == answers).double()))


def section(study: Study) -> ReportSection:
    """Measure likelihood, calibration and confidence of every network."""
    rows, diagrams, values = [], {}, {}
    losses: dict[str, dict[str, NDArray[np.float64]]] = {"base": {}, "few-shot": {}}
    confidence: dict[str, dict[str, NDArray[np.float64]]] = {}
    for network in study.networks:
        base = _base_answers(study, network)
        novel = _novel_answers(study, network)
        diagrams[network.name] = {
            "base": reliability(*_probabilities(base)),
            "few-shot": reliability(*_probabilities(novel)),
        }
        numbers = {
            "base accuracy": _accuracy(base),
            "base NLL": F.cross_entropy(*base).item(),
            "base ECE": 100 * diagrams[network.name]["base"].error,
            "few-shot accuracy": _accuracy(novel),
            "few-shot NLL": F.cross_entropy(*novel).item(),
            "few-shot ECE": 100 * diagrams[network.name]["few-shot"].error,
        }
        for images, values_of_images in _confidences(study, network).items():
            confidence.setdefault(images, {})[network.name] = 100 * values_of_images
            numbers[f"confidence, {images}"] = 100 * values_of_images.mean()
        losses["base"][network.name] = _losses(*base)
        losses["few-shot"][network.name] = _losses(*novel).reshape(TASKS.n_tasks, -1).mean(axis=1)
        values[network.name] = numbers
        rows.append((network.name, *(f"{v:.3f}" if "NLL" in k else f"{v:.1f}" for k, v in numbers.items())))
    columns = tuple(next(iter(values.values())))
    return ReportSection(
        "calibration",
        "Calibration and likelihood",
        f"Accuracy and expected calibration error (ECE, {BINS} bins) in %, negative log-likelihood (NLL) in "
        f"nats. Base: {len(study.base_rows)} training images, so low numbers do not show generalisation. "
        f"Few-shot: {TASKS.n_tasks} tasks {TASKS.name} with the head {HEAD}. Confidence (%): the mean of the "
        "highest base-class probability on base images, novel images, middles between two base images of "
        "different classes, and uniform noise, equally many of each; the last three belong to no base class. "
        "After Manifold Mixup (arXiv:1806.05236) table 1 and figure 1.",
        (TextTable(("network", *columns), tuple(rows)),),
        {"reliability": reliability_diagrams(diagrams)},
        values,
        (
            Claim("base NLL", "MM table 1", -1, 3, losses["base"]),
            Claim("few-shot NLL", "", 0, 3, losses["few-shot"]),
            *(
                Claim(f"confidence on {images}, %", "MM fig. 1", -1, 1, confidence[images])
                for images in ("middles", "noise")
            ),
        ),
    )


def _base_answers(study: Study, network: TrainedNetwork) -> tuple[Tensor, Tensor]:
    """Return scores (n, classes) and correct answers (n,) for base images."""
    with torch.no_grad():
        parts = [(batch.scores(batch.images), batch.answers) for batch in study.batches(network, "base")]
    scores, answers = (torch.cat(part) for part in zip(*parts, strict=True))
    return scores, answers


def _novel_answers(study: Study, network: TrainedNetwork) -> tuple[Tensor, Tensor]:
    """Return scores (tasks * queries, n_way) of the head and correct answers."""
    values = l2(torch.tensor(network.novel.values), None)
    tasks = sampler.sample(study.novel.labels, TASKS)
    support = values[torch.from_numpy(tasks.support).long()]
    query = values[torch.from_numpy(tasks.query).long()]
    scores = find_head(HEAD).classify(support, query).flatten(0, 1)
    return scores, torch.from_numpy(tasks.answers.ravel()).long()


def _losses(scores: Tensor, answers: Tensor) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each correct answer, (n,)."""
    losses: NDArray[np.float64] = F.cross_entropy(scores, answers, reduction="none").double().cpu().numpy()
    return losses


def _confidences(study: Study, network: TrainedNetwork) -> dict[str, NDArray[np.float64]]:
    """Return the confidence of the base classifier on four kinds of images, (n,) each, 0..1."""
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
    return {name: _confidence(network, pixels) for name, pixels in kinds.items()}


def _of_other_classes(labels: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each label (n,) the row of another label: sorted labels, rotated by a random amount."""
    size = int(np.bincount(labels).max())
    order = np.argsort(labels, kind="stable")
    partners = np.empty(len(labels), dtype=np.int64)
    partners[order] = np.roll(order, int(rng.integers(size, len(labels) - size + 1)))
    return partners


def _confidence(network: TrainedNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the highest base-class probability of each image, (n,)."""
    with torch.no_grad():
        parts = [
            network.scores(network.images(part)).softmax(dim=1).amax(dim=1)
            for part in batches_of(pixels, 128)
        ]
    confidences: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
    return confidences


def _probabilities(scores_and_answers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Turn scores into probabilities."""
    scores, answers = scores_and_answers
    return scores.softmax(dim=1), answers


def _accuracy(scores_and_answers: tuple[Tensor, Tensor]) -> float:
    """Return the accuracy in %."""
    scores, answers = scores_and_answers
    return 100 * (scores.argmax(dim=1) == answers).double().mean().item()
