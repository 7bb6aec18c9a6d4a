"""From a checkpoint or a feature file to results: one a data set, task list and head."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench import episodes, features, machine, results, stats, tasklists
from fsbench.checkpoint import load_provenance
from fsbench.episodes import TaskSpec
from fsbench.errors import FsbenchError
from fsbench.extract import extract
from fsbench.features import Features
from fsbench.files import reason
from fsbench.heads import find_head
from fsbench.heads.preprocess import NEEDS_BASE_MEAN, find_preprocess
from fsbench.results import Result
from fsbench.score import right_answers
from fsbench.tasklists import TaskList


@dataclass(frozen=True)
class Target:
    """Features whose tasks are evaluated, and what they come from."""

    features: Features
    run: str
    base_mean: NDArray[np.float32] | None  # (d,), for heads that centre

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
    datasets: Sequence[str] = (),
    split: str = "novel",
    n_way: Sequence[int] = (5,),
    n_shot: Sequence[int] = (1, 5),
    heads: Sequence[str] = ("nearest-mean",),
    preprocess: Sequence[str] = (),
    n_query: int = 15,
    n_tasks: int = 10_000,
    seed: int = 0,
    task_lists: Sequence[str] = (),
    base: Path | None = None,
    out: Path = Path("results"),
    cache: Path | None = None,
    device: torch.device,
    force: bool = False,
    quiet: bool = False,
) -> list[Result]:
    """Evaluate a checkpoint or a feature file, one result a combination, each written below `out`.

    A checkpoint is evaluated on every data set of `datasets` (its own when there is none), a feature file on
    the one it was made from. `task_lists` names pinned lists, which take the place of `n_way` to `seed` and
    are refused for images that they were not pinned over. Without `preprocess` each head uses its own. A
    result that `out` already holds is read, not made again, unless `force`. All arguments are checked before
    the first result is made.

    Raises:
        FsbenchError: an argument that no result can be made for.
    """
    pinned = [tasklists.read(name) for name in task_lists]
    specs = [tasks.spec for tasks in pinned] or [
        TaskSpec(n, k, n_query, n_tasks, seed) for n, k in product(n_way, n_shot)
    ]
    chosen = [(name, step) for name in heads for step in preprocess or [find_head(name).preprocess]]
    for name, step in chosen:
        find_head(name)
        find_preprocess(step)
    centred = any(step in NEEDS_BASE_MEAN for _, step in chosen)
    if _is_hdf5(subject):
        targets = [_from_file(subject, datasets, split, base if centred else None)]
    else:
        targets = list(_from_checkpoint(subject, datasets, split, centred, cache, device, quiet))
    if centred and targets[0].base_mean is None:
        raise FsbenchError("preprocess cl2n needs the base mean: name the base features with --base FILE")
    lists = [_draw(target, split, specs, pinned) for target in targets]
    found = []
    for target, tasks_of in zip(targets, lists, strict=True):
        for name, step in chosen:
            values = _preprocessed(target, step, device)
            for spec, tasks in zip(specs, tasks_of, strict=True):
                question = _question(target, spec, tasks, name, step, split)
                known = None if force else _known(out, question)
                found.append(known or _answer(question, values, tasks, out, quiet))
    return found


def _from_checkpoint(
    checkpoint: Path,
    datasets: Sequence[str],
    split: str,
    centred: bool,
    cache: Path | None,
    device: torch.device,
    quiet: bool,
) -> Iterator[Target]:
    """Features of each data set, extracted or found in the cache."""
    provenance = load_provenance(checkpoint)
    base_mean = None
    if centred:
        _, trained_on = extract(
            checkpoint, provenance.source, "base", device=device, cache=cache, quiet=quiet
        )
        if trained_on.about["fingerprint"] != provenance.source_fingerprint:
            raise FsbenchError(
                f"preprocess cl2n needs the images that {checkpoint} was trained on, but the prepared "
                f"{provenance.source} differs from them"
            )
        base_mean = trained_on.values.mean(axis=0, dtype=np.float64).astype(np.float32)
    for dataset in datasets or [provenance.source]:
        _, target = extract(checkpoint, dataset, split, device=device, cache=cache, quiet=quiet)
        yield Target(target, provenance.run, base_mean)


def _from_file(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
    """Features that lie in a file; what is asked of them must be what they are."""
    found = features.read(path)
    about = found.about
    for dataset in datasets:
        if dataset != about.get("dataset"):
            raise FsbenchError(f"feature file {path}: holds {about.get('dataset')}, not {dataset}")
    if split != about.get("split"):
        raise FsbenchError(f"feature file {path}: holds split {about.get('split')}, not {split}")
    base_mean = None
    if base is not None:
        of_base = features.read(base)
        if of_base.about.get("checkpoint") != about.get("checkpoint"):
            raise FsbenchError(f"--base {base}: its features come from another checkpoint than {path}")
        base_mean = of_base.values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Target(found, str(about.get("run", path.stem)), base_mean)


def _draw(
    target: Target, split: str, specs: Sequence[TaskSpec], pinned: Sequence[TaskList]
) -> list[NDArray[np.int32]]:
    """The tasks of each specification over a target's images."""
    labels, dataset = target.features.labels, target.features.about.get("dataset")
    for tasks in pinned:
        if (tasks.dataset, tasks.split) != (dataset, split):
            raise FsbenchError(
                f"--tasks: the list is of {tasks.dataset} {tasks.split}, not {dataset} {split}"
            )
    if pinned:
        return [tasks.draw(labels) for tasks in pinned]
    return [episodes.sample(labels, spec) for spec in specs]


def _preprocessed(target: Target, step: str, device: torch.device) -> Tensor:
    """The target's features as a head gets them, on the device, shape (n, d)."""
    mean = None if target.base_mean is None else torch.from_numpy(target.base_mean).to(device)
    return find_preprocess(step)(torch.from_numpy(target.features.values).to(device), mean)


def _question(
    target: Target, spec: TaskSpec, tasks: NDArray[np.int32], head: str, step: str, split: str
) -> Result:
    """A result whose outcome is still open."""
    about, made_by = target.features.about, target.provenance
    settings = made_by.get("settings", {})
    return Result(
        dataset=str(about["dataset"]),
        split=split,
        fingerprint=_text(about.get("fingerprint")),
        n_way=spec.n_way,
        n_shot=spec.n_shot,
        n_query=spec.n_query,
        n_tasks=spec.n_tasks,
        seed=spec.seed,
        sampler=episodes.SAMPLER,
        task_digest=episodes.digest(tasks),
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


def _answer(question: Result, values: Tensor, tasks: NDArray[np.int32], out: Path, quiet: bool) -> Result:
    """Evaluate one question and write its result."""
    began = time.perf_counter()
    right = right_answers(values, tasks, question.n_shot, find_head(question.head), quiet=quiet)
    seconds = time.perf_counter() - began
    accuracy, half_width = stats.mean_and_half_width(right / (question.n_way * question.n_query))
    result = replace(
        question,
        accuracy=accuracy,
        half_width=half_width,
        evaluate_seconds=seconds,
        device=machine.device_name(values.device),
        versions=machine.versions(),
        commit=machine.commit(),
        correct=tuple(right.tolist()),
    )
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


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes, not by its name."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x89HDF"
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
