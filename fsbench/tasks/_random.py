"""Random draws for the sampler: a counter-based stream, ordered subsets, query counts, disjoint tasks.

Everything is integer arithmetic on raw words of Philox, which NumPy keeps fixed (NEP 19), except the
proportions of imbalanced queries.
"""

from functools import cache

import numpy as np
import scipy  # loads scipy.special on first use, since that delays the start of a command
from numpy.typing import NDArray

_STREAM = 0xF5BE7C4  # second word of the key: separates these numbers from other uses of the same seed


def random_block(seed: int, needed: int, start: int, stop: int, stream: int = _STREAM) -> NDArray[np.uint64]:
    """Return the `needed` random numbers of each task `start` to `stop`, 32 bits each, (tasks, needed).

    One Philox counter step yields four words. The block of a task is rounded up to whole steps, so that every
    task begins with a new step.
    """
    steps = -(-needed // 4)
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    generator.advance(start * steps)
    words = generator.random_raw((stop - start) * steps * 4).reshape(stop - start, steps * 4)
    return words[:, :needed] >> np.uint64(32)


def ordered_subsets(sizes: NDArray[np.integer], random: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Draw in order and without replacement from range(sizes[r]) for each row r, shape of `random`.

    These are the first steps of a Fisher-Yates shuffle, for all rows at once: step i takes one of the entries
    i to sizes[r] - 1 and puts entry i in its place. `random` (rows, draws) is uniform in [0, 2**32). If a row
    has fewer entries than draws, its remaining draws have no meaning.
    """
    n_rows, n_draws = random.shape
    width = max(int(sizes.max(initial=1)), n_draws)
    step = np.arange(n_draws, dtype=np.uint64)[:, None]
    left = np.maximum(sizes.astype(np.uint64), step + np.uint64(1)) - step  # (draws, rows)
    at = np.minimum(step + ((random.T * left) >> np.uint64(32)), np.uint64(width - 1)).astype(np.int64)
    at += np.arange(n_rows) * width
    table = np.broadcast_to(np.arange(width, dtype=np.int32), (n_rows, width)).copy()
    entries = table.ravel()
    drawn = np.empty((n_draws, n_rows), dtype=np.int64)
    for i, places in enumerate(at):
        drawn[i] = entries[places]
        entries[places] = table[:, i]
    return drawn.T


def places_outside_support(
    items: NDArray[np.int64], shots: NDArray[np.integer], width: int, largest: int
) -> NDArray[np.int64]:
    """Return the `width` lowest places of each class that are not support, ascending, (tasks, n_way, width).

    The support are the first `shots` (tasks, n_way) of items (tasks, n_way, n_shot), all below `largest`.
    With the support sorted, s_0 < s_1 < ..., the j-th place outside is j plus the number of i with
    s_i - i <= j.
    """
    n_shot = items.shape[2]
    support = np.where(np.arange(n_shot) < shots[:, :, None], items, largest + n_shot)
    support = np.sort(support, axis=2) - np.arange(n_shot)
    place = np.arange(width)
    return place + sum((place >= support[:, :, i, None]).astype(np.int64) for i in range(n_shot))


def dirichlet_counts(
    random: NDArray[np.uint64], alpha: float, total: int, limits: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Divide `total` queries among the classes of each task, (tasks, n_way), at most `limits` (tasks, n_way).

    The proportions are Dirichlet(alpha), from gamma variates by inversion. Queries are assigned one by one to
    the class that is furthest below its proportion (Webster's method), which rounds without bias and respects
    the limits. Source of the setting: Veilleux et al. (arXiv:2204.11181) section 3, alpha 2.
    """
    uniform = (random.astype(np.float64) + 0.5) / (1 << 32)
    proportion = scipy.special.gammaincinv(alpha, uniform)
    counts = np.zeros(random.shape, dtype=np.int64)
    rows = np.arange(len(random))
    for _ in range(total):
        claim = np.where(counts < limits, proportion / (2 * counts + 1), -1.0)
        counts[rows, claim.argmax(axis=1)] += 1
    return counts


@cache
def disjoint_items(
    first: tuple[int, ...], sizes: tuple[int, ...], n_way: int, per_class: int, n_tasks: int, seed: int
) -> NDArray[np.int64]:
    """Draw tasks that share no item, one after the other, (tasks, n_way, per_class).

    A task takes n_way of the classes that still have `per_class` unused items. The list ends when fewer
    classes are left or after n_tasks. Class c is the run of sizes[c] items that begins at first[c].
    Source: Lafargue et al. (TMLR 2024).
    """
    words = random_block(seed, sum(sizes), 0, 1, _STREAM + 1)[0]
    shuffled = [
        begin + ordered_subsets(np.array([size]), part[None])[0]
        for begin, size, part in zip(first, sizes, np.split(words, np.cumsum(sizes)[:-1]), strict=True)
    ]
    max_tasks = min(n_tasks, sum(sizes) // (n_way * per_class))
    used = np.zeros(len(sizes), dtype=np.int64)
    tasks = np.empty((max_tasks, n_way, per_class), dtype=np.int64)
    for t, draw in enumerate(random_block(seed, n_way, 0, max_tasks)):
        available = np.flatnonzero(np.array(sizes) - used >= per_class)
        if len(available) < n_way:
            return tasks[:t]
        classes = available[ordered_subsets(np.array([len(available)]), draw[None])[0]]
        tasks[t] = [shuffled[c][used[c] : used[c] + per_class] for c in classes]
        used[classes] += per_class
    return tasks
