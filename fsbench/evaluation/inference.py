"""Predict the queries of all tasks with a head, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.machine import free_memory
from fsbench._util.progress import progress
from fsbench._util.rng import stream_seed
from fsbench._util.threads import map_single_threaded
from fsbench.heads.base import BaseStatistics
from fsbench.heads.by_rows import BY_ROWS, Rows, is_for_kernels
from fsbench.heads.head import Head
from fsbench.tasks import sampler
from fsbench.tasks.sampler import Tasks
from fsbench.tasks.spec import TaskSpec

# Bytes of a batch: of gathered features, or of what a head allocates that reads features where they are.
# Heads need some three times as much in addition, with hundreds of queries per class up to thirteen times. On
# a CPU, calls of torch take much of the time of a small batch: with 1 << 25, logistic regression takes 1.3
# times as long. A GPU needs many tasks at once.
_LARGEST_BATCH = {"cpu": 1 << 26, "cuda": 1 << 28}


@dataclass(frozen=True, eq=False)
class MappedFeatures:
    """Features that do not fit into memory, with those methods of a tensor that `predictions` uses.

    Attributes:
        stored: Features, (n, d), mapped from a file.
        device: Device to which rows are read.
        preprocess: Preprocessing of rows (m, d), independent for each row.
    """

    stored: NDArray[np.float32]
    device: torch.device
    preprocess: Callable[[Tensor], Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.stored.shape

    @property
    def itemsize(self) -> int:
        """Bytes per value."""
        return self.stored.itemsize

    def index_select(self, _: int, rows: Tensor) -> Tensor:
        """Read and preprocess rows (m,), (m, d)."""
        return self.preprocess(torch.from_numpy(self.stored[rows.cpu().numpy()]).to(self.device))


def predictions(
    values: Tensor | MappedFeatures,
    labels: NDArray[np.integer],
    spec: TaskSpec,
    head: Head,
    *,
    class_names: Sequence[str] = (),
    base: BaseStatistics | None = None,
    quiet: bool = True,
) -> Iterator[tuple[Tasks, NDArray[np.int16]]]:
    """Draw tasks and predict their queries, batch by batch.

    The number of tasks in a batch depends on free memory. On a CPU it does not affect predictions; on other
    devices it can, if the logits of two classes are equal up to rounding.

    Args:
        values: Preprocessed features, (n, d).
        labels: Their sorted labels, (n,).
        spec: The tasks.
        head: The few-shot classifier.
        class_names: Names of the classes; needed if `spec.classes` selects classes.
        base: Statistics of base features, for heads that need them.
        quiet: Whether no progress is shown.

    Yields:
        A batch of tasks and the predicted classes, (tasks, queries), -1 where there is no query.

    Raises:
        FsbenchError: There are too few classes or images for such tasks, or the head cannot take them.
    """
    if spec.least_shot is not None and not head.uneven:
        raise FsbenchError(
            f"head {head.paper}: needs the same number of shots in every class, not {spec.name}"
        )
    at_once = _tasks_at_once(values, labels, spec, head)
    seed = stream_seed(spec.seed, "head")
    first = 0
    with progress("evaluate", spec.n_tasks, "tasks", quiet=quiet) as bar:
        for tasks in sampler.blocks(labels, spec, class_names, at_once):
            keys = torch.arange(first, first + len(tasks)) + seed
            yield tasks, _predict(values, tasks, keys, head, base)
            first += len(tasks)
            bar.update(len(tasks))


def accuracies(
    values: Tensor, labels: NDArray[np.integer], spec: TaskSpec, head: Head
) -> NDArray[np.float64]:
    """Compute the accuracy of each task.

    Args:
        values: Preprocessed features, (n, d).
        labels: Their sorted labels, (n,).
        spec: The tasks.
        head: The few-shot classifier.

    Returns:
        Accuracies, (tasks,), 0 to 1.
    """
    batches = predictions(values, labels, spec, head)
    parts = [count_correct(tasks, predicted) / tasks.queries for tasks, predicted in batches]
    return np.concatenate(parts)


def count_correct(tasks: Tasks, predicted: NDArray[np.int16]) -> NDArray[np.int64]:
    """Count the correct predictions of each task, (tasks,); `predicted` is (tasks, queries)."""
    counts: NDArray[np.int64] = np.count_nonzero((predicted == tasks.answers) & (tasks.query >= 0), axis=1)
    return counts


def _tasks_at_once(
    values: Tensor | MappedFeatures, labels: NDArray[np.integer], spec: TaskSpec, head: Head
) -> int:
    """Return how many tasks are predicted together."""
    per_class = int(np.bincount(labels).max()) if spec.n_query is None else spec.n_shot + spec.n_query
    images, d = spec.n_way * per_class, values.shape[1]
    if _by_rows(values, head) is None:
        bytes_per_task = images * d * values.itemsize
    else:  # logits and row numbers
        bytes_per_task = images * (4 * spec.n_way + 16)
    largest = _LARGEST_BATCH.get(values.device.type, 1 << 26)
    return max(1, min(largest, free_memory(values.device) // 16) // bytes_per_task)


def _predict(
    values: Tensor | MappedFeatures, tasks: Tasks, keys: Tensor, head: Head, base: BaseStatistics | None
) -> NDArray[np.int16]:
    """Predict the queries of tasks; tasks with the same number of queries are classified together."""
    queries = tasks.queries
    if (queries == tasks.query.shape[1]).all():
        return _classify(values, tasks, keys, head, base)
    predicted = np.full(tasks.query.shape, -1, dtype=np.int16)
    for count in np.unique(queries):
        same = queries == count
        part = Tasks(tasks.support[same], tasks.query[same, :count], tasks.answers[same, :count])
        predicted[same, :count] = _classify(values, part, keys[torch.from_numpy(same)], head, base)
    return predicted


def _classify(
    values: Tensor | MappedFeatures, tasks: Tasks, keys: Tensor, head: Head, base: BaseStatistics | None
) -> NDArray[np.int16]:
    """Predict the queries of tasks with equal numbers of queries, (tasks, queries)."""
    try:
        logits = _logits(values, tasks, keys, head, base)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise FsbenchError(
            f"head {head.paper}: cannot solve its equations for these features; scale them, for example with "
            "--preprocess l2"
        ) from error
    # One thread: another one of torch would wait actively, while threads of the next batch need its core.
    # And argmax is twenty times as slow as max if classes are not the last axis in memory.
    (best,) = map_single_threaded(lambda scores: scores.max(dim=-1), [logits])
    if best.values.isnan().any():
        raise FsbenchError(
            f"head {head.paper}: has scores that are not numbers; scale the features, for example with "
            "--preprocess l2"
        )
    return best.indices.to(torch.int16).cpu().numpy()


def _logits(
    values: Tensor | MappedFeatures, tasks: Tasks, keys: Tensor, head: Head, base: BaseStatistics | None
) -> Tensor:
    """Return the logits of tasks with equal numbers of queries, (tasks, queries, n_way)."""
    device = values.device
    support, query = (torch.from_numpy(rows).to(device) for rows in (tasks.support.clip(0), tasks.query))
    by_rows = _by_rows(values, head)
    if by_rows is not None and isinstance(values, Tensor):
        rows = Rows(values, support.long(), torch.from_numpy(tasks.shots), values, query.long())
        return by_rows(rows, **{**head.defaults, **head.settings})
    shots = None
    if head.uneven and (tasks.support < 0).any():
        shots = torch.from_numpy(tasks.shots).to(device)
    points, queries = _gather(values, support), _gather(values, query)
    return head(points, queries, keys=keys.to(device), shots=shots, base=base)


def _by_rows(values: Tensor | MappedFeatures, head: Head) -> Callable[[Rows], Tensor] | None:
    """Return the function that computes a head from features where they are, if it has one for them."""
    return BY_ROWS.get(head.classify) if isinstance(values, Tensor) and is_for_kernels(values) else None


def _gather(values: Tensor | MappedFeatures, rows: Tensor) -> Tensor:
    """Return the rows of `values` (n, d) for indices `rows` (...), (..., d)."""
    return values.index_select(0, rows.flatten()).view(*rows.shape, values.shape[1])
