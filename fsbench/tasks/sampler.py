"""Sampler and digest: which images each few-shot task contains.

Task t is a function of the specification and t alone: its random numbers are a fixed block of a
counter-based stream (Philox, Salmon et al. 2011). So any part of the list can be drawn by itself, in any
batch size and on any number of processes. NumPy keeps the raw stream of a bit generator fixed (NEP 19).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, unknown
from fsbench.tasks import _draw
from fsbench.tasks.spec import TaskSpec

# Name of the rule by which tasks are drawn; it changes whenever the tasks do. uniform-1 drew the same places,
# but of items ordered by file name; items of uniform-2 are ordered by content (`fsbench.data.identity`).
SAMPLER = "uniform-2"
BLOCK = 4096  # tasks drawn at a time when a whole list is traversed
# Class-table entries shuffled together: with fewer there are more calls, with more they leave the caches.
_ENTRIES_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class Tasks:
    """A batch of tasks as indices of items; -1 pads rows that are shorter than others.

    A slice or a boolean mask selects tasks: `tasks[:10]`.

    Attributes:
        support: Support items of each class, (tasks, n_way, n_shot).
        query: Query items, class after class, (tasks, queries).
        answers: Which class of its task each query belongs to, 0 to n_way - 1, (tasks, queries).
    """

    support: NDArray[np.int32]
    query: NDArray[np.int32]
    answers: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.support)

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> "Tasks":
        return Tasks(self.support[rows], self.query[rows], self.answers[rows])

    @property
    def shots(self) -> NDArray[np.int64]:
        """Number of support images of each class, (tasks, n_way)."""
        counts: NDArray[np.int64] = np.count_nonzero(self.support >= 0, axis=2)
        return counts

    @property
    def queries(self) -> NDArray[np.int64]:
        """Number of query images of each task, (tasks,)."""
        counts: NDArray[np.int64] = np.count_nonzero(self.query >= 0, axis=1)
        return counts


def sample(
    labels: NDArray[np.integer],
    spec: TaskSpec,
    start: int = 0,
    stop: int | None = None,
    class_names: Sequence[str] = (),
) -> Tasks:
    """Draw tasks `start` to `stop` of a list.

    Support and query of a class are one draw without replacement, so they cannot overlap. Every ordered
    choice of classes, and of items within a class, is equally likely (to 1 part in 2**32 per draw).

    Args:
        labels: Class of each item, sorted, (n,).
        spec: What the tasks look like.
        start: First task, 0 or more.
        stop: Task after the last one; None, or a number beyond the end of the list: the end of the list.
        class_names: Name of each label; needed if `spec.classes` selects classes.

    Returns:
        The tasks. `support` and `query` index `labels`.

    Raises:
        FsbenchError: There are fewer classes than `n_way`, a class is too small, or a class is unknown.

    Example:
        >>> import numpy as np
        >>> labels = np.repeat(np.arange(20), 30)
        >>> tasks = sample(labels, TaskSpec(n_way=5, n_shot=1, n_query=15, n_tasks=100))
        >>> tasks.support.shape, tasks.query.shape
        ((100, 5, 1), (100, 75))
        >>> bool((labels[tasks.support[0, :, 0]][tasks.answers[0]] == labels[tasks.query[0]]).all())
        True
    """
    assert (np.diff(labels) >= 0).all(), "labels are not sorted"
    first, sizes = _classes(labels, spec, class_names)
    if spec.disjoint:
        return Tasks(*_draw.draw_disjoint(first, sizes, spec, slice(start, stop)))
    stop = spec.n_tasks if stop is None else min(stop, spec.n_tasks)
    step = max(1, _ENTRIES_AT_ONCE // (spec.n_way * int(sizes.max()) + len(sizes)))
    parts = [
        _draw.draw(first, sizes, spec, begin, min(begin + step, stop)) for begin in range(start, stop, step)
    ] or [_draw.draw(first, sizes, spec, start, start)]
    return Tasks(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def count(labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str] = ()) -> int:
    """Count the tasks of a list: `n_tasks`, or fewer if disjoint tasks use up the images.

    Args:
        labels: Class of each item, sorted, (n,).
        spec: What the tasks look like.
        class_names: Name of each label; needed if `spec.classes` selects classes.

    Returns:
        The number of tasks, 2 or more.

    Raises:
        FsbenchError: As `sample`, or there are fewer than two disjoint tasks.

    Example:
        >>> import numpy as np
        >>> count(np.repeat(np.arange(20), 30), TaskSpec(n_shot=1, n_query=14, disjoint=True))
        8
    """
    if not spec.disjoint:
        _classes(labels, spec, class_names)
        return spec.n_tasks
    n_tasks = len(sample(labels, spec, class_names=class_names))
    if n_tasks < 2:
        raise FsbenchError(f"disjoint tasks {spec.name}: the images give {n_tasks}, but 2 are needed")
    return n_tasks


def blocks(
    labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str] = (), at_once: int = BLOCK
) -> Iterator[Tasks]:
    """Draw the whole list block by block, so that memory does not depend on its length.

    Small blocks are cut from larger draws, which takes two thirds of the time of as many small draws.

    Args:
        labels: Class of each item, sorted, (n,).
        spec: What the tasks look like.
        class_names: Name of each label; needed if `spec.classes` selects classes.
        at_once: Tasks per block, 1 or more.

    Yields:
        Blocks of `at_once` tasks, in the order of the list; the last one may be shorter.

    Raises:
        FsbenchError: As `sample`.

    Example:
        >>> import numpy as np
        >>> [len(tasks) for tasks in blocks(np.repeat(np.arange(20), 30), TaskSpec(n_tasks=10), at_once=4)]
        [4, 4, 2]
    """
    step = spec.n_tasks if spec.disjoint else at_once * max(1, BLOCK // at_once)
    for start in range(0, spec.n_tasks, step):
        tasks = sample(labels, spec, start, start + step, class_names)
        yield from (tasks[begin : begin + at_once] for begin in range(0, len(tasks), at_once))


def digest(labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str] = ()) -> str:
    """Compute the digest of a task list; equal digests mean the same tasks.

    Args:
        labels: Class of each item, sorted, (n,).
        spec: What the tasks look like.
        class_names: Name of each label; needed if `spec.classes` selects classes.

    Returns:
        SHA-256 of `rows_of` all tasks, in hexadecimal.

    Raises:
        FsbenchError: As `sample`.

    Example:
        >>> import numpy as np
        >>> digest(np.repeat(np.arange(20), 30), TaskSpec(n_tasks=100))[:16]
        '69c4aff2d2a96f4e'
    """
    sha = hashlib.sha256()
    for tasks in blocks(labels, spec, class_names):
        sha.update(rows_of(tasks).tobytes())
    return sha.hexdigest()


def rows_of(tasks: Tasks) -> NDArray[np.int32]:
    """Arrange each task as one row of items, support before query. Digests are computed from these rows.

    Args:
        tasks: A batch of tasks.

    Returns:
        Little-endian int32, (tasks, n_way * n_shot + queries).

    Example:
        >>> import numpy as np
        >>> rows_of(sample(np.repeat(np.arange(20), 30), TaskSpec(n_tasks=10))).shape
        (10, 80)
    """
    return np.ascontiguousarray(np.hstack([tasks.support.reshape(len(tasks), -1), tasks.query]), dtype="<i4")


def _classes(
    labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first item and number of items of each class to draw from; refuse what `spec` cannot use."""
    classes, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    if spec.classes:
        for name in spec.classes:
            if name not in class_names:
                raise unknown("class", name, class_names)
        kept = np.isin(classes, [list(class_names).index(name) for name in spec.classes])
        classes, first, sizes = classes[kept], first[kept], sizes[kept]
    if spec.n_way > len(sizes):
        count = f"{len(sizes)} class{'es' * (len(sizes) != 1)}"
        raise FsbenchError(f"n_way = {spec.n_way}, but the split has only {count}")
    needed = spec.n_shot + (1 if spec.n_query is None else spec.n_query)
    smallest = sizes.argmin()
    if needed > sizes[smallest]:
        total = "n_shot + 1" if spec.n_query is None else "n_shot + n_query"
        label = int(classes[smallest])
        name = f" ({class_names[label]})" if label < len(class_names) else ""
        size = int(sizes[smallest])
        count = f"{size} image{'s' * (size != 1)}"
        possible = size > spec.n_shot and spec.n_query is not None
        advice = f"use --n-query {size - spec.n_shot}" if possible else "use a smaller --n-shot"
        raise FsbenchError(
            f"{total} = {needed}, but the smallest class has only {count}{name}; "
            f"{advice}, or leave out small classes with --classes"
        )
    return first, sizes
