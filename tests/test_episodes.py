import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fsbench import episodes
from fsbench.episodes import TaskSpec, digest, sample
from fsbench.errors import FsbenchError

LABELS = np.repeat(np.arange(20), 30)


def test_task_list_is_pinned():
    """A change here makes every published number incomparable: then SAMPLER gets another name."""
    assert digest(sample(LABELS, TaskSpec(n_tasks=100)))[:16] == "a358230045cc6ccc"
    assert episodes.SAMPLER == "uniform-1"


def plain_task(labels: np.ndarray, spec: TaskSpec, t: int) -> list[list[int]]:
    """Task t by the textbook: one Fisher-Yates shuffle at a time, on its own block of the stream."""
    steps = -(-spec.n_way * (1 + spec.per_class) // 4)
    generator = np.random.Philox(key=np.array([spec.seed, 0xF5BE7C4], dtype=np.uint64))
    generator.advance(t * steps)
    words = iter([int(word) >> 32 for word in generator.random_raw(4 * steps)])

    def draw(pool: list[int], count: int) -> list[int]:
        for i in range(count):
            j = i + (next(words) * (len(pool) - i) >> 32)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]

    classes = draw(sorted(set(labels.tolist())), spec.n_way)
    return [draw(np.flatnonzero(labels == c).tolist(), spec.per_class) for c in classes]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(4, 9), min_size=3, max_size=6),
    n_way=st.integers(2, 3),
    n_shot=st.integers(1, 2),
    seed=st.integers(0, 2**64 - 1),
)
def test_equals_the_plain_reference(sizes, n_way, n_shot, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    spec = TaskSpec(n_way=n_way, n_shot=n_shot, n_query=2, n_tasks=5, seed=seed)
    assert sample(labels, spec).tolist() == [plain_task(labels, spec, t) for t in range(5)]


def test_any_part_can_be_drawn_by_itself(monkeypatch):
    spec = TaskSpec(n_tasks=50)
    whole = sample(LABELS, spec)
    np.testing.assert_array_equal(sample(LABELS, spec, 17, 31), whole[17:31])
    monkeypatch.setattr(episodes, "_ENTRIES_AT_ONCE", 1)  # one task at once
    np.testing.assert_array_equal(sample(LABELS, spec), whole)
    fewer = sample(LABELS, TaskSpec(n_tasks=20))
    np.testing.assert_array_equal(fewer, whole[:20])


def test_another_process_draws_the_same_tasks():
    code = (
        "import numpy as np; from fsbench.episodes import *;"
        "print(digest(sample(np.repeat(np.arange(20), 30), TaskSpec(n_tasks=100))))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert done.stdout.strip() == digest(sample(LABELS, TaskSpec(n_tasks=100)))


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(6, 40), min_size=5, max_size=12),
    n_way=st.integers(2, 5),
    n_shot=st.integers(1, 3),
    n_query=st.integers(1, 3),
)
def test_a_task_holds_distinct_items_of_distinct_classes(sizes, n_way, n_shot, n_query):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    tasks = sample(labels, TaskSpec(n_way, n_shot, n_query, n_tasks=20))
    assert tasks.shape == (20, n_way, n_shot + n_query)
    assert tasks.dtype == np.int32
    of_class = labels[tasks]
    assert (of_class == of_class[:, :, :1]).all()
    assert all(len(set(task[:, 0])) == n_way for task in of_class)
    assert all(len(set(task.ravel())) == task.size for task in tasks)  # so support and query cannot overlap


def test_seeds_give_other_tasks():
    one, two = sample(LABELS, TaskSpec(n_tasks=50, seed=0)), sample(LABELS, TaskSpec(n_tasks=50, seed=1))
    assert not (one == two).all(axis=(1, 2)).any()


class TestUniformity:
    """Chi-square tests on many tasks; a rule that favours anything fails far below the level."""

    LEVEL = 1e-4

    def tasks(self) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(6), [5, 6, 7, 8, 9, 10])
        return labels, sample(labels, TaskSpec(n_way=3, n_shot=1, n_query=3, n_tasks=20_000, seed=3))

    def test_of_classes_at_each_place(self):
        labels, tasks = self.tasks()
        for place in range(3):
            counts = np.bincount(labels[tasks[:, place, 0]], minlength=6)
            assert stats.chisquare(counts).pvalue > self.LEVEL

    def test_of_ordered_pairs_of_classes(self):
        labels, tasks = self.tasks()
        first, second = labels[tasks[:, 0, 0]], labels[tasks[:, 1, 0]]
        counts = np.bincount(first * 6 + second, minlength=36).reshape(6, 6)
        assert (np.diag(counts) == 0).all()
        assert stats.chisquare(counts[~np.eye(6, dtype=bool)]).pvalue > self.LEVEL

    def test_of_items_at_each_place(self):
        labels, tasks = self.tasks()
        for c, size in enumerate([5, 6, 7, 8, 9, 10]):
            rows = tasks[labels[tasks[:, :, 0]] == c]  # (tasks of the class, 4)
            for place in range(4):
                counts = np.bincount(rows[:, place] - np.flatnonzero(labels == c)[0], minlength=size)
                assert stats.chisquare(counts).pvalue > self.LEVEL

    def test_of_ordered_pairs_of_items(self):
        labels, tasks = self.tasks()
        rows = tasks[labels[tasks[:, :, 0]] == 0]  # the first class has items 0 to 4
        counts = np.bincount(rows[:, 0] * 5 + rows[:, 1], minlength=25).reshape(5, 5)
        assert (np.diag(counts) == 0).all()
        assert stats.chisquare(counts[~np.eye(5, dtype=bool)]).pvalue > self.LEVEL

    def test_of_neighbouring_tasks(self):
        labels, tasks = self.tasks()
        first = labels[tasks[:, 0, 0]]
        counts = np.bincount(first[:-1] * 6 + first[1:], minlength=36)
        assert stats.chisquare(counts).pvalue > self.LEVEL


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [("n_way", 1, 2), ("n_shot", 0, 1), ("n_query", 0, 1), ("n_tasks", 1, 2), ("seed", -1, 0)],
)
def test_numbers_out_of_range_are_refused(field, value, least):
    with pytest.raises(FsbenchError, match=f"{field} must be at least {least}, but is {value}"):
        TaskSpec(**{field: value})


def test_data_that_cannot_give_the_tasks_is_refused():
    with pytest.raises(FsbenchError, match="n_way = 21, but the split has only 20 classes"):
        sample(LABELS, TaskSpec(n_way=21))
    with pytest.raises(
        FsbenchError, match=r"n_shot \+ n_query = 31, but the smallest class has only 30 images"
    ):
        sample(LABELS, TaskSpec(n_shot=16))
