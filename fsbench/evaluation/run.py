"""From a checkpoint or a feature file to results: one a data set, task list and head."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench import stats
from fsbench._util import machine
from fsbench._util.errors import FsbenchError, enough_memory
from fsbench._util.session import Session
from fsbench._util.validation import Wrong
from fsbench.evaluation import results
from fsbench.evaluation.breakdown import details
from fsbench.evaluation.inference import Mapped, answers, right
from fsbench.evaluation.results import Result
from fsbench.evaluation.subjects import Target, preprocessing, statistics_of, targets
from fsbench.heads import find_head
from fsbench.heads.distribution_calibration import BaseStatistics
from fsbench.heads.preprocess import NEEDS_BASE_MEAN, find_preprocess
from fsbench.models.pretrained import Frozen
from fsbench.tasks import pinned as tasklists
from fsbench.tasks import sampler
from fsbench.tasks.pinned import TaskList
from fsbench.tasks.sampler import Tasks
from fsbench.tasks.spec import TaskSpec

USUAL = (TaskSpec(n_shot=1), TaskSpec(n_shot=5))


@dataclass(frozen=True)
class Output:
    """Where results go and what becomes of those that are there."""

    folder: Path | None = Path("results")  # None: written nowhere
    force: bool = False  # make results again that are there
    details: bool = False  # tables of classes, their confusion and the hardest tasks beside each new result


def evaluate(
    subject: Path | Frozen | Target,
    *,
    specs: Sequence[TaskSpec] = USUAL,
    task_lists: Sequence[str] = (),
    datasets: Sequence[str] = (),
    split: str = "novel",
    heads: Sequence[str] = ("nearest-mean",),
    preprocess: Sequence[str] = (),
    base: Path | None = None,
    session: Session,
    output: Output = Output(),
) -> list[Result]:
    """Evaluate a checkpoint or a feature file, one result a combination, each written as a file.

    A checkpoint is evaluated on every data set of `datasets` (its own when there is none), a feature file on
    the one it was made from. `task_lists` names pinned lists, which take the place of `specs` and are refused
    for images that they were not pinned over. Without `preprocess` each head uses its own. All arguments are
    checked before the first result is made; one that is there already is read, not made again.

    Raises:
        FsbenchError: an argument that no result can be made for.
    """
    pinned = [tasklists.read(name) for name in task_lists]
    chosen = [(name, step) for name in heads for step in preprocess or [find_head(name).preprocess]]
    for name, step in chosen:
        find_head(name)
        find_preprocess(step)
    found = targets(
        subject,
        datasets,
        split,
        needs=frozenset(
            {"mean" for _, step in chosen if step in NEEDS_BASE_MEAN}
            | {"features" for name, _ in chosen if find_head(name).needs_base}
        ),
        base=base,
        session=session,
    )
    asked = [_specs(target, split, [tasks.spec for tasks in pinned] or specs, pinned) for target in found]
    return [
        result
        for target, of_target in zip(found, asked, strict=True)
        for name, step in chosen
        for result in _results(
            target, [_question(target, spec, name, step, split) for spec in of_target], session, output
        )
    ]


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
        tasks.check(labels, names, target.features.identity)
    return [replace(spec, n_tasks=sampler.count(labels, spec, names)) for spec in asked]


def _results(target: Target, questions: Sequence[Result], session: Session, output: Output) -> list[Result]:
    """The results of questions that differ in their tasks alone, those that are there among them."""
    again = output.force or output.details
    found = [None if again else _known(output.folder, question) for question in questions]
    if all(found):
        return [result for result in found if result]
    head = questions[0].head
    with enough_memory(f"head {head}", "results so far are kept; free some of it, or use another --device"):
        values = _preprocessed(target, questions[0].preprocess, session.device)
        base = statistics_of(target, session.device) if find_head(head).needs_base else None
        return [
            result or _answer(question, target, values, base, session.quiet, output)
            for question, result in zip(questions, found, strict=True)
        ]


def _preprocessed(target: Target, step: str, device: torch.device) -> Tensor | Mapped:
    """The target's features as a head gets them, on the device, shape (n, d)."""
    values, preprocess = target.features.values, preprocessing(step, target, device)
    if isinstance(values, np.memmap):
        return Mapped(values, device, preprocess)
    return preprocess(torch.from_numpy(values).to(device))


def _question(target: Target, spec: TaskSpec, head: str, step: str, split: str) -> Result:
    """A result whose outcome is still open."""
    about, made_by, entry = target.features.about, target.provenance, find_head(head)
    settings = made_by.get("settings", {})
    question = Result(
        dataset=str(about.get("dataset")),
        split=split,
        fingerprint=_text(about.get("fingerprint")),
        **vars(spec),
        sampler=sampler.SAMPLER,
        run=target.run,
        source=made_by.get("source"),
        source_fingerprint=made_by.get("source_fingerprint"),
        source_classes=(
            len(made_by["class_names"]) if "class_names" in made_by else made_by.get("source_classes")
        ),
        per_class=made_by.get("per_class"),
        seen=_text(about.get("seen") or None),
        image_size=made_by.get("image_size"),
        stored_size=_integer(about.get("stored_size")),
        backbone=made_by.get("backbone"),
        dropout=made_by.get("dropout"),
        recipe=made_by.get("recipe"),
        preset=made_by.get("preset"),
        overrides=", ".join(settings["overrides"]) if settings else None,
        classifier=settings.get("classifier"),
        epochs=made_by.get("epochs"),
        epoch=made_by.get("epoch"),
        best_epoch=made_by.get("best_epoch"),
        train_seed=made_by.get("train_seed"),
        precision=made_by.get("precision"),
        checkpoint=_text(about.get("checkpoint")),
        transform=_text(about.get("transform")),
        feature_digest=target.digest,
        base_digest=_base_digest(target, head, step),
        head=head,
        head_code=entry.code,
        preprocess=step,
        transductive=entry.transductive,
        class_prior=entry.class_prior,
        synthetic=bool(about.get("synthetic", False)),
        interval=stats.DISJOINT_INTERVAL if spec.disjoint else stats.INTERVAL,
        **{**results.OPEN, "extract_seconds": about.get("seconds")},
    )
    try:
        results.refuse_absurd(question)
    except Wrong as error:
        raise FsbenchError(f"{target.run}: {error}") from error
    return question


def _answer(
    question: Result,
    target: Target,
    values: Tensor | Mapped,
    base: BaseStatistics | None,
    quiet: bool,
    output: Output,
) -> Result:
    """Evaluate one question and write its result."""
    began = time.perf_counter()
    labels, names, head = target.features.labels, target.features.class_names, find_head(question.head)
    digest = hashlib.sha256()
    correct: list[int] = []
    queries: list[int] = []
    classes: list[NDArray[np.integer]] = []
    kept: list[tuple[Tasks, NDArray[np.int16]]] = []
    for tasks, given in answers(
        values, labels, question.spec, head, class_names=names, base=base, quiet=quiet
    ):
        digest.update(sampler.rows_of(tasks).tobytes())
        correct += right(tasks, given).tolist()
        queries += tasks.queries.tolist()
        classes.append(labels[tasks.support[:, :, 0]])
        if output.details:
            kept.append((tasks, given))
    result = replace(
        question,
        task_digest=digest.hexdigest(),
        correct=tuple(correct),
        queries=queries[0] if len(set(queries)) == 1 else tuple(queries),
        evaluate_seconds=time.perf_counter() - began,
        device=machine.device_name(values.device),
        versions=machine.versions(),
        commit=machine.commit(),
    )
    accuracy, half_width = stats.mean_and_half_width(result.accuracies)
    class_values = _class_values(result.accuracies, np.concatenate(classes))
    result = replace(
        result,
        accuracy=accuracy,
        half_width=half_width,
        class_half_width=None if class_values is None else stats.mean_and_half_width(class_values)[1],
        class_values=class_values,
    )
    if output.folder is not None:
        path = results.write(output.folder, result)
        if output.details:
            details(kept, labels, names).write(path)
    return result


def _class_values(accuracies: NDArray[np.float64], classes: NDArray[np.integer]) -> tuple[float, ...] | None:
    """The value of each class, in class order, to 9 decimals; None where a class is in every task."""
    in_tasks = np.unique(classes, return_counts=True)[1]
    if in_tasks.max() == len(accuracies):
        return None
    return tuple(stats.class_values(accuracies, classes).round(9).tolist())


def _known(out: Path | None, question: Result) -> Result | None:
    """The result that `out` holds for this question; one for other features or tasks does not count."""
    path = out and out / question.path
    if path is None or not path.exists():
        return None
    found = results.read(path)
    return found if found.same_question(question) else None


def _base_digest(target: Target, head: str, step: str) -> str | None:
    """The digest of the base features that a result depends on; None where it depends on none."""
    if step not in NEEDS_BASE_MEAN and not find_head(head).needs_base:
        return None
    return target.base_digest


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
