"""Draw the items of tasks and arrange them as support, query and answers."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fsbench.tasks import _random
from fsbench.tasks.spec import TaskSpec

# Support (tasks, n_way, n_shot), query (tasks, queries), answers (tasks, queries), as in `sampler.Tasks`.
Arrays: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int16]]


def draw_disjoint(first: NDArray[np.int64], sizes: NDArray[np.int64], spec: TaskSpec, part: slice) -> Arrays:
    """Draw a part of a list of disjoint tasks over classes of `sizes` (classes,) that begin at `first`."""
    assert spec.n_query is not None
    per_class = spec.n_shot + spec.n_query
    items = _random.disjoint_items(
        tuple(first.tolist()), tuple(sizes.tolist()), spec.n_way, per_class, spec.n_tasks, spec.seed
    )[part]
    return _arrange(
        items, np.full(items.shape[:2], spec.n_shot), np.full(items.shape[:2], spec.n_query), spec
    )


def draw(first: NDArray[np.int64], sizes: NDArray[np.int64], spec: TaskSpec, start: int, stop: int) -> Arrays:
    """Draw tasks `start` to `stop` over classes of `sizes` (classes,) that begin at `first`, all at once."""
    n_way, n_shot, count = spec.n_way, spec.n_shot, stop - start
    largest = int(sizes.max())
    per_class = n_shot + (spec.n_query or 0)
    if spec.query_alpha is not None:  # all queries may belong to one class
        assert spec.n_query is not None
        per_class = min(n_shot + n_way * spec.n_query, largest)
    extra = (spec.query_alpha is not None) + (spec.least_shot is not None)
    random = _random.random_block(spec.seed, n_way * (1 + per_class + extra), start, stop)
    classes = _random.ordered_subsets(np.full(count, len(sizes)), random[:, :n_way])  # (tasks, n_way)
    item_random = random[:, n_way : n_way * (1 + per_class)].reshape(count * n_way, per_class)
    items = _random.ordered_subsets(sizes[classes.ravel()], item_random).reshape(count, n_way, per_class)
    extra_random = random[:, n_way * (1 + per_class) :].reshape(count, extra, n_way)
    shots = np.full((count, n_way), n_shot)
    if spec.least_shot is not None:
        choices = np.uint64(n_shot - spec.least_shot + 1)
        shots = spec.least_shot + ((extra_random[:, -1] * choices) >> np.uint64(32)).astype(np.int64)
    if spec.n_query is None:
        width = largest - (spec.least_shot or n_shot)
        items = np.concatenate([items, _random.places_outside_support(items, shots, width, largest)], axis=2)
        queries = sizes[classes] - shots
    elif spec.query_alpha is None:
        queries = np.full((count, n_way), spec.n_query)
    else:
        limits = np.minimum(sizes[classes], per_class) - n_shot
        queries = _random.dirichlet_counts(extra_random[:, 0], spec.query_alpha, n_way * spec.n_query, limits)
    return _arrange(items + first[classes][:, :, None], shots, queries, spec)


def _arrange(
    items: NDArray[np.integer], shots: NDArray[np.integer], queries: NDArray[np.integer], spec: TaskSpec
) -> Arrays:
    """Split items (tasks, n_way, places): the first n_shot places are support, the others are queries.

    Of these, only the first `shots` (tasks, n_way) and the first `queries` (tasks, n_way) are used.
    """
    count, n_way, places = items.shape
    support = items[:, :, : spec.n_shot].astype(np.int32)
    if spec.least_shot is not None:
        support[np.arange(spec.n_shot) >= shots[:, :, None]] = -1
    candidates = items[:, :, spec.n_shot :]
    if spec.n_query is not None and spec.query_alpha is None:  # every class has the same number of queries
        task_answers = np.repeat(np.arange(n_way, dtype=np.int16), spec.n_query)
        query = candidates.reshape(count, len(task_answers)).astype(np.int32)
        return support, query, np.tile(task_answers, (count, 1))
    used = np.arange(places - spec.n_shot) < queries[:, :, None]
    if spec.n_query is not None:  # every task has the same number of queries
        width = n_way * spec.n_query
        query = candidates[used].reshape(count, width).astype(np.int32)
        answers = np.nonzero(used)[1].reshape(count, width).astype(np.int16)
        return support, query, answers
    used = used.reshape(count, n_way * (places - spec.n_shot))
    order = np.argsort(~used, axis=1, kind="stable")  # used places come first, in their order
    padded = np.where(used, candidates.reshape(used.shape), -1)
    query = np.take_along_axis(padded, order, axis=1).astype(np.int32)
    answers = np.repeat(np.arange(n_way, dtype=np.int16), places - spec.n_shot)[order]
    return support, query, np.where(query < 0, np.int16(-1), answers)
