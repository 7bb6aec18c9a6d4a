"""Task specification, sampler and digest: which images each few-shot task holds.

Task t is a function of the specification and t alone: its random numbers are a fixed block of a
counter-based stream (Philox, Salmon et al. 2011), so any slice of the list can be drawn by itself, in any
batch size and on any number of processes. NumPy keeps the raw stream of a bit generator fixed (NEP 19).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsbench.errors import FsbenchError

SAMPLER = "uniform-1"  # the rule of `sample`; another name when its lists change
_STREAM = 0xF5BE7C4  # second key word: keeps these numbers apart from other uses of the same seed
_ENTRIES_AT_ONCE = 1 << 19  # class-table entries shuffled at once: 2 MiB, which a core keeps in its cache


@dataclass(frozen=True)
class TaskSpec:
    """What is asked: tasks of `n_way` classes with `n_shot` support and `n_query` query images a class."""

    n_way: int = 5
    n_shot: int = 1
    n_query: int = 15
    n_tasks: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no data set could satisfy."""
        for name, least in (("n_way", 2), ("n_shot", 1), ("n_query", 1), ("n_tasks", 2), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise FsbenchError(f"{name} must be at least {least}, but is {value}")
        if self.seed >= 1 << 64:
            raise FsbenchError(f"seed must be below 2**64, but is {self.seed}")

    @property
    def per_class(self) -> int:
        """Images of one class in one task: support and query together."""
        return self.n_shot + self.n_query

    @property
    def name(self) -> str:
        """The field's short form, such as `5w1s15q`."""
        return f"{self.n_way}w{self.n_shot}s{self.n_query}q"


def sample(
    labels: NDArray[np.integer], spec: TaskSpec, start: int = 0, stop: int | None = None
) -> NDArray[np.int32]:
    """Draw tasks `start` to `stop` as item indices, shape (tasks, n_way, n_shot + n_query).

    `labels` (n,) is sorted, one class after the other, as every store is. Entry [t, c] lists items of the
    c-th class of task t, support first, then query: one draw without replacement, so they cannot overlap.
    Every ordered choice of classes, and of items within a class, is equally likely (to 1 part in 2**32 a
    draw).

    Raises:
        FsbenchError: fewer classes than `n_way`, or a class smaller than `n_shot + n_query`.
    """
    stop = spec.n_tasks if stop is None else stop
    assert 0 <= start <= stop <= spec.n_tasks, (start, stop, spec.n_tasks)
    assert (np.diff(labels) >= 0).all(), "labels are not sorted"
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    if spec.n_way > len(names):
        raise FsbenchError(f"n_way = {spec.n_way}, but the split has only {len(names)} classes")
    if spec.per_class > sizes.min():
        raise FsbenchError(
            f"n_shot + n_query = {spec.per_class}, but the smallest class has only {sizes.min()} images"
        )
    tasks = np.empty((stop - start, spec.n_way, spec.per_class), dtype=np.int32)
    step = max(1, _ENTRIES_AT_ONCE // (spec.n_way * int(sizes.max()) + len(names)))
    for begin in range(start, stop, step):
        end = min(begin + step, stop)
        random = _random_block(spec, begin, end)
        count = end - begin
        classes = _ordered_subsets(np.full(count, len(names)), random[:, : spec.n_way])
        chosen = classes.ravel()
        items = _ordered_subsets(sizes[chosen], random[:, spec.n_way :].reshape(len(chosen), spec.per_class))
        tasks[begin - start : end - start] = (items + first[chosen, None]).reshape(
            count, spec.n_way, spec.per_class
        )
    return tasks


def digest(tasks: NDArray[np.int32]) -> str:
    """The SHA-256 of a task list (little-endian int32, row by row), in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(tasks, dtype="<i4").tobytes()).hexdigest()


def _random_block(spec: TaskSpec, start: int, stop: int) -> NDArray[np.uint64]:
    """The random numbers of tasks `start` to `stop`, 32 bits each, shape (tasks, n_way * (1 + per_class)).

    One Philox counter step yields four words; a task's block is rounded up to whole steps so that every
    task starts at one.
    """
    needed = spec.n_way * (1 + spec.per_class)
    steps = -(-needed // 4)
    generator = np.random.Philox(key=np.array([spec.seed, _STREAM], dtype=np.uint64))
    generator.advance(start * steps)
    words = generator.random_raw((stop - start) * steps * 4).reshape(stop - start, steps * 4)
    return words[:, :needed] >> np.uint64(32)


def _ordered_subsets(sizes: NDArray[np.integer], random: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Ordered draws without replacement from range(sizes[r]) for each row r, shape of `random`.

    The first steps of a Fisher-Yates shuffle, all rows at once: step i swaps entry i with one of the
    entries i to sizes[r] - 1. `random` (rows, draws) is uniform in [0, 2**32).
    """
    rows = np.arange(len(sizes))
    table = np.broadcast_to(np.arange(sizes.max(), dtype=np.int32), (len(sizes), int(sizes.max()))).copy()
    sizes = sizes.astype(np.uint64)
    for i in range(random.shape[1]):
        at = i + ((random[:, i] * (sizes - np.uint64(i))) >> np.uint64(32)).astype(np.int64)
        taken = table[rows, at]
        table[rows, at] = table[:, i]
        table[:, i] = taken
    return table[:, : random.shape[1]].astype(np.int64)
