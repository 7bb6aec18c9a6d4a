"""Tables from result files. Golden files of synthetic results are in tests/golden/leaderboard."""

import cProfile
import csv
import json
import pstats
import re
import shutil
from collections import Counter
from itertools import combinations, groupby
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from scipy.stats import t as student

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.result import Result
from fsbench.report import leaderboard
from fsbench.report.leaderboard import rows
from fsbench.report.leaderboard.markdown import sections
from fsbench.report.leaderboard.published import SOURCES, beside, quotations
from fsbench.report.leaderboard.spreadsheet import spreadsheet
from fsbench.report.leaderboard.tables import Spread, tables
from fsbench.report.leaderboard.web import page
from fsbench.report.measured import of_result, of_seeds
from fsbench.stats.all_pairs import compare_pairs, compared
from tests.changed import another, changed, with_correct

READ = result_files.read
GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard"
BASE = changed(
    result_files.read(
        GOLDEN / "results" / "cifar-fs" / "erm-conv4-s0" / "5w1s3q-nearest-mean-l2-20t-s0.json"
    ),
    class_values=None,
    class_half_width=None,
)


def made(*correct: int, **changes) -> Result:
    """A result with these right answers of 15 in each task."""
    return with_correct(BASE, correct, **changes)


def shown(results) -> list[list[list[str]]]:
    """The cell texts of each rendered Markdown table."""
    read, inside = [], False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(sections(tables(results))):
        if token.type == "table_open":
            read.append([])
        elif token.type == "tr_open":
            read[-1].append([])
        elif token.type in ("th_open", "td_open", "th_close", "td_close"):
            inside = token.type.endswith("open")
        elif token.type == "inline" and inside:
            read[-1][-1].append("".join(child.content for child in token.children))
    return read


class TestSettingsOfAHead:
    def test_rows_with_other_settings_are_never_mixed(self):
        """Not even as training seeds of one recipe."""
        seeds = [
            made(9 + seed, 12, train_seed=seed, run=f"s{seed}", checkpoint=f"{seed}" * 64, **changes)
            for seed in range(2)
            for changes in ({}, {"head_settings": {"k": 3}}, {"head_settings": {"balanced": False, "k": 3}})
        ]
        (table,) = shown(seeds)
        head = table[0].index("head")
        assert [row[head] for row in table[1:]].count("nearest-mean (l2)") == 3
        assert [row[head] for row in table[1:]].count("nearest-mean (l2, k 3)") == 3
        assert [row[head] for row in table[1:]].count("nearest-mean (l2, balanced false, k 3)") == 3
        assert sum(row[head - 1] == "mean of 2 seeds" for row in table[1:]) == 3

    def test_rows_that_differ_in_a_value_alone_are_sorted(self):
        values = [True, 2, 0.5, "a"]
        results = [made(9, 12, head_settings={"k": value}) for value in values]
        (table,) = shown(results)
        labels = [f"nearest-mean (l2, k {text})" for text in ("0.5", "2", "a", "true")]
        assert [row[table[0].index("head")] for row in table[1:]] == labels
        assert shown(results[::-1]) == [table]

    def test_the_spreadsheet_has_them_in_the_column_of_heads(self):
        text = spreadsheet(tables([made(9, 12), made(9, 12, head_settings={"balanced": False, "k": 3})]))
        lines = list(csv.DictReader(text.splitlines()))
        assert {line["head"] for line in lines} == {"nearest-mean", "nearest-mean:balanced=false,k=3"}

    def test_they_are_escaped(self):
        text = sections(tables([made(9, 12, head_settings={"k": "<b>|*x*"})]))
        assert "<b>" not in text
        assert shown([made(9, 12, head_settings={"k": "<b>|*x*"})])[0][1][4] == "nearest-mean (l2, k <b>|*x*)"


class TestPages:
    def test_golden(self):
        """The committed pages follow from the results. After a change, regenerate and read them:

        fsbench leaderboard tests/golden/leaderboard/results --readme tests/golden/leaderboard/project.md
        """
        assert leaderboard.stale(GOLDEN / "results", GOLDEN / "project.md") == []

    def test_pages_follow_from_the_files(self, tmp_path: Path):
        folder, readme = tmp_path / "results", tmp_path / "README.md"
        path = result_files.write(folder, made(10, 12))
        readme.write_text("Before\n<!-- leaderboard:begin -->stale table<!-- leaderboard:end -->\nAfter\n")
        assert leaderboard.stale(folder, readme) == leaderboard.update(folder, readme)
        assert leaderboard.stale(folder, readme) == []
        text = readme.read_text()
        assert text.startswith("Before\n<!--")
        assert text.endswith("-->\nAfter\n")
        assert "stale table" not in text

        path.unlink()
        pages = leaderboard.stale(folder, readme)
        assert pages[0] == folder / "README.md"
        assert pages[-1] == readme
        leaderboard.update(folder, readme)
        assert "There are no results yet." in readme.read_text()

    def test_a_folder_without_any_result_gets_no_pages(self, tmp_path: Path):
        """Unless it has pages: when the last result was removed, they become empty."""
        message = f"^{re.escape(str(tmp_path))}: there is no result below this folder"
        for make in (leaderboard.update, leaderboard.stale):
            with pytest.raises(FsbenchError, match=message):
                make(tmp_path, None)
        assert not list(tmp_path.iterdir())

    def test_an_edited_page_is_stale(self, tmp_path: Path):
        result_files.write(tmp_path, made(10, 12))
        for path in leaderboard.update(tmp_path, None):
            path.write_text(path.read_text().replace("73.33", "83.33"))
            assert leaderboard.stale(tmp_path, None) == [path]
            path.unlink()
            assert leaderboard.stale(tmp_path, None) == [path]
            leaderboard.update(tmp_path, None)

    @pytest.mark.parametrize("name", ["README.md", "published.md"])
    def test_a_page_of_the_user_is_not_replaced(self, tmp_path: Path, name: str):
        result_files.write(tmp_path, made(10, 12))
        (tmp_path / name).write_text("# Results\n\nMine.\n")
        with pytest.raises(FsbenchError, match=f"{name}: is not a page of fsbench leaderboard, which would"):
            leaderboard.update(tmp_path, None)
        assert (tmp_path / name).read_text() == "# Results\n\nMine.\n"
        assert not (tmp_path / "leaderboard.csv").exists()
        (tmp_path / name).write_text("<!-- leaderboard:begin --><!-- leaderboard:end -->\nMine.\n")
        assert tmp_path / name in leaderboard.update(tmp_path, tmp_path / name)
        assert (tmp_path / name).read_text().endswith("Mine.\n")

    @pytest.mark.parametrize("make", [leaderboard.update, leaderboard.stale])
    @pytest.mark.parametrize(
        ("name", "text"),
        [("leaderboard.csv", "team,points\nus,3\n"), ("leaderboard.html", "<h1>Mine</h1>\n")],
    )
    def test_numbers_and_a_web_page_of_the_user_are_not_replaced(self, tmp_path: Path, name, text, make):
        result_files.write(tmp_path, made(10, 12))
        (tmp_path / name).write_text(text)
        with pytest.raises(FsbenchError, match=f"{name}: is not a page of fsbench leaderboard, which would"):
            make(tmp_path, None)
        assert (tmp_path / name).read_text() == text
        assert not (tmp_path / "README.md").exists()

    def test_a_readme_in_the_folder_has_all_tables(self, tmp_path: Path):
        result_files.write(tmp_path, made(10, 12))
        readme = tmp_path / "README.md"
        readme.write_text("<!-- leaderboard:begin --><!-- leaderboard:end -->")
        leaderboard.update(tmp_path, readme)
        assert "### cifar-fs (novel), trained on cifar-fs" in readme.read_text()

    def test_links_point_to_the_files(self):
        text = (GOLDEN / "results" / "README.md").read_text()
        links = [part.split(")")[0] for part in text.split("](")[1:]]
        assert links[:2] == ["leaderboard.html", "leaderboard.csv"]
        assert len(links[2:]) >= 7
        assert links[-1] == "published.md"
        assert all(any((GOLDEN / "results" / link).glob("*.json")) for link in links[2:-1])

    def test_if_one_page_cannot_be_written_none_is(self, tmp_path: Path):
        shutil.copytree(GOLDEN / "results" / "glyphs", tmp_path / "results" / "glyphs")
        readme = tmp_path / "README.md"
        readme.write_text("no markers")
        with pytest.raises(FsbenchError, match="must contain the markers"):
            leaderboard.update(tmp_path / "results", readme)
        assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["glyphs"]

    def test_indistinguishable_results_are_refused(self):
        with pytest.raises(FsbenchError, match="2 results have the same question"):
            tables([made(10, 12), made(11, 12)])


class TestGroups:
    @pytest.mark.parametrize(
        ("field", "other"),
        [
            ("dataset", "cub"),
            ("split", "val"),
            ("source", "glyphs"),
            ("source_classes", 100),
            ("image_size", 84),
            ("class_prior", True),
            ("n_query", 5),
            ("n_query", None),
            ("query_alpha", 2.0),
            ("least_shot", 1),
            ("classes", ("a", "b", "c", "d", "e")),
            ("disjoint", True),
            ("sampler", "other-1"),
            ("fingerprint", "0" * 64),
            ("fingerprint", None),
            ("source_fingerprint", "0" * 64),
            ("synthetic", True),
        ],
    )
    def test_incomparable_results_share_no_table(self, field, other):
        groups = tables([made(10, 12, run="a"), made(10, 12, run="b", queries=15, **{field: other})])
        assert [len(table.lines) for table in groups] == [1, 1]
        assert groups[0].heading != groups[1].heading

    @pytest.mark.parametrize(
        ("field", "other"),
        [
            ("backbone", "resnet12"),
            ("recipe", "mixup"),
            ("preset", "linear"),
            ("overrides", None),
            ("dropout", 0.5),
            ("transform", "resize-92-centre-80-imagenet-1"),
            ("head", "logistic"),
            ("preprocess", "cl2n"),
            ("transductive", True),
            ("seed", 1),
            ("train_seed", 1),
            ("run", "other"),
            ("checkpoint", "0" * 64),
        ],
    )
    def test_each_compared_method_has_a_row(self, field, other):
        (table,) = shown([made(11, 12), made(10, 12, **{field: other})])
        lines = [line for line in table[1:] if "mean of" not in line[3]]
        assert len(lines) == 2
        assert lines[0][:5] != lines[1][:5]

    @pytest.mark.parametrize("digest", ["d" * 64, "e" * 64])
    def test_of_results_that_differ_in_the_number_of_tasks_the_longest_has_a_row(self, digest):
        """Features of one checkpoint may differ in their last bits, for example on another device."""
        few, many = made(11, 12), made(11, 12, 12, feature_digest=digest)
        (table,) = tables([few, made(10, 10, run="b", checkpoint="b"), many])
        assert next(line.cells[5, 1].result for line in table.checkpoint_lines) == many
        assert len(table.checkpoint_lines) == 2
        assert "Left out: 1 result for which" in table.legend

    @pytest.mark.parametrize("field", flatten(BASE.question))
    def test_every_key_is_in_the_table_or_its_heading(self, field):
        """A key starts another table or row, unless columns or training seeds differ in it."""
        columns, seeds = {"n_way", "n_shot", "n_tasks"}, {"train_seed", "epoch", "best_epoch"}
        seeds |= {"run", "checkpoint", "feature_digest", "base_digest"}
        before = changed(BASE, n_shot=2)
        other = changed(before, **{field: another(field, flatten(before)[field])})
        same_table = rows._group_key(before) == rows._group_key(other)
        same_row = rows.family_key(before) == rows.family_key(other)
        assert (same_table and same_row) == (field in columns | seeds)

    def test_protocols_are_columns(self):
        results = [made(10, 12, n_way=way, n_shot=shot) for way, shot in [(20, 1), (5, 5), (5, 1)]]
        (table,) = shown(results)
        assert table[0][5:] == ["5-way 1-shot", "5-way 5-shot", "20-way 1-shot"]
        assert len(table) == 2

    def test_photographs_come_first_and_synthetic_images_are_marked(self):
        groups = tables([made(10, 12, synthetic=True, dataset="a"), made(10, 12, dataset="z"), made(10, 12)])
        assert [table.results[0].data.dataset for table in groups] == ["cifar-fs", "z", "a"]
        text = sections(groups)
        assert text.count("synthetic") == 2
        assert "drawn by code" in text.split("###")[3]

    def test_order_of_files_is_irrelevant(self):
        results = list(result_files.read_all(GOLDEN / "results"))
        text = sections(tables(results))
        rng = np.random.default_rng(0)
        for _ in range(20):
            assert sections(tables([results[place] for place in rng.permutation(len(results))])) == text


def test_classes_seen_in_pretraining_are_mentioned():
    text = sections(
        tables(
            [
                made(10, 12, seen="pretrained on imagenet-1k, which contains 4 of 50 classes"),
                made(10, 11, run="b"),
            ]
        )
    )
    assert "not new to every backbone: pretrained on imagenet-1k, which contains 4 of 50 classes." in text


class TestComparison:
    # With three tasks or classes the two-sided p of the t test is 1 - t / sqrt(t^2 + 2).
    FIRST, SECOND, THIRD = made(15, 15, 15), made(12, 11, 13, run="b"), made(11, 10, 9, run="c")
    FIRST_SECOND = 1 - (27 / 29) ** 0.5  # differences 3 4 2, t = 3 sqrt 3, p = 0.0351
    FIRST_THIRD = 1 - (75 / 77) ** 0.5  # differences 4 5 6, t = 5 sqrt 3, p = 0.0131
    SECOND_THIRD = 1 - 2 / 6**0.5  # differences 1 1 4, t = 2, p = 0.1835
    CLASSES = tuple(  # the class values are the scores, so both claims have the same p-values
        changed(each, class_values=tuple(each.accuracies)) for each in (FIRST, SECOND, THIRD)
    )

    @pytest.mark.parametrize("over", ["classes", "tasks"])
    def test_holm_over_all_pairs(self, over):
        p = compared([of_result(result) for result in self.CLASSES], over).p
        smallest, middle = 3 * self.FIRST_THIRD, 2 * self.FIRST_SECOND  # 0.0392, 0.0702
        expected = [[1, middle, smallest], [middle, 1, self.SECOND_THIRD], [smallest, self.SECOND_THIRD, 1]]
        np.testing.assert_allclose(p, expected, rtol=1e-9)

    @pytest.mark.parametrize("over", ["classes", "tasks"])
    def test_the_best_and_rows_not_significantly_different_are_bold(self, over):
        """The second is significantly different at 0.05 before Holm's adjustment, and not after it."""
        text = sections(tables(self.CLASSES[::-1], over))
        bold = [line.split("**")[1] for line in text.splitlines() if "**" in line]
        assert bold == ["100.00 ± 0.00", "80.00 ± 16.56"]
        assert "66.67 ± 16.56" in text
        assert f"claim over {over}" in text

    @pytest.mark.parametrize("over", ["classes", "tasks"])
    def test_rows_that_are_not_significantly_different_share_a_rank(self, over):
        (table,) = tables(self.CLASSES, over)
        assert [line.cells[5, 1].rank for line in table.lines] == [1, 1, 2]

    def test_a_difference_on_these_images_alone_is_no_claim_over_classes(self):
        """The first is better over tasks, but only because of one of four classes."""
        rng = np.random.default_rng(0)
        low, high = rng.integers(5, 7, 200), rng.integers(9, 11, 200)
        first = made(*high, run="a", class_values=(0.9, 0.5, 0.6, 0.5))
        second = made(*low, run="b", class_values=(0.1, 0.5, 0.6, 0.5))
        for over, best in (("tasks", [True, False]), ("classes", [True, True])):
            (table,) = tables([first, second], over)
            assert [line.cells[5, 1].best for line in table.lines] == best

    def test_without_class_values_nothing_is_claimed(self):
        (table,) = tables([self.FIRST, self.THIRD])
        assert [(line.cells[5, 1].rank, line.cells[5, 1].best) for line in table.lines] == [(None, False)] * 2
        assert "they lack class values" in table.legend
        (table,) = tables([self.FIRST, *self.CLASSES[1:]])
        assert [line.cells[5, 1].rank for line in table.lines] == [None, 1, 1]
        assert not any(line.cells[5, 1].best for line in table.lines), "the highest one is not compared"

    def test_each_pair_equals_the_test_in_stats(self):
        """Same tasks, other tasks, more of the same tasks, equal scores, and a constant difference."""
        rng = np.random.default_rng(0)
        score = rng.binomial(15, 0.6, (4, 12)).clip(1, 14)
        score[1] = np.where(rng.random(12) < 0.8, score[0], score[1])
        results = [made(*correct, run=str(place)) for place, correct in enumerate(score.tolist())]
        results += [made(*score[0].tolist(), run="equal"), made(*(score[0] + 1).tolist(), run="apart")]
        results += [made(*rng.binomial(15, 0.6, 30).tolist(), run="other", seed=1)]
        results += [made(*rng.binomial(15, 0.6, 30).tolist(), run="longer")]
        results += [made(8, 8, run="constant", seed=2), made(9, 9, run="too", seed=3)]
        pairs = compare_pairs([of_result(result) for result in results])
        p, half_width = pairs.over["tasks"].p, pairs.over["tasks"].half_width
        for i, j in combinations(range(len(results)), 2):
            a, b = results[i], results[j]
            same = a.spec.seed == b.spec.seed
            both = min(a.spec.n_tasks, b.spec.n_tasks) if same else None
            x, y = a.accuracies[:both], b.accuracies[:both]
            test, interval = (
                (stats.paired_p, stats.paired_difference) if same else (stats.welch_p, stats.welch_difference)
            )
            assert p[i, j] == pytest.approx(test(x, y), abs=1e-9)
            assert (pairs.difference[i, j], half_width[i, j]) == pytest.approx(interval(x, y), abs=1e-7)
            assert p[j, i] == p[i, j]

    def test_a_single_row_is_not_bold(self):
        assert "**" not in sections(tables([made(10, 12), made(10, 12, n_shot=5)]))


class TestRecipes:
    def seeds(self, run: str, *correct: tuple[int, ...]) -> list[Result]:
        return [
            changed(result := made(*values, run=f"{run}{seed}", recipe=run, train_seed=seed),
                    class_values=tuple(result.accuracies))
            for seed, values in enumerate(correct)
        ]  # fmt: skip

    def recipes(self, results):
        (table,) = tables(results)
        return [line.cells[5, 1] for line in table.lines if line.n_seeds > 1], table

    def test_three_seeds_are_compared(self):
        good = self.seeds("good", (14, 15, 14), (15, 14, 14), (14, 14, 15))
        bad = self.seeds("bad", (5, 4, 5), (4, 5, 5), (5, 5, 4))
        cells, table = self.recipes([*good, *bad])
        assert [(cell.rank, cell.best) for cell in cells] == [(1, True), (2, False)]
        assert "claims about recipes" in table.legend
        text = sections([table])
        assert "**95.56 (seeds 95.56 to 95.56)**" in text

    def test_the_variance_over_seeds_and_over_the_classes_are_added(self):
        first = self.seeds("a", (10, 12, 14), (9, 12, 12), (14, 12, 10))
        second = self.seeds("b", (8, 9, 10), (9, 9, 12), (7, 12, 5))
        pairs = compare_pairs([of_seeds(first), of_seeds(second)])
        accuracies = [np.array([result.outcome.accuracy for result in seeds]) for seeds in (first, second)]
        parts = [seed_values.var(ddof=1) / 3 for seed_values in accuracies]
        values = [
            np.mean([result.outcome.class_values for result in seeds], axis=0) for seeds in (first, second)
        ]
        parts.append((values[0] - values[1]).var(ddof=1) / 3)
        freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)  # each has two degrees of freedom
        error = sum(parts) ** 0.5
        claim = pairs.over["classes"]
        difference = accuracies[0].mean() - accuracies[1].mean()
        assert pairs.difference[0, 1] == pytest.approx(difference)
        assert claim.half_width[0, 1] == pytest.approx(student.ppf(0.975, freedom) * error)
        assert claim.p[0, 1] == pytest.approx(2 * student.sf(difference / error, freedom))

    def test_two_seeds_are_no_claim(self):
        good = self.seeds("good", (14, 15, 14), (15, 14, 14), (14, 14, 15))
        bad = self.seeds("bad", (5, 4, 5), (4, 5, 5))
        cells, table = self.recipes([*good, *bad])
        assert not any(cell.best for cell in cells)
        assert [cell.compared for cell in cells] == [True, False]
        assert "Recipes are not compared" in table.legend

    def test_seeds_on_other_tasks_are_no_claim(self):
        first, *remaining = self.seeds("a", (10, 12, 14), (9, 12, 12), (14, 12, 10))
        assert of_seeds([first, *remaining])
        assert of_seeds([changed(first, n_tasks=2, correct=first.outcome.correct[:2]), *remaining]) is None
        assert of_seeds([changed(first, seed=1), *remaining]) is None


class TestLead:
    def test_says_how_wide_intervals_are_over_classes(self):
        results = [
            made(10, 12, 14, class_half_width=0.072),
            made(8, 9, 10, n_shot=5, class_half_width=0.0904),
        ]
        text = sections(tables(results))
        assert "Over new classes and their images, the half width is 7.2-9.0 points." in text
        assert "their images, the half width is 7.2 points." in sections(tables(results[:1]))

    def test_does_not_mention_classes_without_class_values(self):
        assert "new classes" not in sections(tables([made(10, 12, 14, class_half_width=None)]))


class TestCells:
    def test_mean_and_half_width(self):
        """Of 10, 12, 14 right of 15: mean 80 %, s = 2 / 15, t(0.975, 2) = 4.3027."""
        (table,) = shown([made(10, 12, 14)])
        assert table[1][5] == f"80.00 ± {100 * 4.3027 * 2 / 15 / 3**0.5:.2f}"

    def test_the_number_of_tasks_is_shown_where_it_differs(self):
        (table,) = shown([made(10, 12), made(10, 12, 14, run="b")])
        assert sorted(line[5].rpartition(" ")[2] for line in table[1:]) == ["(2)", "(3)"]

    def test_seeds_are_averaged(self):
        """Accuracies are 60, 80 and 70 %; there is no ±, because in other rows it is over tasks."""
        seeds = [made(9, 9), made(12, 12, train_seed=1, run="b"), made(10, 11, train_seed=2, run="c")]
        (table,) = tables([*seeds, made(9, 9, n_shot=5)])
        assert [line.n_seeds for line in table.lines] == [3, 1, 1, 1]
        spread = table.lines[0].cells
        assert spread.keys() == {(5, 1)}, "not every seed has a 5-shot result"
        assert isinstance(spread[5, 1], Spread)
        assert (spread[5, 1].mean, spread[5, 1].lowest, spread[5, 1].highest) == pytest.approx(
            (0.7, 0.6, 0.8)
        )
        text = shown(seeds)[0]
        assert text[1][3:] == ["mean of 3 seeds", "nearest-mean (l2)", "70.00 (seeds 60.00 to 80.00)"]

    def test_two_runs_of_one_seed_are_not_averaged(self):
        (table,) = tables([made(9, 9), made(12, 12, run="again")])
        assert [line.n_seeds for line in table.lines] == [1, 1]

    def test_marks(self):
        heads = {
            "": made(9, 9),
            "†": made(9, 9, head="tim", transductive=True),
            "‡": made(9, 9, head="counted", class_prior=True),
            "†‡": made(9, 9, head="pt-map", transductive=True, class_prior=True),
        }
        cells = [line[4] for table in shown(heads.values()) for line in table[1:]]
        assert sorted(cells) == ["counted (l2) ‡", "nearest-mean (l2)", "pt-map (l2) †‡", "tim (l2) †"]
        text = sections(tables(heads.values()))
        assert "†: transductive" in text
        assert "‡: is given the number of query images" in text
        assert "†" not in sections(tables([made(9, 9)]))

    @pytest.mark.parametrize(
        "name",
        ["a|b", "*a*", "_a_ b_c", "[a](b)", "<script>", "`a`", "a\\|b", "&lt;", "~~a~~", "a\nb", "![x](y)"],
    )
    def test_names_are_shown_as_they_are(self, name):
        changes = {"dataset": name, "source": name, "run": name, "recipe": name, "preset": None, "head": name}
        result = made(10, 12, backbone=name, overrides=name, **changes)
        plain = " ".join(name.split())
        (table,) = shown([result])
        assert [table[1][place] for place in (0, 1, 4)] == [plain, f"{plain}, {plain}", f"{plain} (l2)"]
        assert "<script>" not in sections(tables([result])).replace("\\<script", "")


class TestListing:
    def test_one_line_per_result_with_all_keys(self):
        results = list(result_files.read_all(GOLDEN / "results"))
        lines = list(csv.DictReader(spreadsheet(tables(results)).splitlines()))
        assert sorted(line["file"] for line in lines) == sorted(result.path.as_posix() for result in results)
        percent = {"accuracy", "half_width", "class_half_width"}
        keys = (
            flatten(BASE).keys()
            - {"class_values", "correct", "head_settings", "queries", "versions"}
            - percent
        )
        assert lines[0].keys() == {"file", *(f"{name}_percent" for name in percent), *keys}

    def test_numbers_and_odd_names(self):
        """Of 10, 12, 14 right of 15: mean 80 %, half width 4.3027 * 13.333 / sqrt 3."""
        result = made(10, 12, 14, run='a, "b"\nc', epochs=None, classes=("x", "y"), class_half_width=0.25)
        (line,) = csv.DictReader(spreadsheet(tables([result])).splitlines(keepends=True))
        assert (line["accuracy_percent"], line["half_width_percent"]) == ("80.0000", "33.1218")
        assert line["class_half_width_percent"] == "25.0000"
        assert (line["run"], line["epochs"], line["classes"]) == ('a, "b"\nc', "", "x; y")


class TestPublished:
    FILE = Path(leaderboard.__file__).with_name("published.csv")
    SETTINGS = ("inductive", "transductive", "transductive, class counts given", "semi-supervised", "")

    def lines(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.FILE.read_text("utf-8").splitlines()))

    def numbers(self, lines) -> list[str]:
        return sorted(line[f"{shot}-shot"] for line in lines for shot in (1, 5, 10) if line[f"{shot}-shot"])

    def rows(self, heading: str):
        return next(table.rows for table in quotations(memory_rows=True) if table.heading == heading)

    def test_two_published_collections_are_complete(self):
        """322 rows of the leaderboard, and 96 models of mmfewshot on 48 lines."""
        counts = Counter((line["source"], line["dataset"]) for line in self.lines())
        assert {place: n for place, n in counts.items() if place[0] in ("lb", "mmfewshot")} == {
            ("lb", "mini-imagenet"): 138,
            ("lb", "tiered-imagenet"): 107,
            ("lb", "cifar-fs"): 49,
            ("lb", "fc100"): 28,
            ("mmfewshot", "mini-imagenet"): 16,
            ("mmfewshot", "tiered-imagenet"): 16,
            ("mmfewshot", "cub"): 16,
        }
        assert len(self.numbers(line for line in self.lines() if line["source"] == "mmfewshot")) == 96
        settings = Counter(line["setting"].split(",")[0] for line in self.lines() if line["source"] == "lb")
        assert settings == {"inductive": 193, "transductive": 100, "semi-supervised": 29}
        assert {line["setting"] for line in self.lines() if line["source"] == "mmfewshot"} == {""}

    @pytest.mark.parametrize("memory_rows", [False, True])
    def test_every_number_of_the_file_is_shown_once(self, memory_rows):
        groups = quotations(memory_rows=memory_rows)
        shown = [text for table in groups for row in table.rows for text in row.accuracies.values()]
        lines = [line for line in self.lines() if memory_rows or not SOURCES[line["source"]].from_memory]
        assert sorted(text.replace(" ", "") for text in shown) == self.numbers(lines)

    def test_the_file_is_well_formed(self):
        for line in self.lines():
            assert line["source"] in SOURCES
            assert line["setting"] in self.SETTINGS
            assert {line["trained_on"], line["dataset"]} <= {
                *("cifar-fs", "cub", "fc100", "mini-imagenet", "tiered-imagenet")
            }
            assert all(
                re.fullmatch(r"https?://\S+", line[name]) for name in ("paper", "reported_by") if line[name]
            )
            assert not re.match(r"ResNet-?1[028]$|WRN|Conv-?4|4CONV", line["backbone"])
        assert all(re.fullmatch(r"\d\d\.\d+(±\d\.\d+)?", number) for number in self.numbers(self.lines()))
        assert {line["source"] for line in self.lines()} == SOURCES.keys()

    def test_rows_of_a_backbone_are_adjacent(self):
        """The file is sorted like the tables, so a new line has one place."""
        names = ("trained_on", "source_classes", "dataset", "setting", "backbone")
        places = [(*(line[name] for name in names), line["n_way"] == "5") for line in self.lines()]
        assert len([place for place, _ in groupby(places)]) == len(set(places))

    def test_every_row_shows_its_source(self, tmp_path: Path):
        """Each page links to the source."""
        result_files.write(tmp_path, made(10, 12))
        readme, _, html, page = leaderboard.update(tmp_path, None, memory_rows=True)
        whole = quotations(memory_rows=True)
        n_rows, urls = sum(len(table.rows) for table in whole), {source.url for source in SOURCES.values()}
        for path, expected in ((readme, 7), (page, n_rows)):
            rendered = MarkdownIt("commonmark").enable("table").render(path.read_text("utf-8"))
            rows = [row for row in rendered.split("<tr>") if "<td" in row and "nearest-mean" not in row]
            assert len(rows) == expected
            assert all(any(f'href="{url}"' in row.split("<td")[-1] for url in urls) for row in rows)

        data = html.read_text("utf-8").split('type="application/json">')[1].split("</script>")[0]
        data = json.loads(data)
        rows = [row for table in data["tables"] if table["published"] for row in table["rows"]]
        assert len(rows) == n_rows
        assert all(data["sources"][row["source"]][1] in urls for row in rows)

    def test_well_known_numbers(self):
        accuracies = {
            ("cifar-fs, inductive", "S2M2_R", "wrn28-10"): ("74.81 ± 0.19", "87.47 ± 0.13"),
            ("cifar-fs, transductive", "DPGN", "conv4"): ("76.4 ± 0.5", "88.4 ± 0.4"),
            ("cub, inductive", "S2M2_R", "wrn28-10"): ("80.68 ± 0.81", "90.85 ± 0.44"),
            ("cub, setting not stated", "Proto-Net", "conv4"): ("58.86", "80.77"),
            ("fc100, inductive", "MAML", "conv4"): ("38.1 ± 1.7", "50.4 ± 1.0"),
            ("mini-imagenet, inductive", "MAML", "conv4"): ("48.70 ± 1.75", "63.11 ± 0.92"),
            ("mini-imagenet, inductive", "ProtoNets", "conv4"): ("49.42 ± 0.78", "68.20 ± 0.66"),
            ("mini-imagenet, setting not stated", "Baseline++", "conv4"): ("51.16", "67.99"),
            ("mini-imagenet, transductive", "TIM", "resnet18"): ("73.9", "85.0"),
            ("mini-imagenet, transductive, class counts given", "PT+MAP", "wrn28-10"): (
                *("82.92 ± 0.26", "88.82 ± 0.13"),
            ),
            ("tiered-imagenet, semi-supervised", "LST", "resnet12"): ("77.7 ± 1.6", "85.2 ± 0.8"),
        }
        for (heading, method, backbone), expected in accuracies.items():
            rows = [row for row in self.rows(heading) if (row.method, row.backbone) == (method, backbone)]
            assert [(row.accuracies[5, 1], row.accuracies[5, 5]) for row in rows] == [expected], heading

    def test_a_number_from_another_paper_is_marked(self):
        """ProtoNets on a ResNet-12, from the paper of DeepEMD."""
        (row,) = [
            row for row in self.rows("mini-imagenet, inductive")
            if (row.method, row.backbone) == ("ProtoNets", "resnet12")
        ]  # fmt: skip
        assert row.named["method"] == [("ProtoNets", "https://arxiv.org/pdf/1703.05175.pdf")]
        (source, _), (reported, paper) = row.named["source"]
        assert source == "yaoyao-liu/few-shot-classification-leaderboard at 451a97a"
        assert reported == "reported in another paper"
        assert "DeepEMD" in paper

    def test_a_missing_number_stays_empty(self):
        (row,) = [row for row in self.rows("mini-imagenet, inductive") if row.method == "Su et al."]
        assert row.accuracies == {(5, 5): "76.6 ± 0.7"}

    def test_incomparable_results_share_no_table(self):
        """As for measured rows: settings, ways and source classes separate tables."""
        groups = quotations()
        headings = [table.heading for table in groups]
        assert [heading for heading in headings if heading.startswith("cifar-fs")] == [
            "cifar-fs, inductive",
            "cifar-fs, transductive",
            "cifar-fs, transductive, class counts given",
            "cifar-fs, semi-supervised",
            "cifar-fs, more than 5 ways, inductive",
        ]
        assert "mini-imagenet (64 classes) → cub, transductive" in headings
        for table in groups:
            assert len({row.setting for row in table.rows}) == 1
            assert {way == 5 for way, _ in table.columns} == {"more than 5 ways" not in table.heading}


class TestPublishedBelow:
    """Published rows below the measured tables."""

    def below(self, *results: Result, **how):
        return beside(quotations(), tables(results), **how)

    def test_the_same_data_set_backbone_and_protocol(self):
        (quotation,) = self.below(made(10, 12)).values()
        assert quotation.heading == "cifar-fs, conv4"
        assert {row.backbone for row in quotation.rows} == {"conv4"}
        assert quotation.columns == [(5, 1)]
        assert [row.method for row in quotation.rows] == [
            *("Ravichandran et al.", "ConstellationNet", "Wang et al."),
            *("TEAM", "SIB", "DPGN", "ECKPN"),
        ]
        (quotation,) = self.below(made(10, 12, backbone="wrn28-10", n_way=20)).values()
        assert [row.method for row in quotation.rows] == ["S2M2_R released model"]

    def test_every_backbone(self):
        (quotation,) = self.below(made(10, 12), every_backbone=True).values()
        rows = [row for table in quotations() if table.pair == ("cifar-fs", "cifar-fs") for row in table.rows]
        assert len(quotation.rows) == sum((5, 1) in row.accuracies for row in rows) == 56

    def test_published_rows_are_below_the_last_table_once(self):
        results = made(10, 12), made(10, 12, image_size=84), made(10, 12, dataset="cub")
        below = self.below(*results)
        headings = [table.heading for table in tables(results)]
        assert list(below) == [[heading for heading in headings if "cifar-fs (novel)" in heading][-1]]
        assert (
            self.below(*results[:1], changed(results[1], backbone="resnet10")).keys()
            == self.below(results[0]).keys()
        )

    @pytest.mark.parametrize(
        "change",
        [
            *({"synthetic": True}, {"dataset": "omniglot"}, {"source": "glyphs"}),
            *({"split": "val"}, {"backbone": "resnet10"}, {"n_shot": 3}),
        ],
    )
    def test_unmatched_tables_have_no_published_rows(self, change):
        assert self.below(made(10, 12, **change)) == {}

    def test_published_rows_have_no_ranks(self, tmp_path: Path):
        result_files.write(tmp_path, made(10, 12))
        result_files.write(tmp_path, made(15, 15, run="b"))
        text = leaderboard.update(tmp_path, None)[0].read_text("utf-8")
        quoted = [line for line in text.splitlines() if line.startswith(">")]
        assert quoted[0] == "> #### Published, not measured here: cifar-fs, conv4"
        assert sum("][p" in line for line in quoted) == 7
        assert not any("**" in line for line in quoted)
        assert "DPGN" not in "".join(line for line in text.splitlines() if not line.startswith((">", "[p")))
        html = MarkdownIt("commonmark").enable("table").render(text)
        assert "][p" not in html, "every link has its address"
        assert html.count("<blockquote>") == 1
        assert "<table>" in html.split("<blockquote>")[1].split("</blockquote>")[0]

    def test_the_amount_of_published_rows_is_an_option(self, tmp_path: Path):
        result_files.write(tmp_path, made(10, 12, backbone="wrn28-10"))
        shown = {}
        for published in ("same", "all", "none"):
            for path in leaderboard.update(tmp_path, None, published=published):
                shown[published, path.name] = path.read_text("utf-8")
        for name in ("README.md", "leaderboard.html", "published.md"):
            assert "S2M2_R" in shown["same", name]
            assert "S2M2_R" not in shown.get(("none", name), "")
        assert "FewTURE" not in shown["same", "README.md"]
        assert "FewTURE" in shown["all", "README.md"]
        assert ("none", "published.md") not in shown
        assert "published.md" not in shown["none", "README.md"]
        for name in ("published.md", "leaderboard.html", "leaderboard.csv"):
            assert shown["same", name] == shown["all", name]

    def test_rows_from_memory_are_held_back(self, tmp_path: Path):
        result_files.write(tmp_path, made(10, 12, backbone="resnet18"))
        for memory_rows in (False, True):
            readme, _, html, page = leaderboard.update(tmp_path, None, memory_rows=memory_rows)
            assert ("from memory" in readme.read_text("utf-8")) == memory_rows
            assert ("from memory" in page.read_text("utf-8")) == memory_rows
            assert "from memory" in html.read_text("utf-8"), "behind a switch"


class TestPage:
    def test_names_cannot_end_the_script_data(self):
        """The page has two scripts, its own and the JSON, whatever the names contain."""
        name = "</script><script>alert(1)</script>{{script}}\u2028&amp;<!--"
        text = page(tables([made(10, 12, recipe=name, backbone=name, run=name)]), [])
        assert text.count("<script") == text.count("</script>") == 2
        assert "alert(1)</script>" not in text
        data = json.loads(text.split('type="application/json">')[1].split("</script>")[0])
        assert data["tables"][0]["rows"][0]["recipe"] == name
        assert name in data["tables"][0]["rows"][0]["name"]

    def test_p_values(self):
        """Whole ten-thousandths, p rounded down, row by row below the diagonal."""
        first, second, third = TestComparison.FIRST, TestComparison.SECOND, TestComparison.THIRD
        text = page(tables([first, second, third], "tasks"), [])
        data = json.loads(text.split('type="application/json">')[1].split("</script>")[0])
        assert data["level"] == 500
        (pairs,) = data["tables"][0]["checkpoints"]
        assert pairs["p"] == [701, 392, 1835]  # second-first, third-first, third-second
        assert pairs["difference"] == [-2000, -3333, -1333]
        assert pairs["classes"] == [None] * 3


def many(folder: Path, n_files: int, n_tasks: int) -> None:
    """Write result files for columns of up to 250 rows: 5 heads, and 5 training seeds of 10 recipes.

    All rows of a column share their tasks.
    """
    heads = ("nearest-mean", "logistic", "ridge", "svm", "bd-cspn")
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 0.08, n_tasks)
    for place in range(n_files):
        block, number = divmod(place, 250)
        chance = np.clip(0.5 + number / 1000 + hard + rng.normal(0, 0.05, n_tasks), 0, 1)
        names = {"dataset": f"set-{block // 4}", "run": f"run-{number // 5}"}
        names |= {
            "head": heads[number % 5],
            "recipe": f"recipe-{number // 25}",
            "train_seed": number // 5 % 5,
        }
        names |= {"n_way": 5, "n_shot": 1 + block % 4, "n_query": 15, "task_digest": f"{block:064d}"}
        result = changed(made(*rng.binomial(75, chance).tolist(), **names), source=names["dataset"])
        path = folder / result.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(
                result_files.to_json(changed(result, accuracy=sum(result.outcome.correct) / n_tasks / 75))
            )
        )


def test_work_grows_with_the_results_and_not_with_their_pairs(tmp_path: Path, monkeypatch):
    """Every file is read once, and three times as many results need three, not nine, times as many calls."""
    calls = []
    for n_files in (60, 180):
        folder, read = tmp_path / str(n_files), []
        many(folder, n_files, n_tasks=50)
        counted = lambda path, *more, paths=read: (paths.append(path), READ(path, *more))[1]  # noqa: E731
        monkeypatch.setattr(result_files, "read", counted)
        with cProfile.Profile() as profile:
            pages = leaderboard.update(folder, None)
        assert sorted(read) == sorted(result_files.paths(folder))
        assert len(pages[1].read_text().splitlines()) == 1 + n_files
        calls.append(pstats.Stats(profile).total_calls)
    assert calls[1] < 4 * calls[0]
