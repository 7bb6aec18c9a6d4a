"""What is diagnosed: trained networks, and the images that they are all asked about."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench._util.rng import stream
from fsbench._util.session import Session
from fsbench.data.augment import MEAN, STD, eval_transform, resized
from fsbench.data.identity import why_other
from fsbench.data.image_store import ImageSplit, few_images
from fsbench.data.prepare import load
from fsbench.diagnose.section import Mean
from fsbench.evaluation import inference
from fsbench.features.extract import extract
from fsbench.features.store import Features
from fsbench.heads import find_head
from fsbench.heads.nearest_mean import nearest_mean
from fsbench.heads.preprocess import l2
from fsbench.models import checkpoint
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network
from fsbench.models.pretrained import of_checkpoint
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec

FEW_SHOT = (TaskSpec(n_shot=1, n_tasks=1000), TaskSpec(n_shot=5, n_tasks=1000))
QUESTIONS = 450  # of each kind, asked of every network
N_QUERY = 3
EPISODE = TaskSpec(n_shot=5, n_query=N_QUERY)  # the tasks whose queries are attacked and deformed
KINDS = {"base": 1, "few-shot": EPISODE.n_way * N_QUERY}  # answers that an interval takes together
_TASKS_AT_ONCE, _IMAGES_AT_ONCE = 8, 128

Scores = Callable[[Tensor], Tensor]
"""Images (b, 3, s, s) in 0..1 -> scores (b, classes), differentiable."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images with the right answers, and how one network scores them."""

    images: Tensor  # (b, 3, s, s) in 0..1, as the network sees them but for the normalisation
    answers: Tensor  # (b,) int64
    scores: Scores


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network in evaluation mode, without gradients of its weights."""

    name: str
    network: Network
    provenance: Provenance
    novel: Features  # of the target's novel images, as `fsbench extract` writes them

    @property
    def label_noise(self) -> float:
        """The share of base labels that were replaced when the network was trained."""
        return _label_noise(self.provenance)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.network.parameters()).device

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels (b, h, w, 3) as the network sees them, but in 0..1: (b, 3, s, s) on its device."""
        seen = eval_transform(torch.from_numpy(pixels).to(self.device), self.provenance.image_size)
        return (seen * _channels(STD, seen) + _channels(MEAN, seen)).clamp(0, 1)

    def features(self, images: Tensor) -> Tensor:
        """Features (b, d) of images (b, 3, s, s) in 0..1."""
        features: Tensor = self.network.backbone(_normalised(images))
        return features

    def scores(self, images: Tensor) -> Tensor:
        """Base-class scores (b, classes) of images (b, 3, s, s) in 0..1."""
        scores: Tensor = self.network(_normalised(images))
        return scores

    def few_shot(self, spec: TaskSpec) -> NDArray[np.float64]:
        """Nearest mean's accuracy on each novel task, (tasks,), 0..1."""
        values = l2(torch.tensor(self.novel.values), None)
        return inference.accuracies(values, self.novel.labels, spec, find_head("nearest-mean"))


@dataclass(frozen=True, eq=False)
class Study:
    """Networks that learned the same base classes, and the images that all of them are asked about."""

    subjects: tuple[Subject, ...]
    base: ImageSplit  # what they were trained on
    novel: ImageSplit
    questions: int = QUESTIONS  # base images, and query images of novel tasks

    @property
    def episodes(self) -> TaskSpec:
        """The novel tasks whose queries are asked about."""
        return replace(EPISODE, n_tasks=self.questions // KINDS["few-shot"])

    @cached_property
    def few_shot(self) -> dict[str, tuple[Mean, ...]]:
        """Few-shot accuracy of each subject, for each specification of FEW_SHOT."""
        return {
            subject.name: tuple(percent(subject.few_shot(spec)) for spec in FEW_SHOT)
            for subject in self.subjects
        }

    def batches(self, subject: Subject, kind: str) -> Iterator[Batch]:
        """What `subject` is asked: base images by its own classifier, or queries of novel tasks."""
        return self._base_batches(subject) if kind == "base" else self._episode_batches(subject)

    @cached_property
    def base_rows(self) -> NDArray[np.int64]:
        """The base images that are asked about, evenly of all classes."""
        return evenly(self.base.labels, self.questions)

    def _base_batches(self, subject: Subject) -> Iterator[Batch]:
        """The base images: scored by the classifier that was trained with the backbone."""
        for rows in np.array_split(self.base_rows, -(-len(self.base_rows) // _IMAGES_AT_ONCE)):
            answers = torch.from_numpy(self.base.labels[rows]).long()
            images = subject.images(self.base.pixels[rows])
            yield Batch(images, answers.to(images.device), subject.scores)

    def _episode_batches(self, subject: Subject) -> Iterator[Batch]:
        """Queries of novel tasks, whole tasks in a batch: scored by nearest mean of clean support images."""
        for tasks in sampler.blocks(self.novel.labels, self.episodes, at_once=_TASKS_AT_ONCE):
            images = subject.images(self.novel.pixels[tasks.query.ravel()])
            values = torch.from_numpy(subject.novel.values[tasks.support])
            support = l2(values.to(images.device), None)  # (tasks, n_way, n_shot, d)

            def scores(images: Tensor, support: Tensor = support) -> Tensor:
                query = l2(subject.features(images), None).view(len(support), -1, support.shape[-1])
                return nearest_mean(support, query).flatten(0, 1)

            yield Batch(images, torch.from_numpy(tasks.answers.ravel()).long().to(images.device), scores)


def load_study(
    paths: Sequence[Path],
    *,
    dataset: str | None = None,
    questions: int = QUESTIONS,
    cache: Path | None = None,
    device: torch.device,
    quiet: bool = True,
) -> Study:
    """Load checkpoints and the images they are asked about: their base classes, novel ones of `dataset`.

    Raises:
        FsbenchError: too few questions, a checkpoint cannot be read, or they were not all trained on the
            images at hand.
    """
    least = 2 * KINDS["few-shot"]  # an interval needs two tasks
    if questions < least:
        raise FsbenchError(f"questions must be at least {least}, but is {questions}")
    loaded = [checkpoint.load_network(path) for path in paths]
    source = loaded[0][1].source
    stored = max(resized(provenance.image_size) for _, provenance in loaded)
    base = load(source, "base", cache, stored)
    for path, (_, provenance) in zip(paths, loaded, strict=True):
        if provenance.source_fingerprint != base.fingerprint:
            why = why_other(provenance.source_files, provenance.source_decoder, base.identity)
            raise FsbenchError(
                f"checkpoint {path}: trained on {provenance.source}, not on the images of {source} at hand"
                f"{why}"
            )
    used = {provenance.per_class for _, provenance in loaded}
    if len(used) > 1:
        raise FsbenchError(
            "the checkpoints were trained on different numbers of images per class "
            f"({', '.join('all' if n is None else str(n) for n in sorted(used, key=lambda n: n or 0))}); "
            "diagnose them one number at a time"
        )
    (per_class,) = used
    if per_class is not None:
        base = few_images(base, per_class)
    novel = load(dataset or source, "novel", cache, stored)
    subjects = [
        Subject(
            name,
            network.to(device).to(memory_format=torch.channels_last),
            provenance,
            extract(frozen, dataset or source, "novel", Session(cache, device, quiet))[1],
        )
        for name, frozen, (network, provenance) in zip(
            _names(paths, loaded), map(of_checkpoint, paths), loaded, strict=True
        )
    ]
    return Study(tuple(subjects), base, novel, questions)


def evenly(labels: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """About `n` rows of sorted labels, as many of each class (at least one), drawn by a fixed stream."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    each = min(max(1, n // len(names)), int(sizes.min()))
    rng = stream(0, "diagnose", "images")
    return np.concatenate(
        [start + rng.permutation(size)[:each] for start, size in zip(first, sizes, strict=True)]
    )


def percent(shares: NDArray[np.float64]) -> Mean:
    """Mean and interval of shares (n,) in 0..1, in %."""
    mean, half_width = stats.mean_and_half_width(shares)
    return Mean(100 * mean, 100 * half_width)


def shares_right(correct: Tensor, kind: str) -> NDArray[np.float64]:
    """Answers (n,) bool as what an interval is over: base images, or accuracies 0..1 of few-shot tasks."""
    shares: NDArray[np.float64] = correct.double().view(-1, KINDS[kind]).mean(dim=1).cpu().numpy()
    return shares


def _names(paths: Sequence[Path], loaded: Sequence[tuple[Network, Provenance]]) -> list[str]:
    """The shortest names that tell the checkpoints apart: of their recipes, runs and files."""
    noises = [f" (noise {share:g})" if (share := _label_noise(of)) else "" for _, of in loaded]
    recipes = [of.recipe + noise for (_, of), noise in zip(loaded, noises, strict=True)]
    runs = _without_common_end([of.run for _, of in loaded])
    runs = [run + noise for run, noise in zip(runs, noises, strict=True)]
    stems = [path.stem for path in paths]
    choices = (
        [run if recipes.count(recipe) > 1 else recipe for recipe, run in zip(recipes, runs, strict=True)],
        [f"{recipe}/{stem}" for recipe, stem in zip(recipes, stems, strict=True)],
        [f"{run}/{stem}" for run, stem in zip(runs, stems, strict=True)],
        [f"{path.parent.name}/{path.stem}" for path in paths],
    )
    for names in choices:
        if len(set(names)) == len(names):
            return names
    raise FsbenchError("checkpoints must differ, but one is given twice")


def _label_noise(provenance: Provenance) -> float:
    return float(provenance.settings.get("label_noise") or 0.0)


def _without_common_end(runs: Sequence[str]) -> list[str]:
    """Names of runs without the parts between hyphens that all of them end in."""
    parts = [run.split("-") for run in runs]
    common = 0
    while common < min(map(len, parts)) - 1 and len({tuple(p[-common - 1 :]) for p in parts}) == 1:
        common += 1
    return ["-".join(p[: len(p) - common]) for p in parts]


def _normalised(images: Tensor) -> Tensor:
    """Images in 0..1 as the backbone takes them; channels last, which convolutions are fastest with."""
    normalised = (images - _channels(MEAN, images)) / _channels(STD, images)
    return normalised.contiguous(memory_format=torch.channels_last)


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)[:, None, None]
