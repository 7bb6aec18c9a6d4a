"""The trained networks that are compared, and the images that all of them are tested on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench._util.rng import stream
from fsbench._util.session import Session
from fsbench.data.augment import MEAN, STD, eval_transform, resized
from fsbench.data.identity import explain_mismatch
from fsbench.data.image_split import ImageSplit, few_images
from fsbench.data.loading import load
from fsbench.diagnose._section import Mean
from fsbench.evaluation import inference
from fsbench.features.extract import extract_features
from fsbench.features.store import Features
from fsbench.heads import find_head, nearest_mean
from fsbench.heads.preprocess import l2
from fsbench.models import checkpoint
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network
from fsbench.models.pretrained import of_checkpoint
from fsbench.report.grouping import first_distinct
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec

FEW_SHOT = (TaskSpec(n_shot=1, n_tasks=1000), TaskSpec(n_shot=5, n_tasks=1000))
QUESTIONS = 450  # base images, and query images of novel tasks
N_QUERY = 3
EPISODE = TaskSpec(n_shot=5, n_query=N_QUERY)  # the tasks whose queries are attacked and deformed
T = TypeVar("T", bound="np.generic[Any]")
Kind = Literal["base", "few-shot"]  # of images: for the base classifier, or for novel tasks
KINDS: dict[Kind, int] = {  # answers per independent unit of an interval
    "base": 1,
    "few-shot": EPISODE.n_way * N_QUERY,
}
_TASKS_AT_ONCE, _IMAGES_AT_ONCE = 8, 128

Scores = Callable[[Tensor], Tensor]
"""Images (b, 3, s, s) in 0..1 -> scores (b, classes), differentiable."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images with their correct answers, and the scores of one network as a function."""

    images: Tensor  # (b, 3, s, s) in 0..1: the network's input before normalisation
    answers: Tensor  # (b,) int64
    scores: Scores


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network in evaluation mode, without gradients of its weights.

    Attributes:
        name: Short name, unique within the study.
        module: Backbone and classifier.
        provenance: How the network was trained.
        novel: Features of the novel images, as `fsbench extract` writes them.
    """

    name: str
    module: Network
    provenance: Provenance
    novel: Features

    @property
    def label_noise(self) -> float:
        """Fraction of base labels that were replaced in training, 0..1."""
        return _label_noise(self.provenance)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.module.parameters()).device

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Turn pixels (b, h, w, 3) into input before normalisation, (b, 3, s, s) in 0..1 on the device."""
        normalised = eval_transform(torch.from_numpy(pixels).to(self.device), self.provenance.image_size)
        return (normalised * _channels(STD, normalised) + _channels(MEAN, normalised)).clamp(0, 1)

    def features(self, images: Tensor) -> Tensor:
        """Return features (b, d) of images (b, 3, s, s) in 0..1."""
        features: Tensor = self.module.backbone(_normalised(images))
        return features

    def scores(self, images: Tensor) -> Tensor:
        """Return base-class scores (b, classes) of images (b, 3, s, s) in 0..1."""
        scores: Tensor = self.module(_normalised(images))
        return scores

    def few_shot(self, spec: TaskSpec) -> NDArray[np.float64]:
        """Return the accuracy of nearest mean on each novel task, (tasks,), 0..1."""
        values = l2(torch.tensor(self.novel.values), None)
        return inference.accuracies(values, self.novel.labels, spec, find_head("nearest-mean"))


@dataclass(frozen=True, eq=False)
class Study:
    """Networks that learned the same base classes, and the images that all of them are tested on.

    Attributes:
        networks: The networks; the first one is the reference.
        base: The images that the networks were trained on.
        novel: The images of the novel classes.
        questions: Number of base images, and of query images of novel tasks.
    """

    networks: tuple[TrainedNetwork, ...]
    base: ImageSplit
    novel: ImageSplit
    questions: int = QUESTIONS

    @property
    def episodes(self) -> TaskSpec:
        """Specification of the novel tasks whose query images are used."""
        return replace(EPISODE, n_tasks=self.questions // KINDS["few-shot"])

    @cached_property
    def few_shot(self) -> dict[str, tuple[Mean, ...]]:
        """Few-shot accuracy of each network, for each specification of FEW_SHOT."""
        return {
            network.name: tuple(percent(network.few_shot(spec)) for spec in FEW_SHOT)
            for network in self.networks
        }

    def batches(self, network: TrainedNetwork, kind: Kind) -> Iterator[Batch]:
        """Yield base images for the network's own classifier (`base`), or queries of tasks (`few-shot`)."""
        return self._base_batches(network) if kind == "base" else self._episode_batches(network)

    @cached_property
    def base_rows(self) -> NDArray[np.int64]:
        """Rows of the base images that are used, the same number per class."""
        return evenly(self.base.labels, self.questions)

    def _base_batches(self, network: TrainedNetwork) -> Iterator[Batch]:
        """Yield base images, scored by the classifier that was trained with the backbone."""
        for rows in batches_of(self.base_rows, _IMAGES_AT_ONCE):
            answers = torch.from_numpy(self.base.labels[rows]).long()
            images = network.images(self.base.pixels[rows])
            yield Batch(images, answers.to(images.device), network.scores)

    def _episode_batches(self, network: TrainedNetwork) -> Iterator[Batch]:
        """Yield queries of whole novel tasks, scored by nearest mean of the unchanged support images."""
        for tasks in sampler.blocks(self.novel.labels, self.episodes, at_once=_TASKS_AT_ONCE):
            images = network.images(self.novel.pixels[tasks.query.ravel()])
            values = torch.from_numpy(network.novel.values[tasks.support])
            support = l2(values.to(images.device), None)  # (tasks, n_way, n_shot, d)

            def scores(images: Tensor, support: Tensor = support) -> Tensor:
                query = l2(network.features(images), None).view(len(support), -1, support.shape[-1])
                return nearest_mean(support, query).flatten(0, 1)

            yield Batch(images, torch.from_numpy(tasks.answers.ravel()).long().to(images.device), scores)


def load_study(
    paths: Sequence[Path], *, dataset: str | None = None, questions: int = QUESTIONS, session: Session
) -> Study:
    """Load checkpoints and the images that they are tested on.

    Args:
        paths: Checkpoints that were trained on the same images.
        dataset: Data set of the novel images; None: the one that the checkpoints were trained on.
        questions: Number of base images, and of query images of novel tasks; at least 30.
        session: Cache folder, device and progress.

    Returns:
        The networks and the images.

    Raises:
        FsbenchError: There are too few questions, a checkpoint cannot be read or is given twice, or the
            checkpoints were not all trained on the images in the cache.
    """
    least = 2 * KINDS["few-shot"]  # an interval needs two tasks
    if questions < least:
        raise FsbenchError(f"questions must be at least {least}, but is {questions}")
    loaded = [checkpoint.load_network(path) for path in paths]
    source = loaded[0][1].source
    stored = max(resized(provenance.image_size) for _, provenance in loaded)
    base = load(source, "base", session.cache, stored)
    for path, (_, provenance) in zip(paths, loaded, strict=True):
        if provenance.source_fingerprint != base.fingerprint:
            cause = explain_mismatch(provenance.source_files, provenance.source_decoder, base.identity)
            raise FsbenchError(
                f"checkpoint {path}: was trained on {provenance.source}, but not on the images of {source} "
                f"in the cache{cause}"
            )
    numbers = {provenance.per_class for _, provenance in loaded}
    if len(numbers) > 1:
        texts = ("all" if n is None else str(n) for n in sorted(numbers, key=lambda n: n or 0))
        raise FsbenchError(
            f"checkpoints were trained on different numbers of images per class ({', '.join(texts)}); "
            "diagnose those with the same number together"
        )
    (per_class,) = numbers
    if per_class is not None:
        base = few_images(base, per_class)
    novel = load(dataset or source, "novel", session.cache, stored)
    networks = [
        TrainedNetwork(
            name,
            module.to(session.device).to(memory_format=torch.channels_last),
            provenance,
            extract_features(of_checkpoint(path), dataset or source, "novel", session)[1],
        )
        for name, path, (module, provenance) in zip(_names(paths, loaded), paths, loaded, strict=True)
    ]
    return Study(tuple(networks), base, novel, questions)


def batches_of(rows: NDArray[T], size: int) -> list[NDArray[T]]:
    """Split rows (n, ...) into nearly equal parts of at most `size` rows."""
    return np.array_split(rows, -(-len(rows) // size))


def evenly(labels: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Draw about `n` rows of sorted labels by a fixed seed, the same number for each class, at least one."""
    classes, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    each = min(max(1, n // len(classes)), int(sizes.min()))
    rng = stream(0, "diagnose", "images")
    return np.concatenate(
        [start + rng.permutation(size)[:each] for start, size in zip(first, sizes, strict=True)]
    )


def percent(fractions: NDArray[np.float64]) -> Mean:
    """Return the mean and the interval of fractions (n,) in 0..1, in %."""
    mean, half_width = stats.mean_and_half_width(fractions)
    return Mean(100 * mean, 100 * half_width)


def accuracies(correct: Tensor, kind: Kind) -> NDArray[np.float64]:
    """Turn answers (n,) bool into the accuracies of independent units: base images, or few-shot tasks."""
    values: NDArray[np.float64] = correct.double().view(-1, KINDS[kind]).mean(dim=1).cpu().numpy()
    return values


def _names(paths: Sequence[Path], loaded: Sequence[tuple[Network, Provenance]]) -> list[str]:
    """Return the shortest unique names of the checkpoints, made of recipes, runs and file names."""
    provenances = [provenance for _, provenance in loaded]
    noises = [f" (noise {noise:g})" if (noise := _label_noise(p)) else "" for p in provenances]
    recipes = [p.recipe + noise for p, noise in zip(provenances, noises, strict=True)]
    runs = _without_common_end([p.run for p in provenances])
    runs = [run + noise for run, noise in zip(runs, noises, strict=True)]
    stems = [path.stem for path in paths]
    choices = (
        [run if recipes.count(recipe) > 1 else recipe for recipe, run in zip(recipes, runs, strict=True)],
        [f"{recipe}/{stem}" for recipe, stem in zip(recipes, stems, strict=True)],
        [f"{run}/{stem}" for run, stem in zip(runs, stems, strict=True)],
        [f"{path.parent.name}/{path.stem}" for path in paths],
    )
    names = first_distinct(choices)
    if names is None:
        raise FsbenchError("checkpoints must differ, but one of them is given twice")
    return list(names)


def _label_noise(provenance: Provenance) -> float:
    """Return the fraction of base labels that were replaced in training."""
    return float(provenance.settings.get("label_noise") or 0.0)


def _without_common_end(runs: Sequence[str]) -> list[str]:
    """Return names of runs without the last hyphenated parts that all of them share."""
    parts = [run.split("-") for run in runs]
    common = 0
    while common < min(map(len, parts)) - 1 and len({tuple(p[-common - 1 :]) for p in parts}) == 1:
        common += 1
    return ["-".join(p[: len(p) - common]) for p in parts]


def _normalised(images: Tensor) -> Tensor:
    """Normalise images in 0..1 for the backbone, channels last, with which convolutions are fastest."""
    normalised = (images - _channels(MEAN, images)) / _channels(STD, images)
    return normalised.contiguous(memory_format=torch.channels_last)


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Return one value per channel, (3, 1, 1)."""
    return torch.tensor(values, device=like.device)[:, None, None]
