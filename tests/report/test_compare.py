"""Comparisons of synthetic result files."""

import json
import re
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from scipy import stats as reference

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench._util.terminal import as_text
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.compare import Comparison, compare, tables
from fsbench.report.compare.letters import letters
from tests.changed import with_correct

BASE = result_files.read(Path(__file__).parents[1] / "golden" / "results" / "schema-1.json")
RIGHT = np.random.default_rng(0).integers(3, 9, 40)  # of 10 in each task


def text(comparison: Comparison, *, pairs: bool = True, width: int = 10_000) -> str:
    return "\n".join(as_text(part, None, width) for part in tables(comparison, pairs=pairs))


def made(correct, **changes) -> Result:
    changes = {"head": "nearest-mean", **changes}
    if "class_values" in changes:
        changes["class_half_width"] = stats.mean_and_half_width(changes["class_values"])[1]
    return with_correct(BASE, correct, **changes)


def better(by: int, seed: int) -> np.ndarray:
    """Right answers in the same tasks, on average `by` more of 10."""
    return np.clip(RIGHT + by + np.random.default_rng(seed).integers(-1, 2, 40), 0, 10)


def of_classes(by: float, seed: int) -> tuple[float, ...]:
    """Values of six classes, raised by `by` on average."""
    common = np.array([0.2, 0.4, 0.5, 0.6, 0.7, 0.9])
    return tuple((common + by + np.random.default_rng(seed).normal(0, 0.04, 6)).round(9).tolist())


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Three runs: a reference, one that is better by about 0.1, and one on other tasks."""
    return [
        result_files.write(tmp_path, made(right, run=run, class_values=of_classes(by, seed), **changes))
        for run, right, by, seed, changes in (
            ("erm", RIGHT, 0, 1, {}),
            ("mixup", better(1, 1), 0.1, 2, {}),
            ("rotation", better(0, 2)[:30], 0.02, 3, {"seed": 7}),
        )
    ]


def test_pairs_on_the_same_tasks(three: list[Path]):
    comparison = compare(three[:2], over="tasks")
    (pair,) = comparison.pairs
    first, second = RIGHT / 10, better(1, 1) / 10
    test = reference.ttest_rel(first, second)
    interval = test.confidence_interval()
    assert (pair.first, pair.second, pair.same_tasks, pair.n_tasks) == ("erm", "mixup", True, 40)
    assert pair.difference == pytest.approx((first - second).mean())
    assert pair.difference - pair.half_width == pytest.approx(interval.low)
    assert pair.p_tasks == pytest.approx(pair.p_holm) == pytest.approx(test.pvalue)
    assert pair.p_wilcoxon == stats.wilcoxon_p(first, second)
    assert pair.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert pair.tasks_needed == stats.tasks_needed(pair.difference, (first - second).std(ddof=1))
    entry = comparison.entries[1]
    assert (entry.label, entry.files, entry.n_tasks) == ("mixup", (str(three[1]),), 40)
    assert (entry.accuracy, entry.half_width) == stats.mean_and_half_width(second)


def test_other_tasks_are_compared_without_pairs(three: list[Path]):
    (pair,) = compare([three[0], three[2]], over="tasks").pairs
    first, second = RIGHT / 10, better(0, 2)[:30] / 10
    assert not pair.same_tasks
    assert pair.p_tasks == pytest.approx(reference.ttest_ind(first, second, equal_var=False).pvalue)
    assert (pair.p_wilcoxon, pair.correlation) == (None, None)
    deviation = (first.var(ddof=1) + second.var(ddof=1)) ** 0.5
    assert pair.tasks_needed == stats.tasks_needed(pair.difference, deviation)
    assert "Welch" in text(compare(three))
    assert "Welch" not in text(compare(three[:2]))


def test_over_classes_values_are_paired_by_class(three: list[Path]):
    """Results on other tasks have the same classes. The interval is around the difference of accuracies."""
    for second, seed, by in ((three[1], 2, 0.1), (three[2], 3, 0.02)):
        (pair,) = compare([three[0], second]).pairs
        values = np.array(of_classes(0, 1)) - of_classes(by, seed)
        error = values.std(ddof=1) / 6**0.5
        assert pair.class_half_width == pytest.approx(reference.t.ppf(0.975, 5) * error)
        assert pair.p_classes == pytest.approx(2 * reference.t.sf(abs(pair.difference) / error, 5))
        assert pair.p_holm == pytest.approx(pair.p_classes)


def test_a_longer_list_begins_with_the_shorter_one(tmp_path: Path):
    right = better(1, 1)[:25]
    paths = [
        result_files.write(tmp_path, made(answers, run=run)) for run, answers in (("a", RIGHT), ("b", right))
    ]
    (pair,) = compare(paths, over="tasks").pairs
    first, second = RIGHT[:25] / 10, right / 10
    assert (pair.same_tasks, pair.n_tasks) == (True, 25)
    assert pair.difference == pytest.approx((first - second).mean())
    assert pair.p_holm == pytest.approx(reference.ttest_rel(first, second).pvalue)
    assert pair.p_wilcoxon == stats.wilcoxon_p(first, second)
    assert "are compared on the tasks that both have." in text(compare(paths), pairs=False)


def test_a_checkpoint_is_not_compared_with_itself(tmp_path: Path):
    """Of results that differ in the number of tasks only, the one with the most tasks counts."""
    few, many, other = (
        result_files.write(tmp_path, made(correct, class_values=of_classes(0, seed), **changes))
        for seed, (correct, changes) in enumerate(
            (
                (RIGHT[:20], {"feature_digest": "e" * 64}),  # on another device
                (RIGHT, {}),
                (better(1, 1), {"head": "ridge"}),
            )
        )
    )
    comparison = compare([tmp_path])
    assert [(entry.label, entry.n_tasks) for entry in comparison.entries] == [
        ("nearest-mean", 40), ("ridge", 40),
    ]  # fmt: skip
    assert (len(comparison.pairs), comparison.adjusted_for) == (1, 1)
    assert comparison.fewer_tasks == (str(few),)
    assert f"larger number of tasks: {few}\n" in text(comparison, pairs=False)
    first, second = re.escape(str(few)), re.escape(str(many))
    with pytest.raises(FsbenchError, match=f"^there is only one result per question: {second} differs from"):
        compare([few, many])
    with pytest.raises(FsbenchError, match=f"^{first} cannot be compared: {second} differs from"):
        compare([few, many, other])


def test_one_result_per_question_is_refused_with_advice(tmp_path: Path):
    for n_shot in (1, 5):
        result_files.write(tmp_path, made(RIGHT, n_shot=n_shot))
    with pytest.raises(
        FsbenchError, match=r"^there is only one result per question: .*n_shot is 1, but 5 in"
    ):
        compare([tmp_path])
    with pytest.raises(FsbenchError, match=r"evaluate a second checkpoint or head on the same tasks$"):
        compare([next(tmp_path.rglob("*.json"))])


def test_features_without_fingerprint_are_on_the_same_tasks_only_if_equal(tmp_path: Path):
    """For example, rows in another order, or a float16 copy of a feature file."""

    def pair(first: str, second: str):
        unknown = {"fingerprint": None, "class_values": of_classes(0, 1)}
        paths = [
            result_files.write(tmp_path / str(i), made(RIGHT, feature_digest=digest, head=str(i), **unknown))
            for i, digest in enumerate((first, second))
        ]
        return compare(paths).pairs[0]

    same, other = pair("d" * 64, "d" * 64), pair("d" * 64, "e" * 64)
    assert same.same_tasks
    assert same.p_classes == 1
    assert not other.same_tasks
    assert (other.class_half_width, other.p_classes, other.p_holm) == (None, None, None)


def test_without_class_values_there_is_no_claim_over_classes(tmp_path: Path, three: list[Path]):
    old = result_files.write(tmp_path, made(better(2, 3), run="old"))
    comparison = compare([*three[:2], old])
    with_class_values, *without_class_values = comparison.pairs
    assert with_class_values.p_holm == with_class_values.p_classes, "pairs that are not tested do not count"
    assert comparison.adjusted_for == 1
    assert [pair.p_holm for pair in without_class_values] == [None, None]
    assert all(pair.p_tasks < 0.05 for pair in without_class_values)
    assert "class values are missing" in text(comparison)


def test_p_values_are_adjusted_over_all_pairs(three: list[Path]):
    for over in ("classes", "tasks"):
        pairs = compare(three, over=over).pairs
        assert [(pair.first, pair.second) for pair in pairs] == [
            ("erm", "mixup"), ("erm", "rotation"), ("mixup", "rotation"),
        ]  # fmt: skip
        raw = [pair.p_classes if over == "classes" else pair.p_tasks for pair in pairs]
        np.testing.assert_array_equal([pair.p_holm for pair in pairs], stats.holm(raw))
        assert pairs[0].p_holm > raw[0]


def test_a_reference_limits_the_pairs(three: list[Path]):
    """The data determine the best result, so p-values are adjusted over all pairs."""
    all_pairs, first, best = (compare(three, against) for against in ("all", "first", "best"))
    assert [(pair.first, pair.second) for pair in first.pairs] == [("mixup", "erm"), ("rotation", "erm")]
    assert [(pair.first, pair.second) for pair in best.pairs] == [("mixup", "erm"), ("mixup", "rotation")]
    assert (all_pairs.adjusted_for, first.adjusted_for, best.adjusted_for) == (3, 2, 3)
    assert [pair.p_holm for pair in best.pairs] == [all_pairs.pairs[0].p_holm, all_pairs.pairs[2].p_holm]
    assert best.pairs[0].difference == first.pairs[0].difference == -all_pairs.pairs[0].difference > 0
    np.testing.assert_array_equal(
        [pair.p_holm for pair in first.pairs], stats.holm([pair.p_classes for pair in first.pairs])
    )


def test_the_order_of_arguments_sets_the_sign(three: list[Path]):
    (forward,), (backward,) = compare(three[:2]).pairs, compare(three[1::-1]).pairs
    assert forward.difference == -backward.difference < 0
    assert (forward.p_holm, forward.half_width) == pytest.approx((backward.p_holm, backward.half_width))


class TestRecipes:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> list[Path]:
        """Recipes with long run names: two with three training seeds, and one with two."""
        name = "{}-fast-conv4-cifar-fs-32px-40ep-precisionbf16-s{}"
        for recipe, by, n_seeds in (("erm", 0, 3), ("manifold-mixup", 1, 3), ("rotation", 2, 2)):
            for seed in range(n_seeds):
                changes = {"recipe": recipe, "train_seed": seed, "run": name.format(recipe, seed)}
                values = of_classes(by / 10, 10 * by + seed)
                result = made(better(by, seed), class_values=values, checkpoint=f"{by}{seed}" * 32, **changes)
                result_files.write(tmp_path, result)
        return sorted((tmp_path / "cifar-fs").iterdir())

    def test_three_training_seeds_are_one_entry(self, runs: list[Path]):
        comparison = compare(runs)
        (pair,) = comparison.pairs
        seeds = [better(0, seed) / 10 for seed in range(3)]
        assert (pair.first, pair.second, pair.p_wilcoxon) == ("erm", "manifold-mixup", None)
        assert [entry.label for entry in comparison.entries] == ["erm", "manifold-mixup", "rotation"]
        assert [entry.compared for entry in comparison.entries] == [True, True, False]
        erm = comparison.entries[0]
        assert erm.accuracy == pytest.approx(np.mean(seeds))
        assert erm.seed_accuracies == pytest.approx([each.mean() for each in seeds])
        assert len(erm.files) == 3
        shown = text(comparison, pairs=False)
        assert "erm                55" in shown
        assert re.search(r"rotation +\d\d\.\d\d  2 \(.*\) +-  -\n", shown)
        assert "fewer than 3 seeds" in shown
        assert shown.index("rotation ") < shown.index("manifold-mixup ")
        assert "\nOf the recipes with 3 or more seeds, manifold-mixup is ahead of erm by" in shown

    def test_each_seed_is_an_entry_on_request(self, runs: list[Path]):
        comparison = compare(runs, each_seed=True)
        assert (len(comparison.entries), len(comparison.pairs)) == (8, 28)
        assert "manifold-mixup-…-s2" in text(comparison, pairs=False)

    def test_two_recipes_with_too_few_seeds_are_compared_as_checkpoints(self, runs: list[Path]):
        assert len(compare([*runs[:2], *runs[6:]]).entries) == 4

    @pytest.mark.parametrize("width", [80, 100])
    def test_no_line_is_longer_than_the_terminal(self, runs: list[Path], width: int):
        for each_seed in (False, True):
            lines = text(compare(runs, each_seed=each_seed), width=width).splitlines()
            assert max(map(len, lines)) <= width


def test_entries_share_a_letter_exactly_if_they_do_not_differ():
    rng = np.random.default_rng(0)
    for n in range(2, 8):
        for _ in range(20):
            pairs = [pair for pair in combinations(range(n), 2) if rng.random() < 0.5]
            by_index = letters(list(range(n)), pairs)
            for pair in combinations(range(n), 2):
                assert bool(set(by_index[pair[0]]) & set(by_index[pair[1]])) == (pair not in pairs)
            assert by_index[0].startswith("a")

    assert letters(list(range(26)), list(combinations(range(26), 2)))[25] == "z"
    assert letters(list(range(27)), list(combinations(range(27), 2))) is None


def test_letters_of_200_values_take_less_than_ten_seconds():
    """Significance is not transitive where the noise of pairs differs."""
    rng = np.random.default_rng(0)
    for far, n_letters in ((40, None), (190, 11)):
        different = [pair for pair in combinations(range(200), 2) if pair[1] - pair[0] >= far]
        shuffled = [different[i] for i in rng.permutation(len(different))]
        start = process_time()
        by_index = letters(list(range(200)), shuffled)
        assert process_time() - start < 10
        assert by_index is None if n_letters is None else len(set("".join(by_index.values()))) == n_letters
    different = [pair for pair in combinations(range(200), 2) if rng.random() < 0.3]
    start = process_time()
    assert letters(list(range(200)), different) is None
    assert process_time() - start < 10


def test_more_than_26_letters_become_ranks(tmp_path: Path):
    """All 27 results differ: neighbours by one right answer in 37 % of the tasks."""
    paths = [
        result_files.write(tmp_path, made(np.floor(0.37 * i + np.arange(40) / 40), run=f"run {i}"))
        for i in range(27)
    ]
    comparison = compare(paths, over="tasks")
    assert [entry.rank for entry in comparison.entries] == list(range(27, 0, -1))
    assert {entry.group for entry in comparison.entries} == {""}
    shown = text(comparison, pairs=False)
    assert "\nrank: 1 + the number of entries that are significantly better, for other tasks" in shown
    assert [line.split()[-1] for line in shown.splitlines()[2:5]] == ["rank", "1", "2"]


def test_there_are_no_letters_if_some_pairs_are_not_tested(tmp_path: Path):
    """Two pairs have the same images each; nothing is known about images of different pairs."""
    paths = [
        result_files.write(
            tmp_path,
            made(
                right, run=run, fingerprint=None, feature_digest=digest * 64, class_values=of_classes(by, i)
            ),
        )
        for i, (run, right, by, digest) in enumerate(
            (("a", RIGHT, 0, "d"), ("b", better(1, 1), 0.1, "d"), ("c", RIGHT, 0, "e"), ("d", RIGHT, 0, "e"))
        )
    ]
    comparison = compare(paths)
    assert [entry.group for entry in comparison.entries] == [""] * 4
    assert [entry.rank for entry in comparison.entries] == [2, 1, 1, 1]
    shown = text(comparison, pairs=False)
    assert "share a letter" not in shown
    assert "ranks instead of groups where some pairs are not tested" in shown
    assert re.search(r"  rank\n", shown)


def test_the_summary_has_the_sign_of_the_tested_difference(tmp_path: Path):
    """The longer list is right more often only in tasks that the shorter one lacks."""
    right = np.concatenate([RIGHT, np.full(40, 10)])
    paths = [
        result_files.write(tmp_path, made(answers, run=run, class_values=of_classes(by, i)))
        for i, (run, answers, by) in enumerate((("long", right, 0), ("short", RIGHT + 1, 0.1)))
    ]
    comparison = compare(paths)
    assert comparison.pairs[0].difference == pytest.approx(-0.1)
    assert comparison.entries[0].accuracy > comparison.entries[1].accuracy
    summary = r"short is ahead of long by 10\.00 ± .* points on the 40 tasks of both \(significant\)\."
    assert re.search(summary, text(comparison))
    assert [(entry.group, entry.rank) for entry in comparison.entries] == [("", 2), ("", 1)]


def test_heads_that_are_given_class_counts_are_a_table_of_their_own(tmp_path: Path):
    for head, marks in (
        ("nearest-mean", {}),
        ("ridge", {}),
        ("pt-map", {"transductive": True, "class_prior": True}),
        ("oracle", {"class_prior": True}),
    ):
        result_files.write(tmp_path, made(RIGHT, head=head, **marks))
    comparison = compare([tmp_path])
    assert {(pair.first, pair.second) for pair in comparison.pairs} == {
        ("nearest-mean", "ridge"), ("oracle ‡", "pt-map †‡"),
    }  # fmt: skip
    shown = text(comparison)
    assert "2 queries per class, class counts given, 40 tasks\n" in shown
    assert "‡: is given the number of query images per class." in shown


def test_a_results_folder_may_contain_other_files(tmp_path: Path, three: list[Path]):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "evaluate.json").write_text("[]")
    assert len(compare([tmp_path]).entries) == 3


def test_digests_of_runs_are_in_labels_only_where_they_distinguish(tmp_path: Path):
    def labels(*runs: str) -> list[str]:
        paths = [result_files.write(tmp_path, made(RIGHT, run=run)) for run in runs]
        return [entry.label for entry in compare(paths).entries]

    assert labels("pretrained.a-c86e8edf", "erm-s0") == ["pretrained.a", "erm-s0"]
    assert labels("b-c86e8edf", "b-1c1c5321") == ["b-c86e8edf", "b-1c1c5321"]


def test_equal_results(tmp_path: Path):
    """Two heads with equal answers do not differ, whatever the number of tasks."""
    paths = [result_files.write(tmp_path, made(RIGHT, head=head)) for head in ("nearest-mean", "ridge")]
    (pair,) = compare(paths, over="tasks").pairs
    assert (pair.first, pair.second) == ("nearest-mean", "ridge")
    assert (pair.difference, pair.p_tasks, pair.p_wilcoxon) == (0, 1, 1)
    assert (pair.half_width, pair.correlation) == (pytest.approx(0), pytest.approx(1))
    assert pair.tasks_needed is None


def test_details_over_tasks_cost_nothing_over_classes(three: list[Path]):
    """They take longer than all else of a comparison, and their columns are shown over tasks only."""
    pairs = compare(three).pairs
    assert {(pair.p_wilcoxon, pair.correlation, pair.tasks_needed) for pair in pairs} == {(None, None, None)}
    assert all(pair.tasks_needed for pair in compare(three, over="tasks").pairs)


def test_results_without_spread(tmp_path: Path):
    paths = [result_files.write(tmp_path, made([n] * 5, run=str(n))) for n in (4, 5)]
    (pair,) = compare(paths, over="tasks").pairs
    assert (pair.difference, pair.half_width, pair.p_tasks) == (pytest.approx(-0.1), pytest.approx(0), 0)
    assert (pair.correlation, pair.tasks_needed) == (None, 2)


class TestFolders:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> list[Path]:
        """Two runs with two heads on two protocols, and results that only one of them has."""
        for run, by in (("erm", 0), ("mixup", 1)):
            for head in ("nearest-mean", "ridge"):
                for n_shot in (1, 5):
                    result_files.write(tmp_path, made(better(by, n_shot), run=run, head=head, n_shot=n_shot))
        result_files.write(tmp_path, made(RIGHT, run="erm", head="svm"))
        return [tmp_path / "cifar-fs" / run for run in ("erm", "mixup")]

    def test_runs_are_compared_head_by_head(self, runs: list[Path]):
        comparison = compare(runs)
        assert {(pair.head, pair.first, pair.second) for pair in comparison.pairs} == {
            ("nearest-mean (l2)", "erm", "mixup"), ("ridge (l2)", "erm", "mixup"),
        }  # fmt: skip
        assert [pair.question[16:] for pair in comparison.pairs] == [
            f"5-way {n_shot}-shot, 2 queries per class" for n_shot in (1, 1, 5, 5)
        ]
        assert [Path(path).name for path in comparison.left_out] == ["5w1s2q-svm-l2-40t-s0.json"]
        assert "svm" in text(comparison).splitlines()[-1]

    def test_settings_of_a_head_make_another_head(self, tmp_path: Path):
        for run, by in (("erm", 0), ("mixup", 1)):
            for settings in ({}, {"intercept": False}):
                changes = {"run": run, "head": "ridge", "head_settings": settings, "sampler": "uniform-2"}
                result_files.write(tmp_path, made(better(by, len(settings)), **changes))
        folders = sorted((tmp_path / "cifar-fs").iterdir())
        assert {(pair.head, pair.first, pair.second) for pair in compare(folders).pairs} == {
            ("ridge (l2)", "erm", "mixup"), ("ridge (l2, intercept false)", "erm", "mixup"),
        }  # fmt: skip
        (pair,) = compare(folders[:1]).pairs
        assert {pair.first, pair.second} == {"ridge", "ridge (intercept false)"}

    def test_a_row_names_settings_that_no_other_row_of_its_run_lacks(self, tmp_path: Path):
        for run, head, settings in (
            ("erm", "ridge", {}),
            ("mixup", "ridge", {"intercept": False}),
            ("mixup", "svm", {}),
        ):
            changes = {"run": run, "head": head, "head_settings": settings, "sampler": "uniform-2"}
            result_files.write(tmp_path, made(better(1, len(settings)), **changes))
        labels = {label for pair in compare([tmp_path]).pairs for label in (pair.first, pair.second)}
        assert labels == {"erm", "mixup ridge (intercept false)", "mixup svm"}

    def test_all_results_of_one_folder_are_compared(self, runs: list[Path]):
        comparison = compare(runs[:1])
        assert {(pair.first, pair.second) for pair in comparison.pairs} == {
            ("nearest-mean", "ridge"), ("nearest-mean", "svm"), ("ridge", "svm"),
        }  # fmt: skip
        assert len(comparison.pairs) == 4  # the third head has one protocol

    def test_a_file_counts_once(self, runs: list[Path]):
        file = next(runs[0].glob("5w1s*ridge*"))
        assert compare([runs[0], file]) == compare(runs[:1])


def test_labels_contain_only_differing_settings(tmp_path: Path):
    def labels(*tried: Result) -> list[str]:
        paths = [result_files.write(tmp_path / str(i), result) for i, result in enumerate(tried)]
        return [entry.label for entry in compare(paths).entries]

    assert labels(made(RIGHT, run="a"), made(RIGHT, run="b", train_seed=4)) == ["a", "b"]
    assert labels(made(RIGHT), made(RIGHT, seed=3)) == ["task seed 0", "task seed 3"]
    assert labels(made(RIGHT), made(RIGHT, train_seed=None)) == ["train seed 0", "train seed unknown"]
    assert labels(made(RIGHT), made(RIGHT, checkpoint="9" * 64))[1] == "checkpoint 99999999"
    again = labels(made(RIGHT), made(RIGHT))
    assert [Path(label).relative_to(tmp_path).parts[0] for label in again] == ["0", "1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "cub"}, "its dataset is cub, but cifar-fs in"),
        ({"fingerprint": "e" * 64}, f"its fingerprint is {'e' * 64}, but {'f' * 64} in"),
        ({"fingerprint": None}, "its fingerprint is unknown, but"),
        ({"n_shot": 5}, "its n_shot is 5, but 1 in"),
        ({"query_alpha": 1.0}, "its query_alpha is 1.0, but unknown in"),
    ],
)
def test_incomparable_results_are_refused(tmp_path: Path, change, message):
    paths = [result_files.write(tmp_path / name, made(RIGHT, run=name)) for name in ("a", "b")]
    other = result_files.write(tmp_path / "c", made(RIGHT, run="c", **change))
    with pytest.raises(FsbenchError) as raised:
        compare([*paths, other])
    assert str(raised.value).startswith(f"{other} cannot be compared: {message}")
    assert "\n" not in str(raised.value)


def test_fewer_than_two_results_are_refused(tmp_path: Path, three: list[Path]):
    (tmp_path / "empty").mkdir()
    for paths, message in (
        (three[:1], "at least two results, but there is only"),
        ([three[0], three[0]], "at least two results, but there is only"),
        ([three[0], tmp_path / "empty"], "empty: there is no result below this folder"),
        ([three[0], tmp_path / "absent.json"], "cannot read"),
    ):
        with pytest.raises(FsbenchError, match=message):
            compare(paths)


def test_it_is_plain_json(three: list[Path]):
    document = asdict(compare(three))
    assert json.loads(json.dumps(document, allow_nan=False))["pairs"][0]["first"] == "erm"


def test_the_table(three: list[Path]):
    """Numbers follow from the values above; users see a change of this table."""
    assert text(compare(three), pairs=False, width=80) == RANKING
    assert text(compare(three), width=100) == OVER_CLASSES
    assert text(compare(three, "best", "tasks"), width=110) == OVER_TASKS


RANKING = """\
cifar-fs novel, 5-way 1-shot, 2 queries per class

          accuracy  ± tasks  ± classes  tasks  group
mixup        64.75     5.32      28.12     40  a
rotation     57.00     7.67      24.43     30  ab
erm          55.25     5.70      25.60     40  b

mixup is ahead of rotation by 7.75 ± 8.07 points (not significant); of 3 pairs,
1 differs significantly.

95 % half widths in points; ± tasks: for other tasks from the same images; ±
classes: for new classes and their images.
group: entries that share a letter do not differ significantly, for new classes
and their images (narrower: --over tasks); Holm's correction for 3 pairs, level
0.05.
Checkpoints are compared; no interval covers training seeds.
For each difference with its interval and p-value: --pairs, or --against best."""

OVER_CLASSES = """\
cifar-fs novel, 5-way 1-shot, 2 queries per class

          accuracy  ± tasks  ± classes  tasks  group
mixup        64.75     5.32      28.12     40  a
rotation     57.00     7.67      24.43     30  ab
erm          55.25     5.70      25.60     40  b

A      B           A - B  ± tasks  ± classes       p  p (Holm)
erm    mixup       -9.50     2.71       3.95  0.0016    0.0049
erm    rotation *  -1.75     9.39       7.45  0.5721    0.5721
mixup  rotation *  +7.75     9.18       8.07  0.0567    0.1133

mixup is ahead of rotation by 7.75 ± 8.07 points (not significant); of 3 pairs, 1 differs
significantly.

95 % half widths in points; ± tasks: for other tasks from the same images; ± classes: for new
classes and their images.
group: entries that share a letter do not differ significantly, for new classes and their images
(narrower: --over tasks); Holm's correction for 3 pairs, level 0.05.
Checkpoints are compared; no interval covers training seeds.
p: for new classes and their images (narrower: --over tasks). p (Holm): with Holm's correction for 3
pairs, level 0.05.
*: measured on other tasks than A, so Welch's t test over tasks, not the paired one."""

OVER_TASKS = """\
cifar-fs novel, 5-way 1-shot, 2 queries per class

          accuracy  ± tasks  ± classes  tasks  group
mixup        64.75     5.32      28.12     40  a
rotation     57.00     7.67      24.43     30  ab
erm          55.25     5.70      25.60     40  b

A      B           A - B  ± tasks  ± classes        p  p (Holm)  p (Wilcoxon)  correlation  tasks needed
mixup  erm         +9.50     2.71       3.95  <0.0001   <0.0001       <0.0001         0.88             9
mixup  rotation *  +7.75     9.18       8.07   0.0963    0.1927             -            -            94

mixup is ahead of rotation by 7.75 ± 9.18 points (not significant); of the 2 pairs shown, 1 differs
significantly.

95 % half widths in points; ± tasks: for other tasks from the same images; ± classes: for new classes and
their images.
group: entries that share a letter do not differ significantly, for other tasks from the same images, not for
new classes; Holm's correction for 3 pairs, level 0.05.
Checkpoints are compared; no interval covers training seeds.
p: for other tasks from the same images, not for new classes. p (Holm): with Holm's correction for 3 pairs,
level 0.05.
tasks needed: to find a true difference of this size with probability 0.8.
*: measured on other tasks than A, so Welch's t test over tasks, not the paired one."""
