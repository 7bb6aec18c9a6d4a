import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fsbench._util.errors import FsbenchError
from fsbench.tasks import _random, sampler
from fsbench.tasks.sampler import Tasks, digest, sample
from fsbench.tasks.spec import TaskSpec

LABELS = np.repeat(np.arange(20), 30)
SIZES = [5, 6, 7, 8, 9, 10]
UNEVEN = np.repeat(np.arange(6), SIZES)
SPECS = [
    TaskSpec(3, 2, 3, 40),
    TaskSpec(3, 2, None, 40),
    TaskSpec(3, 2, 3, 40, query_alpha=2.0),
    TaskSpec(3, 3, 2, 40, least_shot=1),
    TaskSpec(3, 3, None, 40, least_shot=1),
    TaskSpec(3, 3, 2, 40, query_alpha=0.3, least_shot=2, seed=7),
    TaskSpec(2, 1, 2, 40, disjoint=True),
    TaskSpec(2, 1, 2, 40, classes=("b", "e", "d")),
]
NAMES = ("a", "b", "c", "d", "e", "f")


def rows(tasks: Tasks) -> list[list[int]]:
    return sampler.rows_of(tasks).tolist()


def test_task_list_is_pinned():
    """If these digests change, published results are incomparable and SAMPLER needs another name."""
    assert digest(LABELS, TaskSpec(n_tasks=100))[:16] == "69c4aff2d2a96f4e"
    assert sampler.SAMPLER == "uniform-2"


STARTS = [  # beginnings of the digests of SPECS
    "ec9129a5e7ed1ab2",
    "f0f00a2db862f238",
    "c86795a8e120710c",
    "2bdf25af09f516bd",
    "5933157a201406c5",
    "0bf54eceac5a0129",
    "9ac9bb548a1a8eb5",
    "522e40305a51a556",
]


@pytest.mark.parametrize(("spec", "start"), list(zip(SPECS, STARTS, strict=True)))
def test_every_kind_of_task_list_is_pinned(spec, start):
    assert digest(UNEVEN, spec, NAMES)[:16] == start


def plain_task(labels: np.ndarray, spec: TaskSpec, t: int) -> list[list[int]]:
    """Task t by one Fisher-Yates shuffle at a time, on its own block of the stream."""
    steps = -(-spec.n_way * (1 + spec.n_shot + 2) // 4)
    generator = np.random.Philox(key=np.array([spec.seed, 0xF5BE7C4], dtype=np.uint64))
    generator.advance(t * steps)
    words = iter([int(word) >> 32 for word in generator.random_raw(4 * steps)])

    def draw(pool: list[int], count: int) -> list[int]:
        for i in range(count):
            j = i + (next(words) * (len(pool) - i) >> 32)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]

    classes = draw(sorted(set(labels.tolist())), spec.n_way)
    return [draw(np.flatnonzero(labels == c).tolist(), spec.n_shot + 2) for c in classes]


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(4, 9), min_size=3, max_size=6),
    n_way=st.integers(2, 3),
    n_shot=st.integers(1, 2),
    seed=st.integers(0, 2**64 - 1),
)
def test_equals_the_plain_reference(sizes, n_way, n_shot, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    spec = TaskSpec(n_way=n_way, n_shot=n_shot, n_query=2, n_tasks=5, seed=seed)
    tasks = sample(labels, spec)
    for t, plain in enumerate(plain_task(labels, spec, t) for t in range(5)):
        assert tasks.support[t].tolist() == [items[:n_shot] for items in plain]
        assert tasks.query[t].tolist() == [item for items in plain for item in items[n_shot:]]
        assert tasks.answers[t].tolist() == [c for c in range(n_way) for _ in range(2)]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
class TestEverySpec:
    def test_any_part_can_be_drawn_separately(self, spec, monkeypatch):
        whole = sample(UNEVEN, spec, class_names=NAMES)
        part = sample(UNEVEN, spec, 3, 7, NAMES)
        assert rows(part) == rows(whole[3:7])
        assert (part.answers == whole.answers[3:7]).all()
        monkeypatch.setattr(sampler, "_ENTRIES_AT_ONCE", 1)  # one task at once
        assert rows(sample(UNEVEN, spec, class_names=NAMES)) == rows(whole)
        blocks = [rows(block) for block in sampler.blocks(UNEVEN, spec, NAMES, at_once=7)]
        assert [row for block in blocks for row in block] == rows(whole)

    def test_support_and_query_are_distinct_items_of_their_classes(self, spec):
        tasks = sample(UNEVEN, spec, class_names=NAMES)
        assert len(tasks) == sampler.count(UNEVEN, spec, NAMES) > 3
        for support, query, answers in zip(tasks.support, tasks.query, tasks.answers, strict=True):
            used = np.concatenate([support[support >= 0], query[query >= 0]])
            assert len(set(used.tolist())) == len(used)
            classes = [set(UNEVEN[items[items >= 0]].tolist()) for items in support]
            assert all(len(labels) == 1 for labels in classes)
            drawn = [labels.pop() for labels in classes]
            assert len(set(drawn)) == spec.n_way
            real = query >= 0
            assert (UNEVEN[query[real]] == np.array(drawn)[answers[real]]).all()
            assert (answers[~real] == -1).all()
            if spec.classes:
                assert {NAMES[c] for c in drawn} <= set(spec.classes)

    def test_numbers_of_images_match_the_spec(self, spec):
        tasks = sample(UNEVEN, spec, class_names=NAMES)
        low = spec.least_shot or spec.n_shot
        assert (tasks.shots >= low).all()
        assert (tasks.shots <= spec.n_shot).all()
        assert (tasks.shots.min(), tasks.shots.max()) == (low, spec.n_shot)
        if spec.n_query is not None:
            assert (tasks.queries == spec.n_way * spec.n_query).all()
        else:
            sizes = np.array(SIZES)[UNEVEN[tasks.support[:, :, 0]]].sum(axis=1)
            assert (tasks.queries == sizes - tasks.shots.sum(axis=1)).all()
        if spec.n_query is not None and spec.query_alpha is None:
            assert all((np.bincount(row) == spec.n_query).all() for row in tasks.answers)

    def test_another_seed_gives_other_tasks(self, spec):
        other = TaskSpec(**{**vars(spec), "seed": spec.seed + 1})
        first, second = sample(UNEVEN, spec, class_names=NAMES), sample(UNEVEN, other, class_names=NAMES)
        assert rows(first) != rows(second)
        assert digest(UNEVEN, spec, NAMES) != digest(UNEVEN, other, NAMES)


def test_fewer_tasks_are_the_beginning_of_a_longer_list():
    assert rows(sample(LABELS, TaskSpec(n_tasks=20))) == rows(sample(LABELS, TaskSpec(n_tasks=50)))[:20]


def test_another_process_draws_the_same_tasks():
    code = (
        "import numpy as np; from fsbench.tasks import TaskSpec, digest;"
        "print(digest(np.repeat(np.arange(20), 30), TaskSpec(n_tasks=100)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert done.stdout.strip() == digest(LABELS, TaskSpec(n_tasks=100))


def test_seeds_share_no_task():
    first, second = (sampler.rows_of(sample(LABELS, TaskSpec(n_tasks=50, seed=seed))) for seed in (0, 1))
    assert not (first == second).all(axis=1).any()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_longer_list_begins_with_the_shorter_one(spec: TaskSpec):
    """This allows pairing results on lists of different lengths by their common tasks."""
    longer, shorter = (sample(UNEVEN, replace(spec, n_tasks=n), 0, n, NAMES) for n in (40, 5))
    assert len(shorter) == 5
    for name in ("support", "query", "answers"):
        np.testing.assert_array_equal(getattr(shorter, name), getattr(longer[:5], name))


class TestDisjoint:
    def test_no_image_is_in_two_tasks_and_no_further_task_fits(self):
        spec = TaskSpec(5, 1, 3, disjoint=True)
        tasks = sample(LABELS, spec)
        items = sampler.rows_of(tasks).ravel()
        assert len(set(items.tolist())) == len(items)
        left = np.bincount(LABELS) - np.bincount(LABELS[items], minlength=20)
        assert (left >= 4).sum() < 5
        assert 0.85 * 600 / 20 < len(tasks) <= 600 / 20

    def test_at_most_the_requested_number_is_drawn(self):
        spec = TaskSpec(5, 1, 3, 8, disjoint=True)
        assert sampler.count(LABELS, spec) == len(sample(LABELS, spec)) == 8

    def test_two_tasks_are_enough(self):
        assert sampler.count(LABELS, TaskSpec(10, 15, 15, disjoint=True)) == 2

    def test_too_few_images_are_refused(self):
        with pytest.raises(FsbenchError, match="disjoint tasks 20w15s15q-disjoint: the images give 1"):
            sampler.count(LABELS, TaskSpec(20, 15, 15, disjoint=True))


def test_queries_are_drawn_from_the_remaining_places():
    """Of 7 places, support 4 0 2 leaves 1 3 5 6, and support 4 0 leaves 1 2 3 5."""
    items = np.array([[[4, 0, 2], [4, 0, 2]]])
    actual = _random.places_outside_support(items, np.array([[3, 2]]), width=4, largest=7)
    assert actual.tolist() == [[[1, 3, 5, 6], [1, 2, 3, 5]]]
    assert actual.dtype == np.int64


class TestDirichlet:
    def test_shares_have_the_moments_of_the_distribution(self):
        """Proportions have mean 1/n and variance (n - 1) / (n^2 (n alpha + 1)), up to rounding."""
        words = np.random.Philox(key=1).random_raw(40_000).reshape(-1, 4) >> np.uint64(32)
        for alpha in (0.5, 2.0, 20.0):
            counts = _random.dirichlet_counts(words, alpha, 1000, np.full((10_000, 4), 1000))
            assert (counts.sum(axis=1) == 1000).all()
            shares = counts / 1000
            np.testing.assert_allclose(shares.mean(axis=0), 0.25, atol=0.01)
            np.testing.assert_allclose(shares.var(axis=0), 3 / (16 * (4 * alpha + 1)), rtol=0.06)

    @pytest.mark.parametrize(
        ("votes", "total", "seats"),
        [
            # the seven largest of 53, 53/3, 53/5 ... 24, 24/3 ... 23, 23/3 ...; D'Hondt gives 4 2 1, as does
            # rounding down with the rest to the largest remainders
            ((53, 24, 23), 7, (3, 2, 2)),
            # 80, 80/3, 80/5; Adams gives 1 1 1, largest remainders 2 1 0
            ((80, 11, 9), 3, (3, 0, 0)),
            ((1, 1, 1), 4, (2, 1, 1)),  # the first of equals
        ],
    )
    def test_queries_are_shared_by_websters_method(self, votes, total, seats):
        """With alpha 1 a proportion is -log(1 - u), so that u = 1 - exp(-votes / 100) gives these votes."""
        words = ((1 - np.exp(-np.array([votes]) / 100)) * 2**32).astype(np.uint64)
        actual = _random.dirichlet_counts(words, 1.0, total, np.full((1, 3), total))
        assert actual.tolist() == [list(seats)]

    def test_equals_the_largest_quotients(self):
        """The largest `total` quotients p, p / 3, p / 5 ... of all classes, in 500 tasks of 5 classes."""
        words = np.random.Philox(key=3).random_raw(2500).reshape(-1, 5) >> np.uint64(32)
        actual = _random.dirichlet_counts(words, 2.0, 40, np.full((500, 5), 40))
        proportions = stats.gamma.ppf((words.astype(np.float64) + 0.5) / 2**32, 2.0)
        for shares, proportion in zip(actual, proportions, strict=True):
            quotients = proportion[:, None] / np.arange(1, 80, 2)
            seats = np.argsort(-quotients, axis=None, kind="stable")[:40] // 40
            assert shares.tolist() == np.bincount(seats, minlength=5).tolist()

    def test_if_a_class_is_full_the_next_largest_quotient_wins(self):
        """With votes 53 24 23 and room for one in the first class, 24, 23, 24/3, 23/3, 24/5, 23/5 follow."""
        words = ((1 - np.exp(-np.array([[53, 24, 23]]) / 100)) * 2**32).astype(np.uint64)
        assert _random.dirichlet_counts(words, 1.0, 6, np.array([[1, 9, 9]])).tolist() == [[1, 3, 2]]

    def test_the_smallest_and_the_largest_words_are_proportions_too(self):
        """Word w stands for (w + 0.5) / 2**32, so neither end is a proportion of 0 or 1.

        With alpha 1 the largest is log(2**33) = 22.87 against log(2) = 0.69; the second class gets its first
        seat when 22.87 / (2 k + 1) falls below 0.69, at k = 16.
        """
        words = np.array([[0, 1 << 31], [(1 << 32) - 1, 1 << 31]], dtype=np.uint64)
        actual = _random.dirichlet_counts(words, 1.0, 18, np.full((2, 2), 18))
        assert actual.tolist() == [[0, 18], [17, 1]]
        assert actual.dtype == np.int64

    def test_no_class_gives_more_images_than_it_has(self):
        words = np.random.Philox(key=2).random_raw(400).reshape(-1, 4) >> np.uint64(32)
        room = np.array([3, 10, 5, 12])
        shares = _random.dirichlet_counts(words, 0.1, 25, np.broadcast_to(room, (100, 4)))
        assert (shares <= room).all()
        assert (shares.sum(axis=1) == 25).all()


class TestUniformity:
    """Chi-square tests on many tasks; a biased rule fails far below the level."""

    LEVEL = 1e-4

    def tasks(self) -> tuple[np.ndarray, np.ndarray]:
        tasks = sample(UNEVEN, TaskSpec(n_way=3, n_shot=1, n_query=3, n_tasks=20_000, seed=3))
        return UNEVEN, np.concatenate([tasks.support, tasks.query.reshape(-1, 3, 3)], axis=2)

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
        for c, size in enumerate(SIZES):
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


def test_numbers_of_numpy_and_lists_are_converted():
    spec = TaskSpec(n_way=np.int64(2), classes=["a", "b"], query_alpha=np.float64(0.5))
    assert spec == TaskSpec(n_way=2, classes=("a", "b"), query_alpha=0.5)
    assert type(spec.n_way) is int


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_way": 1}, "n_way must be at least 2, but is 1"),
        ({"n_shot": 0}, "n_shot must be at least 1, but is 0"),
        ({"n_query": 0}, "n_query must be at least 1, but is 0"),
        ({"n_tasks": 1}, "n_tasks must be at least 2, but is 1"),
        ({"seed": -1}, "seed must be at least 0, but is -1"),
        ({"seed": 1 << 64}, r"seed must be below 2\*\*64"),
        ({"least_shot": 2}, "least_shot must be at most n_shot = 1, but is 2"),
        ({"query_alpha": 0.0}, "query_alpha must be above 0, but is 0.0"),
        ({"query_alpha": float("inf")}, "query_alpha must be above 0, but is inf"),
        ({"query_alpha": float("nan")}, "query_alpha must be above 0, but is nan"),
        ({"n_query": None, "query_alpha": 2.0}, "n_query must be a number with query_alpha, but is 'all'"),
        ({"n_query": None, "disjoint": True}, "n_query must be a number with disjoint tasks, but is 'all'"),
        ({"query_alpha": 2.0, "disjoint": True}, "disjoint tasks must have the same shots and queries"),
        ({"classes": ("a", "a")}, "classes must differ from each other, but are a, a"),
        ({"n_way": "5"}, "n_way must be int, but is '5' of type str"),
        ({"n_way": 5.0}, "n_way must be int, but is 5.0 of type float"),
        ({"n_shot": None}, "n_shot must be int, but is None of type NoneType"),
        ({"n_query": "all"}, r"n_query must be int \| None, but is 'all' of type str"),
        ({"seed": True}, "seed must be int, but is True of type bool"),
        ({"least_shot": "1"}, r"least_shot must be int \| None, but is '1' of type str"),
        ({"query_alpha": "2"}, r"query_alpha must be int \| float \| None, but is '2' of type str"),
        ({"query_alpha": True}, r"query_alpha must be int \| float \| None, but is True of type bool"),
        ({"classes": "ab"}, r"classes must be tuple\[str, \.\.\.\], but is 'ab' of type str"),
        ({"classes": (1,)}, r"classes must be tuple\[str, \.\.\.\], but is \(1,\) of type tuple"),
        ({"disjoint": 1}, "disjoint must be bool, but is 1 of type int"),
    ],
)
def test_other_types_and_numbers_out_of_range_are_refused(values, message):
    with pytest.raises(FsbenchError, match=f"^{message}"):
        TaskSpec(**values)


def test_as_few_shots_as_all_classes_have_are_in_range():
    assert TaskSpec(n_shot=2, least_shot=2).name == "5w2-2s15q"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TaskSpec(n_way=21), "n_way = 21, but the split has only 20 classes"),
        (
            TaskSpec(n_shot=16),
            r"n_shot \+ n_query = 31, but the smallest class has only 30 images \(c0\); use --n-query ",
        ),
        (TaskSpec(n_shot=30, n_query=None), r"n_shot \+ 1 = 31, but the smallest class has only 30 images"),
        (TaskSpec(classes=("c1", "c22")), "unknown class 'c22'; did you mean"),
        (TaskSpec(classes=("c1", "c2")), "n_way = 5, but the split has only 2 classes"),
        (TaskSpec(n_way=2, classes=("c1",)), "n_way = 2, but the split has only 1 class$"),
    ],
)
def test_data_that_cannot_give_the_tasks_is_refused(spec, message):
    with pytest.raises(FsbenchError, match=f"^{message}"):
        sample(LABELS, spec, class_names=[f"c{i}" for i in range(20)])


def test_names_distinguish_specs():
    assert TaskSpec().protocol == TaskSpec(n_query=5).protocol == "5-way 1-shot"
    assert TaskSpec(n_query=None, classes=list("abcde")).protocol == (
        "5-way 1-shot (all queries, tasks of 5 chosen classes)"
    )
    assert TaskSpec(n_shot=5, least_shot=1, query_alpha=2.0).unusual == (
        "queries by Dirichlet(2.0)", "shots from 1 up",
    )  # fmt: skip
    assert TaskSpec(disjoint=True).unusual == ("disjoint tasks",)
    assert TaskSpec().name == "5w1s15q"
    assert TaskSpec(n_query=None).name == "5w1sallq"
    assert TaskSpec(n_shot=5, least_shot=1, query_alpha=2.0).name == "5w1-5s15q-dirichlet2"
    assert TaskSpec(disjoint=True).name == "5w1s15q-disjoint"
    assert TaskSpec(classes=("a", "b")).name != TaskSpec(classes=("a", "c")).name
