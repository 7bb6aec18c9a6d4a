"""Result files: one JSON file a run, with every key that makes numbers incomparable and each task's score.

A file lies at `<results>/<target>/<run>-<digest>/<tasks>-<head>-....json`: results that differ in what was
evaluated or how have different paths, so that none takes the place of another.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason, write_text
from fsbench._util.validation import InvalidValueError, check, check_file_name, required
from fsbench.tasks.spec import TaskSpec

_WITHOUT_DIGESTS = ("rs-choice-1", "uniform-1")  # samplers whose results have paths without digests
OTHERS = ("bench", "budget", "diagnose", "tuning")  # folders with files of other kinds, or pages of their own
SCHEMA = 1  # keys with a default came later: files without them still load
_MOST = {"accuracy": 1, "half_width": 100, "class_half_width": 100, "dropout": 1}  # of two tasks up to 6.4


@dataclass(frozen=True, kw_only=True)
class Result:
    """Accuracy of one head on one task list over the features of one backbone.

    Fields that a foreign feature file does not tell are None.
    """

    # what was asked
    dataset: str  # the target; its images make the tasks
    split: str
    fingerprint: str | None  # of the target split's images
    n_way: int
    n_shot: int
    n_query: int | None  # of a class; None: all images that are not support
    n_tasks: int  # that there are: disjoint ones end with the images
    seed: int  # of the task list
    query_alpha: float | None = None  # classes share the queries by Dirichlet(alpha)
    least_shot: int | None = None  # classes have least_shot to n_shot support images
    classes: tuple[str, ...] = ()  # that tasks are made of; empty: all
    disjoint: bool = False  # no image is in two tasks
    sampler: str
    # what was tried
    run: str  # name of the training run, or of the feature file
    source: str | None  # data set that the backbone was trained on
    source_fingerprint: str | None  # of the images it was trained on
    source_classes: int | None
    per_class: int | None = None  # images of each of them that it was trained on; None: all
    seen: str | None = None  # what is known of target classes among those it was pretrained on
    image_size: int | None  # pixels that the network takes
    stored_size: int | None = None  # pixels of the stored images; where fewer, they were enlarged
    backbone: str | None
    dropout: float | None
    recipe: str | None
    preset: str | None
    overrides: str | None  # what was changed in the preset, such as "batch_size 64"
    classifier: str | None
    epochs: int | None  # asked for
    epoch: int | None  # of this checkpoint
    best_epoch: int | None = None  # by accuracy on val classes, of those validated
    train_seed: int | None
    precision: str | None = None  # of training
    checkpoint: str | None  # SHA-256 of the checkpoint file
    transform: str | None
    feature_digest: str
    base_digest: str | None = None  # of the base features, where head or preprocessing uses them
    head: str
    head_code: str | None = None  # SHA-256 of the file of a head that is not fsbench's
    preprocess: str
    transductive: bool
    class_prior: bool
    synthetic: bool  # images drawn by code
    interval: str  # what the half width is
    # what came out
    task_digest: str
    accuracy: float  # mean over tasks, 0..1
    half_width: float  # 0..1
    class_half_width: float | None = None  # over classes and their images: jackknife, Student-t, 95 %
    class_values: tuple[float, ...] | None = None  # `stats.class_values`, one per class, to 9 decimals
    extract_seconds: float | None  # for all images of the split, once
    evaluate_seconds: float
    device: str
    versions: dict[str, str]
    commit: str | None
    # query images of each task, one number where all have as many; None: as many as asked for
    queries: int | tuple[int, ...] | None = None
    correct: tuple[int, ...]  # right answers of each task

    @cached_property
    def accuracies(self) -> NDArray[np.float64]:
        """Accuracy of each task, shape (n_tasks,), 0..1."""
        queries = self.n_way * self.n_query if self.queries is None and self.n_query else self.queries
        right: NDArray[Any]
        try:
            right = np.frombuffer(bytes(self.correct), dtype=np.uint8)  # five times as fast as from a tuple
        except ValueError:  # some are above 255
            right = np.asarray(self.correct, dtype=np.float64)
        return right / np.asarray(queries, dtype=np.float64)

    @property
    def spec(self) -> TaskSpec:
        """What was asked, as the sampler takes it."""
        return TaskSpec(**{field.name: getattr(self, field.name) for field in fields(TaskSpec)})

    @property
    def image_identity(self) -> tuple[str, str]:
        """Key that is equal for two results only if their tasks are drawn from the same images.

        The fingerprint proves it. Where a feature file has none, only identical features do.
        """
        if self.fingerprint is None:
            return "features", self.feature_digest
        return "fingerprint", self.fingerprint

    @property
    def task_identity(self) -> tuple[str, TaskSpec, tuple[str, str]]:
        """Key that is equal for two results only if task t holds the same images in both, for every t.

        Task t depends on the specification, the seed and t alone, so the number of tasks is no part of the
        key: the shorter list is the beginning of the longer one.
        """
        return self.sampler, replace(self.spec, n_tasks=2), self.image_identity

    @cached_property
    def path(self) -> Path:
        """Where the file lies below the results folder."""
        target = self.dataset if self.split == "novel" else f"{self.dataset}-{self.split}"
        head = self.head
        if self.head_code is not None:  # ./mine.py:head
            head = f"{Path(head).name.replace('.py:', '.').replace(':', '.')}-{self.head_code[:8]}"
        name = f"{self.spec.name}-{head}-{self.preprocess}-{self.n_tasks}t-s{self.seed}"
        if self.sampler in _WITHOUT_DIGESTS:
            return Path(target, self.run, f"{name}.json")
        model = (self.checkpoint or self.feature_digest)[:8]
        epoch = "" if self.best_epoch in (None, self.epoch) else f"-epoch{self.epoch}"
        run = self.run if self.run.endswith(f"-{model}") else f"{self.run}{epoch}-{model}"
        stored = "" if self.stored_size is None else f"-{self.stored_size}px"
        return Path(target, run, f"{name}{stored}-{self._inputs[:8]}.json")

    @property
    def _inputs(self) -> str:
        """A digest of what the rest of the path does not tell: images, transform, base features, sampler."""
        base = None if self.checkpoint else self.base_digest  # those of a checkpoint follow from it
        inputs = (self.fingerprint, self.transform, self.image_size, base, self.sampler)
        return hashlib.sha256(repr(inputs).encode()).hexdigest()

    def line(self) -> str:
        """The result for people, on one line."""
        source = f"{self.source} -> " if self.source and self.source != self.dataset else ""
        return (
            f"{source}{self.dataset} {self.split}  {self.n_way}-way {self.n_shot}-shot{self._unusual}  "
            f"{self.head} ({self.preprocess})  {100 * self.accuracy:.2f} ± {100 * self.half_width:.2f} %  "
            f"({self.n_tasks:,} tasks{', synthetic images' if self.synthetic else ''})"
        )

    @property
    def _unusual(self) -> str:
        """What a reader must know of the tasks, when it is not the usual."""
        usual = f"{self.n_way}w{self.n_shot}s{self.n_query}q"
        return "" if self.spec.name == usual else f" ({self.spec.name})"

    def same_question(self, other: "Result") -> bool:
        """Whether `other` asks and tries the same, whatever came out."""
        return replace(self, **OPEN) == replace(other, **OPEN)


_NAMES = frozenset(field.name for field in fields(Result))
OPEN: dict[str, Any] = {  # the outcome of a question that is not answered yet
    "task_digest": "",
    "accuracy": 0.0,
    "half_width": 0.0,
    "class_half_width": None,
    "class_values": None,
    "extract_seconds": None,
    "evaluate_seconds": 0.0,
    "device": "",
    "versions": {},
    "commit": None,
    "correct": (),
    "queries": None,
}


def to_json(result: Result) -> dict[str, Any]:
    """The result as plain JSON values, schema number first."""
    return {"schema": SCHEMA, **asdict(result)}


def write(folder: Path, result: Result) -> Path:
    """Write one result below `folder` and return where; a key a line, the tasks' scores on one."""
    path = folder / result.path
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in to_json(result).items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def read(path: Path) -> Result:
    """Read one result file.

    Raises:
        FsbenchError: unreadable, no JSON, another schema, keys missing or too many, or scores that do not
            give the accuracy.
    """
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except ValueError as error:
        raise FsbenchError(f"{path}: not a result file ({error})") from error
    if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
        raise FsbenchError(f"{path}: not a result file of schema {SCHEMA}")
    wrong = sorted(document.keys() - _NAMES | required(Result) - document.keys())
    if wrong:
        raise FsbenchError(f"{path}: keys missing or unknown: {', '.join(wrong)}")
    lists = {name: tuple(value) for name, value in document.items() if isinstance(value, list)}
    result = Result(**{**document, **lists})
    try:
        refuse_absurd(result)
        _check_scores(result)
    except (InvalidValueError, FsbenchError) as error:
        raise FsbenchError(f"{path}: {error}") from error
    return result


def refuse_absurd(result: Result) -> None:
    """Refuse values of other types than a result has, and names that would lead out of the results folder.

    Raises:
        InvalidValueError: the first one is named.
        FsbenchError: tasks that no data set could have.
    """
    check(Result, vars(result))
    check_file_name("dataset", result.dataset)
    check_file_name("run", result.run)
    if len(result.path.parts) != 3:
        raise InvalidValueError(f"split, head or preprocess lead to another folder: {result.path}")
    for part in result.path.parts:
        check_file_name("a part of its path", part)
    for name, most in _MOST.items():
        value = getattr(result, name)
        if value is not None and not 0 <= value <= most:
            raise InvalidValueError(f"{name} must be in 0 to {most}, but is {value}")
    values = result.class_values
    if values is not None and (len(values) < 2 or max(map(abs, values)) > len(values)):
        raise InvalidValueError("class_values must be two or more numbers, none larger than their count")


def _check_scores(result: Result) -> None:
    """Refuse scores that are none of these tasks, or do not give the accuracy."""
    queries = result.queries
    alike = not isinstance(queries, tuple) or len(queries) == result.n_tasks
    if len(result.correct) == result.n_tasks and alike:
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = result.accuracies
        if scores.min() >= 0 and scores.max() <= 1 and abs(scores.mean() - result.accuracy) <= 1e-9:
            return
    raise InvalidValueError(f"the tasks' scores do not give the accuracy {result.accuracy}")


def paths(folder: Path) -> list[Path]:
    """Every result file below a folder, in order; `bench/` and `diagnose/` hold what is no result.

    Raises:
        FsbenchError: no such folder, or one in it cannot be read.
    """
    if not folder.is_dir():
        raise FsbenchError(f"results folder {folder}: there is no such folder")
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        if Path(place) == folder:
            folders[:] = (name for name in folders if name not in OTHERS)
        found += (Path(place, name) for name in names if name.endswith(".json"))
    return sorted(found, key=lambda path: path.parts)


def _refuse(error: OSError) -> None:
    raise FsbenchError(f"cannot read {error.filename}: {reason(error)}") from error


def read_all(folder: Path) -> Iterator[Result]:
    """Every result below a folder, in the order of their paths.

    Raises:
        FsbenchError: no such folder, or one of its `.json` files is not a result.
    """
    return map(read, paths(folder))
