"""Comparisons of made-up result files."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as reference

from fsbench import results, stats
from fsbench.compare import compare, table
from fsbench.errors import FsbenchError
from fsbench.results import Result

BASE = results.read(Path(__file__).parent / "golden" / "results" / "schema-1.json")
RIGHT = np.random.default_rng(0).integers(3, 9, 40)  # of 10 in each task


def made(correct, **changes) -> Result:
    values = {"head": "nearest-mean", "correct": tuple(map(int, correct)), "n_tasks": len(correct), **changes}
    result = replace(BASE, **values)
    return replace(result, accuracy=float(result.accuracies.mean()))


def better(by: int, seed: int) -> np.ndarray:
    """Answers to the same tasks, `by` more of 10 right on average."""
    return np.clip(RIGHT + by + np.random.default_rng(seed).integers(-1, 2, 40), 0, 10)


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """A run, one that is better by about a tenth, and one on other tasks."""
    made_of = {"erm": RIGHT, "mixup": better(1, 1), "rotation": better(0, 2)[:30]}
    digests = {"rotation": "other"}
    return [
        results.write(tmp_path, made(right, run=run, task_digest=digests.get(run, "same")))
        for run, right in made_of.items()
    ]


def test_pairs_on_the_same_tasks(three: list[Path]):
    found = compare(three[:2])
    (pair,) = found.pairs
    first, second = RIGHT / 10, better(1, 1) / 10
    test = reference.ttest_rel(first, second)
    interval = test.confidence_interval()
    assert (pair.first, pair.second, pair.same_tasks) == ("erm", "mixup", True)
    assert pair.difference == pytest.approx((first - second).mean())
    assert pair.difference - pair.half_width == pytest.approx(interval.low)
    assert pair.p_t == pair.p_holm == pytest.approx(test.pvalue)
    assert pair.p_wilcoxon == stats.wilcoxon_p(first, second)
    assert pair.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert pair.tasks_needed == stats.tasks_needed(pair.difference, (first - second).std(ddof=1))
    entry = found.entries[1]
    assert (entry.label, entry.path, entry.n_tasks) == ("mixup", str(three[1]), 40)
    assert (entry.accuracy, entry.half_width) == stats.mean_and_half_width(second)


def test_other_tasks_are_compared_without_pairs(three: list[Path]):
    (pair,) = compare([three[0], three[2]]).pairs
    first, second = RIGHT / 10, better(0, 2)[:30] / 10
    assert not pair.same_tasks
    assert pair.p_t == pytest.approx(reference.ttest_ind(first, second, equal_var=False).pvalue)
    assert (pair.p_wilcoxon, pair.correlation) == (None, None)
    deviation = (first.var(ddof=1) + second.var(ddof=1)) ** 0.5
    assert pair.tasks_needed == stats.tasks_needed(pair.difference, deviation)
    assert "Welch" in table(compare(three))
    assert "Welch" not in table(compare(three[:2]))


def test_p_values_are_adjusted_over_all_pairs(three: list[Path]):
    pairs = compare(three).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [
        ("erm", "mixup"), ("erm", "rotation"), ("mixup", "rotation"),
    ]  # fmt: skip
    np.testing.assert_array_equal([p.p_holm for p in pairs], stats.holm([p.p_t for p in pairs]))
    assert pairs[0].p_holm > pairs[0].p_t


def test_against_one_result(three: list[Path]):
    first, best = compare(three, "first").pairs, compare(three, "best").pairs
    assert [(pair.first, pair.second) for pair in first] == [("erm", "mixup"), ("erm", "rotation")]
    assert [(pair.first, pair.second) for pair in best] == [("mixup", "erm"), ("mixup", "rotation")]


def test_the_order_of_arguments_is_the_sign(three: list[Path]):
    (there,), (back,) = compare(three[:2]).pairs, compare(three[1::-1]).pairs
    assert there.difference == -back.difference < 0
    assert (there.p_t, there.half_width) == (back.p_t, back.half_width)


def test_equal_results(tmp_path: Path):
    """Two heads that answer alike do not differ, and no number of tasks would tell them apart."""
    paths = [results.write(tmp_path, made(RIGHT, head=head)) for head in ("nearest-mean", "ridge")]
    (pair,) = compare(paths).pairs
    assert (pair.first, pair.second) == ("nearest-mean", "ridge")
    assert (pair.difference, pair.half_width, pair.p_t, pair.p_wilcoxon) == (0, 0, 1, 1)
    assert (pair.correlation, pair.tasks_needed) == (pytest.approx(1), None)


def test_results_without_spread(tmp_path: Path):
    paths = [results.write(tmp_path, made([n] * 5, run=str(n))) for n in (4, 5)]
    (pair,) = compare(paths).pairs
    assert (pair.difference, pair.half_width, pair.p_t) == (pytest.approx(-0.1), pytest.approx(0), 0)
    assert (pair.correlation, pair.tasks_needed) == (None, 2)


class TestFolders:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> list[Path]:
        """Two runs with two heads on two protocols, and what only one of them has."""
        for run, by in (("erm", 0), ("mixup", 1)):
            for head in ("nearest-mean", "ridge"):
                for n_shot in (1, 5):
                    results.write(tmp_path, made(better(by, n_shot), run=run, head=head, n_shot=n_shot))
        results.write(tmp_path, made(RIGHT, run="erm", head="svm"))
        return [tmp_path / "cifar-fs" / run for run in ("erm", "mixup")]

    def test_runs_are_compared_head_by_head(self, runs: list[Path]):
        found = compare(runs)
        assert {(pair.first, pair.second) for pair in found.pairs} == {
            ("erm nearest-mean", "mixup nearest-mean"), ("erm ridge", "mixup ridge"),
        }  # fmt: skip
        assert [pair.question[-6:] for pair in found.pairs] == ["5w1s2q", "5w1s2q", "5w5s2q", "5w5s2q"]
        assert [Path(path).name for path in found.left_out] == ["5w1s2q-svm-l2-40t-s0.json"]
        assert "svm" in table(found).splitlines()[-1]

    def test_in_one_folder_all_is_compared(self, runs: list[Path]):
        found = compare(runs[:1])
        assert {(pair.first, pair.second) for pair in found.pairs} == {
            ("nearest-mean", "ridge"), ("nearest-mean", "svm"), ("ridge", "svm"),
        }  # fmt: skip
        assert len(found.pairs) == 4  # the third head has one protocol

    def test_a_file_counts_once(self, runs: list[Path]):
        file = next(runs[0].glob("5w1s*ridge*"))
        assert compare([runs[0], file]) == compare(runs[:1])


def test_labels_say_no_more_than_is_needed(tmp_path: Path):
    def labels(*tried: Result) -> list[str]:
        paths = [results.write(tmp_path / str(i), result) for i, result in enumerate(tried)]
        return [entry.label for entry in compare(paths).entries]

    assert labels(made(RIGHT, run="a"), made(RIGHT, run="b", train_seed=4)) == ["a", "b"]
    assert labels(made(RIGHT), made(RIGHT, seed=3)) == ["task seed 0", "task seed 3"]
    assert labels(made(RIGHT), made(RIGHT, train_seed=None)) == ["train seed 0", "train seed not given"]
    again = labels(made(RIGHT), made(RIGHT))
    assert [Path(label).relative_to(tmp_path).parts[0] for label in again] == ["0", "1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "cub"}, "its dataset is cub, but cifar-fs in"),
        ({"fingerprint": "e" * 64}, f"its fingerprint is {'e' * 64}, but {'f' * 64} in"),
        ({"fingerprint": None}, "its fingerprint is not given, but"),
        ({"n_shot": 5}, "its n_shot is 5, but 1 in"),
        ({"query_alpha": 1.0}, "its query_alpha is 1.0, but not given in"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, change, message):
    paths = [results.write(tmp_path / name, made(RIGHT, run=name)) for name in ("a", "b")]
    other = results.write(tmp_path / "c", made(RIGHT, run="c", **change))
    with pytest.raises(FsbenchError) as raised:
        compare([*paths, other])
    assert str(raised.value).startswith(f"{other} cannot be compared: {message}")
    assert "\n" not in str(raised.value)


def test_too_little_is_refused(tmp_path: Path, three: list[Path]):
    (tmp_path / "empty").mkdir()
    for paths, message in (
        (three[:1], "at least two results, but found only"),
        ([three[0], three[0]], "at least two results, but found only"),
        ([three[0], tmp_path / "empty"], "empty: there is no result below this folder"),
        ([three[0], tmp_path / "absent.json"], "cannot read"),
    ):
        with pytest.raises(FsbenchError, match=message):
            compare(paths)


def test_it_is_plain_json(three: list[Path]):
    document = asdict(compare(three))
    assert json.loads(json.dumps(document, allow_nan=False))["pairs"][0]["first"] == "erm"


def test_the_table(three: list[Path]):
    """Numbers follow from the values above; a change here is one that people see."""
    assert table(compare(three)) == GOLDEN


GOLDEN = """\
cifar-fs novel 5w1s2q

              accuracy    tasks
--------  ------------  -------
erm       55.25 ± 5.70       40
mixup     64.75 ± 5.32       40
rotation  57.00 ± 7.67       30

A      B                  A - B    p (t)    p (Holm)    p (Wilcoxon)    correlation    tasks needed
-----  ----------  ------------  -------  ----------  --------------  -------------  --------------
erm    mixup       -9.50 ± 2.71  <0.0001     <0.0001         <0.0001           0.88               9
erm    rotation *  -1.75 ± 9.39   0.7105      0.7105               -              -           1,898
mixup  rotation *  +7.75 ± 9.18   0.0963      0.1927               -              -              94

±: 95 % Student-t half width in points; covers which tasks were drawn, not which images or seeds.
p (Holm): p (t) adjusted for all 3 pairs.
tasks needed: with so many a true difference of this size is found with probability 0.8.
*: on other tasks than A, so not in pairs: Welch's t test, tasks needed on each side."""
