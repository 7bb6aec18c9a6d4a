"""Evaluate a checkpoint or a feature file: one result for each data set, task list and head."""

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
from fsbench._util.errors import FsbenchError, memory_advice
from fsbench._util.session import Session as Session
from fsbench._util.untrusted import InvalidValueError
from fsbench.evaluation import result_files
from fsbench.evaluation.inference import MappedFeatures, count_correct, predictions
from fsbench.evaluation.methods import Method, find_methods, questions_of
from fsbench.evaluation.result import Data, HeadSettings, Outcome, Question, Result, Task
from fsbench.evaluation.subjects import (
    Images,
    Subject,
    check_subject,
    load_subjects,
    preprocessing,
    statistics_of,
)
from fsbench.heads import Head
from fsbench.heads.base import BaseStatistics
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.tasks import sampler
from fsbench.tasks.pinned import TaskList
from fsbench.tasks.sampler import Tasks
from fsbench.tasks.spec import TaskSpec

DEFAULT_TASKS = (TaskSpec(n_shot=1), TaskSpec(n_shot=5))


@dataclass(frozen=True)
class Output:
    """The output of an evaluation.

    Attributes:
        folder: Results folder; None: results are not written.
        force: Whether to compute existing results again.
        details: Whether to write tables of the classes, their confusion and the hardest tasks beside each
            result.
    """

    folder: Path | None = Path("results")
    force: bool = False
    details: bool = False


def evaluate(
    subject: Path | FeatureExtractor | Subject,
    tasks: Sequence[TaskSpec | TaskList] = DEFAULT_TASKS,
    heads: Sequence[str] = ("nearest-mean",),
    *,
    preprocess: Sequence[str] = (),
    images: Images = Images(),
    session: Session,
    output: Output = Output(),
) -> list[Result]:
    """Evaluate features on few-shot tasks and write one result file per combination.

    All arguments are checked before the first result is computed. Existing results are read, not computed
    again. Repeated values count once.

    Args:
        subject: A checkpoint, a feature file, a backbone, or features in memory.
        tasks: Specifications or pinned lists; a list is refused for images other than those it is pinned to.
        heads: Names of heads, or functions such as `./mine.py:head`, each with its settings if they are not
            the defaults, such as `cosine-sgd:epochs=100`. A setting `balanced` that is not given is False for
            tasks without `TaskSpec.balanced`.
        preprocess: Names of preprocessing steps, each combined with each head; empty: the default of each
            head.
        images: Data sets, split and base features.
        session: Cache, device and progress.
        output: Where results are written.

    Returns:
        The results, by data set, head with its settings, preprocessing and tasks.

    Raises:
        FsbenchError: An argument is unknown or does not fit the others.
    """
    require_values(tasks=tasks, heads=heads)
    methods = find_methods(heads, preprocess)
    images = replace(images, datasets=tuple(dict.fromkeys(images.datasets)))
    greatest = max(methods, key=lambda method: method.need)
    subjects = load_subjects(subject, images, greatest.need, session, needed_by=str(greatest))
    specs = [list(dict.fromkeys(_spec(loaded, images.split, task) for task in tasks)) for loaded in subjects]
    return [
        result
        for loaded, subject_specs in zip(subjects, specs, strict=True)
        for method, own_specs in questions_of(methods, subject_specs).items()
        for result in _results(loaded, images.split, own_specs, method, session, output)
    ]


def check_subjects(
    subjects: Sequence[Path | FeatureExtractor],
    heads: Sequence[str],
    *,
    preprocess: Sequence[str] = (),
    images: Images = Images(),
    session: Session,
) -> None:
    """Check all subjects before the first is evaluated, so that a wrong one costs no finished work.

    Args:
        subjects: Checkpoints, folders of runs, feature files or backbones.
        heads: Names of heads, as for `evaluate`.
        preprocess: Names of preprocessing steps, as for `evaluate`.
        images: Data sets, split and base features.
        session: Cache, device and progress.

    Raises:
        FsbenchError: A subject or its images cannot be read, or a head is unknown.
    """
    require_values(heads=heads)
    greatest = max(find_methods(heads, preprocess), key=lambda method: method.need)
    for subject in subjects:
        check_subject(subject, images, greatest.need, session, needed_by=str(greatest))


def require_values(**arguments: Sequence[object]) -> None:
    """Refuse arguments that are empty lists.

    Raises:
        FsbenchError: One is; the message names it.
    """
    for name, values in arguments.items():
        if not values:
            raise FsbenchError(f"{name} must have at least one value, but is empty")


def _spec(subject: Subject, split: str, task: TaskSpec | TaskList) -> TaskSpec:
    """Return the specification with the actual number of tasks; refuse tasks that do not fit the images."""
    labels, names = subject.features.labels, subject.features.class_names
    dataset = subject.features.origin.dataset
    if isinstance(task, TaskList):
        if (task.dataset, task.split) != (dataset, split):
            raise FsbenchError(f"--tasks: the list is for {task.dataset} {task.split}, not {dataset} {split}")
        task.check(labels, names, subject.features.identity)
        task = task.spec
    return replace(task, n_tasks=sampler.count(labels, task, names))


def _results(
    subject: Subject,
    split: str,
    specs: Sequence[TaskSpec],
    method: Method,
    session: Session,
    output: Output,
) -> list[Result]:
    """Evaluate one head with several specifications; existing results are read."""
    questions = [_question(subject, split, spec, method) for spec in specs]
    recompute = output.force or output.details
    existing = [None if recompute else _existing(output.folder, question) for question in questions]
    if all(existing):
        return [result for result in existing if result]
    advice = "results so far are kept; free some of it, or use another --device"
    with memory_advice(f"head {method.text}", advice):
        device = machine.device_of_heads(session.device)
        values = _preprocessed(subject, method.preprocess, device)
        base = statistics_of(subject.base, device) if method.head.needs_base else None
        return [
            result or _answer(question, subject, values, base, method.head, session, output)
            for question, result in zip(questions, existing, strict=True)
        ]


def _preprocessed(subject: Subject, step: str, device: torch.device) -> Tensor | MappedFeatures:
    """Return the preprocessed features of a subject on the device, (n, d)."""
    values, preprocess = subject.features.values, preprocessing(step, subject.base_mean, device)
    if isinstance(values, np.memmap):
        return MappedFeatures(values, device, preprocess)
    return preprocess(torch.from_numpy(values).to(device))


def _question(subject: Subject, split: str, spec: TaskSpec, method: Method) -> Question:
    """Return the question of one evaluation; refuse names that cannot be part of a path."""
    origin, head = subject.features.origin, method.head
    question = Question(
        task=Task(spec=spec, sampler=sampler.SAMPLER),
        data=Data(
            dataset=str(origin.dataset),
            split=split,
            fingerprint=origin.fingerprint,
            stored_size=origin.stored_size,
            synthetic=bool(origin.synthetic),
            seen=origin.seen or None,
            feature_digest=subject.features.digest,
        ),
        model=subject.model,
        head=HeadSettings(
            name=method.name,
            preprocess=method.preprocess,
            transductive=head.transductive,
            class_prior=head.class_prior,
            code=head.code,
            base_digest=subject.base_digest if method.need else None,
            settings=head.settings,
        ),
    )
    try:
        result_files.check_names(question)
    except InvalidValueError as error:
        raise FsbenchError(f"{subject.model.run}: {error}") from error
    return question


def _answer(
    question: Question,
    subject: Subject,
    values: Tensor | MappedFeatures,
    base: BaseStatistics | None,
    head: Head,
    session: Session,
    output: Output,
) -> Result:
    """Evaluate one question and write its result."""
    began = time.perf_counter()
    labels, names, spec = subject.features.labels, subject.features.class_names, question.task.spec
    digest = hashlib.sha256()
    correct: list[int] = []
    queries: list[int] = []
    classes: list[NDArray[np.integer]] = []
    kept: list[tuple[Tasks, NDArray[np.int16]]] = []
    batches = predictions(values, labels, spec, head, class_names=names, base=base, quiet=session.quiet)
    for tasks, predicted in batches:
        digest.update(sampler.rows_of(tasks).tobytes())
        correct += count_correct(tasks, predicted).tolist()
        queries += tasks.queries.tolist()
        classes.append(labels[tasks.support[:, :, 0]])
        if output.details:
            kept.append((tasks, predicted))
    accuracies = np.asarray(correct) / np.asarray(queries)
    accuracy, half_width = stats.mean_and_half_width(accuracies)
    class_values = _class_values(accuracies, np.concatenate(classes))
    outcome = Outcome(
        task_digest=digest.hexdigest(),
        accuracy=accuracy,
        half_width=half_width,
        interval=stats.DISJOINT_INTERVAL if spec.disjoint else stats.INTERVAL,
        class_half_width=None if class_values is None else stats.mean_and_half_width(class_values)[1],
        class_values=class_values,
        extract_seconds=subject.features.origin.seconds,
        evaluate_seconds=time.perf_counter() - began,
        device=machine.device_name(values.device),
        versions=machine.versions(),
        commit=machine.commit(),
        queries=queries[0] if len(set(queries)) == 1 else tuple(queries),
        correct=tuple(correct),
    )
    result = Result(**vars(question), outcome=outcome)
    if output.folder is not None:
        path = result_files.write(output.folder, result)
        if output.details:
            from fsbench.evaluation.breakdown import breakdown  # here, since it imports pandas

            breakdown(kept, labels, names).write(path)
    return result


def _class_values(accuracies: NDArray[np.float64], classes: NDArray[np.integer]) -> tuple[float, ...] | None:
    """Return the value of each class, in class order, to 9 decimals; None if a class is in every task."""
    in_tasks = np.unique(classes, return_counts=True)[1]
    if in_tasks.max() == len(accuracies):
        return None
    return tuple(stats.class_values(accuracies, classes).round(9).tolist())


def _existing(folder: Path | None, question: Question) -> Result | None:
    """Read the result of exactly this question; None if there is no file or it is of another question."""
    path = folder and folder / question.path
    if path is None or not path.exists():
        return None
    result = result_files.read(path)
    return result if result.question == question else None
