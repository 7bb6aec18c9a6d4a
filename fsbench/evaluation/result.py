"""Questions and results of evaluations, as typed values.

A question has four parts: the tasks, the images (data), the backbone (model) and the head. A result is a
question and its outcome.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from fsbench._util.settings import Setting, joined, portable
from fsbench.models.identity import Model
from fsbench.tasks.spec import TaskSpec

_WITHOUT_DIGESTS = ("rs-choice-1", "uniform-1")  # samplers whose results have paths without digests

Accuracy = Annotated[float, Meta(ge=0, le=1)]
HalfWidth = Annotated[float, Meta(ge=0, le=100)]  # of the accuracies of two tasks up to 6.4


@cache  # many results share few specifications, and making one checks its values
def of_any_length(spec: TaskSpec) -> TaskSpec:
    """Return the same specification for every number of tasks: one list is the beginning of another."""
    return replace(spec, n_tasks=2)


@dataclass(frozen=True, kw_only=True)
class Task:
    """The tasks of an evaluation.

    Attributes:
        spec: Ways, shots, queries, number of tasks and seed; `n_tasks` is the actual number.
        sampler: Version of the sampler that draws them.
    """

    spec: TaskSpec
    sampler: str


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images of the tasks, and their features.

    Attributes:
        dataset: Data set; in a cross-domain evaluation, the target.
        split: `base`, `val` or `novel`.
        fingerprint: Digest of the decoded images; None for feature files that do not contain it.
        stored_size: Side of the stored images in pixels; smaller ones were enlarged for the network.
        synthetic: Whether the images are drawn by code.
        seen: One line about classes or images of this split that the backbone was trained on.
        feature_digest: SHA-256 of the features and labels.
    """

    dataset: str
    split: str
    fingerprint: str | None = None
    stored_size: int | None = None
    synthetic: bool = False
    seen: str | None = None
    feature_digest: str


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """The few-shot classifier and the preprocessing of its features.

    Attributes:
        name: Name of the head, or `./mine.py:head`.
        preprocess: Name of the preprocessing.
        transductive: Whether it uses all query images of a task together.
        class_prior: Whether it uses the number of query images per class.
        code: SHA-256 of the file of a head that is not part of fsbench.
        base_digest: SHA-256 of the base features; None if neither head nor preprocessing uses them.
        settings: Values of the head's settings that differ from their defaults, in the order of their names.
    """

    name: str
    preprocess: str
    transductive: bool
    class_prior: bool
    code: str | None = None
    base_digest: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Put the settings in order, so that equal ones are written alike."""
        object.__setattr__(self, "settings", dict(sorted(self.settings.items())))

    @property
    def text(self) -> str:
        """Name and settings as `--head` takes them, such as `cosine-sgd:epochs=100`."""
        return joined(self.name, self.settings)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of an evaluation.

    Attributes:
        task_digest: SHA-256 of the tasks' item indices.
        accuracy: Mean over tasks, 0 to 1.
        half_width: 95 % half width of the accuracy over tasks.
        interval: Name of the interval, such as `fsbench.stats.INTERVAL`.
        class_half_width: 95 % half width over classes and their images, by the jackknife.
        class_values: `fsbench.stats.class_values`, one value per class, to 9 decimals.
        extract_seconds: Time to extract the features of the split, once for all evaluations.
        evaluate_seconds: Time of this evaluation.
        device: Device that it ran on.
        versions: Versions of fsbench, Python and the libraries.
        commit: Git commit of fsbench, if known.
        queries: Query images of each task, or one number if it is the same for all; None: as specified.
        correct: Correct answers of each task.
    """

    task_digest: str
    accuracy: Accuracy
    half_width: HalfWidth
    interval: str
    class_half_width: HalfWidth | None = None
    class_values: tuple[float, ...] | None = None
    extract_seconds: float | None = None
    evaluate_seconds: float
    device: str
    versions: dict[str, str]
    commit: str | None = None
    queries: int | tuple[int, ...] | None = None
    correct: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Question:
    """An evaluation without its outcome. Equal questions have equal outcomes, except for time and device.

    Attributes:
        task: The tasks.
        data: Their images.
        model: The backbone.
        head: The few-shot classifier.
    """

    task: Task
    data: Data
    model: Model
    head: HeadSettings

    @property
    def path(self) -> Path:
        """Path of the result file below the results folder, unique to this question.

        It is `<target>/<run>-<digest>/<tasks>-<head>-....json`.
        """
        data, model, head, spec = self.data, self.model, self.head, self.task.spec
        target = data.dataset if data.split == "novel" else f"{data.dataset}-{data.split}"
        head_name = head.name
        if head.code is not None:  # ./mine.py:head
            head_name = f"{Path(head.name).name.replace('.py:', '.').replace(':', '.')}-{head.code[:8]}"
        if head.settings:
            head_name = f"{head_name}-{portable(head.settings)}"
        name = f"{spec.name}-{head_name}-{head.preprocess}-{spec.n_tasks}t-s{spec.seed}"
        if self.task.sampler in _WITHOUT_DIGESTS and not head.settings:
            return Path(target, model.run, f"{name}.json")
        weights = (model.checkpoint or data.feature_digest)[:8]
        epoch = "" if model.best_epoch in (None, model.epoch) else f"-epoch{model.epoch}"
        run = model.run if model.run.endswith(f"-{weights}") else f"{model.run}{epoch}-{weights}"
        stored = "" if data.stored_size is None else f"-{data.stored_size}px"
        return Path(target, run, f"{name}{stored}-{self._digest[:8]}.json")

    @property
    def _digest(self) -> str:
        """Digest of the values that the rest of the path does not contain."""
        # The base features of a checkpoint follow from it.
        base = None if self.model.checkpoint else self.head.base_digest
        parts: tuple[Any, ...] = (
            self.data.fingerprint, self.model.transform, self.model.image_size, base, self.task.sampler
        )  # fmt: skip
        if self.head.settings:  # which the path contains in a portable form that need not be unique
            parts += (tuple(self.head.settings.items()),)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Result:
    """Accuracy of one head on one task list over the features of one backbone.

    Attributes:
        task: The tasks.
        data: Their images.
        model: The backbone.
        head: The few-shot classifier.
        outcome: Accuracy, its intervals, and the score of every task.
    """

    task: Task
    data: Data
    model: Model
    head: HeadSettings
    outcome: Outcome

    @property
    def question(self) -> Question:
        """The result without its outcome."""
        return Question(task=self.task, data=self.data, model=self.model, head=self.head)

    @cached_property
    def path(self) -> Path:
        """Path of the result file below the results folder."""
        return self.question.path

    @property
    def spec(self) -> TaskSpec:
        """Specification of the tasks."""
        return self.task.spec

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Accuracy of each task, (n_tasks,), 0 to 1."""
        return self.n_correct / self.n_queries

    @property
    def n_queries(self) -> NDArray[np.float64]:
        """Queries of each task, (n_tasks,), or () if all tasks have the same number."""
        queries = self.outcome.queries
        if queries is None and self.spec.n_query:
            queries = self.spec.n_way * self.spec.n_query
        return np.asarray(queries, dtype=np.float64)

    @cached_property
    def n_correct(self) -> NDArray[Any]:
        """Correct answers of each task, (n_tasks,), in an eighth of the memory of accuracies if possible."""
        correct = self.outcome.correct
        try:
            return np.frombuffer(bytes(correct), dtype=np.uint8)  # five times as fast as from a tuple
        except ValueError:  # some are above 255
            return np.asarray(correct, dtype=np.float64)

    @property
    def image_identity(self) -> tuple[str, str]:
        """Key of the images: the fingerprint, or the digest of the features if there is no fingerprint.

        Two results have equal keys only if their tasks are drawn from the same images.
        """
        if self.data.fingerprint is None:
            return "features", self.data.feature_digest
        return "fingerprint", self.data.fingerprint

    @property
    def task_identity(self) -> tuple[str, TaskSpec, tuple[str, str]]:
        """Key of the tasks: two results have equal keys only if task t is the same in both, for every t.

        The key does not contain the number of tasks: of two lists with equal keys, the shorter one is the
        beginning of the longer one.
        """
        return self.task.sampler, of_any_length(self.spec), self.image_identity
