"""Sampler and digest: which images each few-shot task holds.

Task t is a function of the specification and t alone: its random numbers are a fixed block of a
counter-based stream (Philox, Salmon et al. 2011), so any slice of the list can be drawn by itself, in any
batch size and on any number of processes. NumPy keeps the raw stream of a bit generator fixed (NEP 19).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, unknown
from fsbench.tasks import _random
from fsbench.tasks.spec import TaskSpec

# The rule by which tasks are drawn, under another name when they change. uniform-1 drew the same places, but
# of items ordered by the names of their files; those of uniform-2 are ordered by content (`identity`).
SAMPLER = "uniform-2"
BLOCK = 4096  # tasks that are drawn at a time where a whole list is gone through
# class-table entries shuffled at once: fewer take more calls, more leave the caches
_ENTRIES_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class Tasks:
    """Some tasks, as item indices; -1 fills rows that are shorter than others."""

    support: NDArray[np.int32]  # (tasks, n_way, n_shot)
    query: NDArray[np.int32]  # (tasks, queries), class after class
    answers: NDArray[np.int16]  # (tasks, queries), which class of its task each query is of

    def __len__(self) -> int:
        return len(self.support)

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> "Tasks":
        return Tasks(self.support[rows], self.query[rows], self.answers[rows])

    @property
    def shots(self) -> NDArray[np.int64]:
        """Support images of each class, (tasks, n_way)."""
        counts: NDArray[np.int64] = np.count_nonzero(self.support >= 0, axis=2)
        return counts

    @property
    def queries(self) -> NDArray[np.int64]:
        """Query images of each task, (tasks,)."""
        counts: NDArray[np.int64] = np.count_nonzero(self.query >= 0, axis=1)
        return counts


def sample(
    labels: NDArray[np.integer],
    spec: TaskSpec,
    start: int = 0,
    stop: int | None = None,
    class_names: Sequence[str] = (),
) -> Tasks:
    """Draw tasks `start` to `stop` over sorted labels (n,); `class_names` are needed for `spec.classes`.

    Support and query of a class are one draw without replacement, so they cannot overlap. Every ordered
    choice of classes, and of items within a class, is equally likely (to 1 part in 2**32 a draw).

    Raises:
        FsbenchError: fewer classes than `n_way`, or a class smaller than `n_shot + n_query`.
    """
    assert (np.diff(labels) >= 0).all(), "labels are not sorted"
    first, sizes = _classes(labels, spec, class_names)
    if spec.disjoint:
        assert spec.n_query is not None
        per_class = spec.n_shot + spec.n_query
        items = _random.disjoint(
            tuple(first.tolist()), tuple(sizes.tolist()), spec.n_way, per_class, spec.n_tasks, spec.seed
        )[start:stop]
        shots = np.full(items.shape[:2], spec.n_shot)
        return _tasks(items, shots, np.full(items.shape[:2], spec.n_query), spec)
    stop = spec.n_tasks if stop is None else min(stop, spec.n_tasks)
    step = max(1, _ENTRIES_AT_ONCE // (spec.n_way * int(sizes.max()) + len(sizes)))
    parts = [
        _drawn(first, sizes, spec, begin, min(begin + step, stop)) for begin in range(start, stop, step)
    ] or [_drawn(first, sizes, spec, start, start)]
    return Tasks(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def count(labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str] = ()) -> int:
    """How many tasks there are, which is fewer than n_tasks where disjoint ones use up the images.

    Raises:
        FsbenchError: as `sample`, or fewer than two disjoint tasks.
    """
    found = len(sample(labels, spec, 0, spec.n_tasks if spec.disjoint else 0, class_names))
    if spec.disjoint and found < 2:
        raise FsbenchError(f"disjoint tasks {spec.name}: the images give {found}, but 2 are needed")
    return found if spec.disjoint else spec.n_tasks


def blocks(
    labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str] = (), at_once: int = BLOCK
) -> Iterator[Tasks]:
    """The whole list, `at_once` tasks at a time, so that its length does not matter for memory.

    They are drawn some thousand at a time, which takes two thirds of the time of as many small draws.
    """
    step = spec.n_tasks if spec.disjoint else at_once * max(1, BLOCK // at_once)
    for start in range(0, spec.n_tasks, step):
        tasks = sample(labels, spec, start, start + step, class_names)
        yield from (tasks[begin : begin + at_once] for begin in range(0, len(tasks), at_once))


def digest(labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str] = ()) -> str:
    """The SHA-256 of a task list, in hexadecimal: of each task its support, then its query, as int32."""
    found = hashlib.sha256()
    for tasks in blocks(labels, spec, class_names):
        found.update(rows_of(tasks).tobytes())
    return found.hexdigest()


def rows_of(tasks: Tasks) -> NDArray[np.int32]:
    """A row a task, (tasks, n_way * n_shot + queries): what digests are made of and lists are exported as."""
    return np.ascontiguousarray(np.hstack([tasks.support.reshape(len(tasks), -1), tasks.query]), dtype="<i4")


def _classes(
    labels: NDArray[np.integer], spec: TaskSpec, class_names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First item and number of items of each class that tasks are made of, once they suffice."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    if spec.classes:
        for name in spec.classes:
            if name not in class_names:
                raise unknown("class", name, class_names)
        wanted = sorted(list(class_names).index(name) for name in spec.classes)
        kept = np.isin(names, wanted)
        first, sizes = first[kept], sizes[kept]
    if spec.n_way > len(sizes):
        raise FsbenchError(f"n_way = {spec.n_way}, but the split has only {len(sizes)} classes")
    needed = spec.n_shot + (1 if spec.n_query is None else spec.n_query)
    if needed > sizes.min():
        what = "n_shot + 1" if spec.n_query is None else "n_shot + n_query"
        raise FsbenchError(f"{what} = {needed}, but the smallest class has only {sizes.min()} images")
    return first, sizes


def _drawn(
    first: NDArray[np.int64], sizes: NDArray[np.int64], spec: TaskSpec, start: int, stop: int
) -> Tasks:
    """Tasks `start` to `stop`, which are few enough to be shuffled at once."""
    n_way, n_shot, count = spec.n_way, spec.n_shot, stop - start
    largest = int(sizes.max())
    per_class = n_shot + (spec.n_query or 0)
    if spec.query_alpha is not None:  # all queries may fall to one class
        assert spec.n_query is not None
        per_class = min(n_shot + n_way * spec.n_query, largest)
    extra = (spec.query_alpha is not None) + (spec.least_shot is not None)
    random = _random.random_block(spec.seed, n_way * (1 + per_class + extra), start, stop)
    chosen = _random.ordered_subsets(np.full(count, len(sizes)), random[:, :n_way])  # (tasks, n_way) classes
    of_items = random[:, n_way : n_way * (1 + per_class)].reshape(count * n_way, per_class)
    items = _random.ordered_subsets(sizes[chosen.ravel()], of_items).reshape(count, n_way, per_class)
    rest = random[:, n_way * (1 + per_class) :].reshape(count, extra, n_way)
    shots = np.full((count, n_way), n_shot)
    if spec.least_shot is not None:
        choices = np.uint64(n_shot - spec.least_shot + 1)
        shots = spec.least_shot + ((rest[:, -1] * choices) >> np.uint64(32)).astype(np.int64)
    if spec.n_query is None:
        items = np.concatenate(
            [items, _random.others(items, shots, largest - (spec.least_shot or n_shot), largest)], axis=2
        )
        queries = sizes[chosen] - shots
    elif spec.query_alpha is None:
        queries = np.full((count, n_way), spec.n_query)
    else:
        room = np.minimum(sizes[chosen], per_class) - n_shot
        queries = _random.dirichlet_shares(rest[:, 0], spec.query_alpha, n_way * spec.n_query, room)
    return _tasks(items + first[chosen][:, :, None], shots, queries, spec)


def _tasks(
    items: NDArray[np.integer], shots: NDArray[np.integer], queries: NDArray[np.integer], spec: TaskSpec
) -> Tasks:
    """Tasks of items (tasks, n_way, places): of each class its first `shots`, then `queries` after n_shot."""
    count, n_way, places = items.shape
    support = items[:, :, : spec.n_shot].astype(np.int32)
    if spec.least_shot is not None:
        support[np.arange(spec.n_shot) >= shots[:, :, None]] = -1
    rest = items[:, :, spec.n_shot :]
    if spec.n_query is not None and spec.query_alpha is None:  # every class has as many
        given = np.repeat(np.arange(n_way, dtype=np.int16), spec.n_query)
        query = rest.reshape(count, len(given)).astype(np.int32)
        return Tasks(support, query, np.tile(given, (count, 1)))
    used = np.arange(places - spec.n_shot) < queries[:, :, None]
    if spec.n_query is not None:  # all tasks have as many queries
        width = n_way * spec.n_query
        query = rest[used].reshape(count, width).astype(np.int32)
        answers = np.nonzero(used)[1].reshape(count, width).astype(np.int16)
        return Tasks(support, query, answers)
    place = used.reshape(count, n_way * (places - spec.n_shot))
    order = np.argsort(~place, axis=1, kind="stable")  # what is used comes first, in its order
    query = np.take_along_axis(np.where(place, rest.reshape(place.shape), -1), order, axis=1).astype(np.int32)
    answers = np.repeat(np.arange(n_way, dtype=np.int16), places - spec.n_shot)[order]
    return Tasks(support, query, np.where(query < 0, np.int16(-1), answers))
