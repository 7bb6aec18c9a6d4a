"""From a checkpoint or a feature file to results: one a data set, task list and head."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fsbench import episodes, features, machine, results, stats, tasklists
from fsbench.checkpoint import load_provenance
from fsbench.episodes import TaskSpec
from fsbench.errors import FsbenchError
from fsbench.extract import extract
from fsbench.features import Features
from fsbench.files import reason
from fsbench.heads import find_head
from fsbench.heads.distribution_calibration import BaseStatistics, base_statistics
from fsbench.heads.preprocess import NEEDS_BASE_MEAN, find_preprocess
from fsbench.results import Result
from fsbench.score import answers, right
from fsbench.tasklists import TaskList


@dataclass(frozen=True)
class Target:
    """Features whose tasks are evaluated, and what they come from."""

    features: Features
    run: str
    base: Features | None  # of the images that the backbone was trained on, for heads that use them

    @cached_property
    def digest(self) -> str:
        """The features' digest, computed once."""
        return self.features.digest

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the checkpoint says of itself; empty for a feature file that does not tell."""
        found: dict[str, Any] = json.loads(str(self.features.about.get("provenance", "{}")))
        return found


def evaluate(
    subject: Path,
    *,
    specs: Sequence[TaskSpec] = (),
    task_lists: Sequence[str] = (),
    datasets: Sequence[str] = (),
    split: str = "novel",
    heads: Sequence[str] = ("nearest-mean",),
    preprocess: Sequence[str] = (),
    base: Path | None = None,
    out: Path = Path("results"),
    cache: Path | None = None,
    device: torch.device,
    force: bool = False,
    quiet: bool = False,
) -> list[Result]:
    """Evaluate a checkpoint or a feature file, one result a combination, each written below `out`.

    A checkpoint is evaluated on every data set of `datasets` (its own when there is none), a feature file on
    the one it was made from. `task_lists` names pinned lists, which take the place of `specs` and are refused
    for images that they were not pinned over; with neither it is 5-way 1-shot and 5-shot. Without
    `preprocess` each head uses its own. A result that `out` already holds is read, not made again, unless
    `force`. All arguments are checked before the first result is made.

    Raises:
        FsbenchError: an argument that no result can be made for.
    """
    pinned = [tasklists.read(name) for name in task_lists]
    asked = [tasks.spec for tasks in pinned] or list(specs) or [TaskSpec(n_shot=1), TaskSpec(n_shot=5)]
    chosen = [(name, step) for name in heads for step in preprocess or [find_head(name).preprocess]]
    for name, step in chosen:
        find_head(name)
        find_preprocess(step)
    of_base = any(step in NEEDS_BASE_MEAN or find_head(name).needs_base for name, step in chosen)
    if is_hdf5(subject):
        targets = [_from_file(subject, datasets, split, base if of_base else None)]
    else:
        targets = list(_from_checkpoint(subject, datasets, split, of_base, cache, device, quiet))
    if of_base and targets[0].base is None:
        what = next(f"head {h}" if find_head(h).needs_base else f"preprocess {p}" for h, p in chosen)
        raise FsbenchError(f"{what} needs base features: name them with --base FILE")
    questions = []
    for target in targets:
        drawn = _specs(target, split, asked, pinned)
        for name, step in chosen:
            questions.append((target, [_question(target, spec, name, step, split) for spec in drawn]))
    found = []
    for target, of_target in questions:
        known = [None if force else _known(out, question) for question in of_target]
        if None in known:
            values = _preprocessed(target, of_target[0].preprocess, device)
            statistics = _statistics(target, device) if find_head(of_target[0].head).needs_base else None
        for question, result in zip(of_target, known, strict=True):
            found.append(result or _answer(question, target, values, statistics, out, quiet))
    return found


def _from_checkpoint(
    checkpoint: Path,
    datasets: Sequence[str],
    split: str,
    of_base: bool,
    cache: Path | None,
    device: torch.device,
    quiet: bool,
) -> Iterator[Target]:
    """Features of each data set, extracted or found in the cache."""
    provenance = load_provenance(checkpoint)
    base = None
    if of_base:
        _, base = extract(checkpoint, provenance.source, "base", device=device, cache=cache, quiet=quiet)
        if base.about["fingerprint"] != provenance.source_fingerprint:
            raise FsbenchError(
                f"data set {provenance.source}: base features are needed, but the prepared images are not "
                f"those that {checkpoint} was trained on"
            )
    for dataset in datasets or [provenance.source]:
        _, target = extract(checkpoint, dataset, split, device=device, cache=cache, quiet=quiet)
        yield Target(target, provenance.run, base)


def _from_file(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
    """Features that lie in a file; what is asked of them must be what they are."""
    found = features.read(path)
    about = found.about
    for dataset in datasets:
        if dataset != about.get("dataset"):
            raise FsbenchError(f"feature file {path}: holds {about.get('dataset')}, not {dataset}")
    if split != about.get("split"):
        raise FsbenchError(f"feature file {path}: holds split {about.get('split')}, not {split}")
    of_base = None
    if base is not None:
        of_base = features.read(base)
        if of_base.about.get("checkpoint") != about.get("checkpoint"):
            raise FsbenchError(f"--base {base}: its features come from another checkpoint than {path}")
    return Target(found, str(about.get("run", path.stem)), of_base)


def _specs(
    target: Target, split: str, asked: Sequence[TaskSpec], pinned: Sequence[TaskList]
) -> Sequence[TaskSpec]:
    """The specifications that are asked of a target, once its images can give their tasks."""
    labels, names = target.features.labels, target.features.class_names
    dataset = target.features.about.get("dataset")
    for tasks in pinned:
        if (tasks.dataset, tasks.split) != (dataset, split):
            raise FsbenchError(
                f"--tasks: the list is of {tasks.dataset} {tasks.split}, not {dataset} {split}"
            )
        tasks.check(labels, names)
    return [replace(spec, n_tasks=episodes.count(labels, spec, names)) for spec in asked]


def _preprocessed(target: Target, step: str, device: torch.device) -> Tensor:
    """The target's features as a head gets them, on the device, shape (n, d)."""
    mean = None
    if target.base is not None:
        mean = torch.from_numpy(target.base.values.mean(axis=0, dtype=np.float64)).float().to(device)
    return find_preprocess(step)(torch.from_numpy(target.features.values).to(device), mean)


def _statistics(target: Target, device: torch.device) -> BaseStatistics:
    """Mean and covariance of each base class, of features as the backbone gives them."""
    assert target.base is not None
    values, labels = (torch.from_numpy(x).to(device) for x in (target.base.values, target.base.labels))
    return base_statistics(values, labels)


def _question(target: Target, spec: TaskSpec, head: str, step: str, split: str) -> Result:
    """A result whose outcome is still open."""
    about, made_by = target.features.about, target.provenance
    settings = made_by.get("settings", {})
    return Result(
        dataset=str(about["dataset"]),
        split=split,
        fingerprint=_text(about.get("fingerprint")),
        **vars(spec),
        sampler=episodes.SAMPLER,
        run=target.run,
        source=made_by.get("source"),
        source_fingerprint=made_by.get("source_fingerprint"),
        source_classes=len(made_by["class_names"]) if made_by else None,
        image_size=made_by.get("image_size"),
        backbone=made_by.get("backbone"),
        dropout=made_by.get("dropout"),
        recipe=made_by.get("recipe"),
        preset=made_by.get("preset"),
        overrides=", ".join(settings["overrides"]) if settings else None,
        classifier=settings.get("classifier"),
        epochs=made_by.get("epochs"),
        epoch=made_by.get("epoch"),
        train_seed=made_by.get("train_seed"),
        precision=made_by.get("precision"),
        checkpoint=_text(about.get("checkpoint")),
        transform=_text(about.get("transform")),
        feature_digest=target.digest,
        head=head,
        preprocess=step,
        transductive=find_head(head).transductive,
        class_prior=find_head(head).class_prior,
        synthetic=bool(about.get("synthetic", False)),
        interval=stats.INTERVAL,
        **{**results.OPEN, "extract_seconds": about.get("seconds")},
    )


def _answer(
    question: Result, target: Target, values: Tensor, base: BaseStatistics | None, out: Path, quiet: bool
) -> Result:
    """Evaluate one question and write its result."""
    began = time.perf_counter()
    labels, names, head = target.features.labels, target.features.class_names, find_head(question.head)
    digest = hashlib.sha256()
    correct: list[int] = []
    queries: list[int] = []
    batches = answers(values, labels, question.spec, head, class_names=names, base=base, quiet=quiet)
    for tasks, given in batches:
        digest.update(episodes.rows_of(tasks).tobytes())
        correct += right(tasks, given).tolist()
        queries += tasks.queries.tolist()
    seconds = time.perf_counter() - began
    result = replace(
        question,
        task_digest=digest.hexdigest(),
        correct=tuple(correct),
        queries=queries[0] if len(set(queries)) == 1 else tuple(queries),
        evaluate_seconds=seconds,
        device=machine.device_name(values.device),
        versions=machine.versions(),
        commit=machine.commit(),
    )
    accuracy, half_width = stats.mean_and_half_width(result.accuracies)
    result = replace(result, accuracy=accuracy, half_width=half_width)
    results.write(out, result)
    return result


def _known(out: Path, question: Result) -> Result | None:
    """The result that `out` holds for this question; one for other features or tasks does not count."""
    path = out / question.path
    if not path.exists():
        return None
    found = results.read(path)
    return found if found.same_question(question) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes, not by its name."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x89HDF"
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
