"""Tables from result files. Their golden files lie in tests/golden/leaderboard, over made-up results."""

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from fsbench import leaderboard, results, stats
from fsbench.errors import FsbenchError
from fsbench.leaderboard import compare, rows
from fsbench.leaderboard.markdown import sections
from fsbench.leaderboard.tables import Spread, tables
from fsbench.results import Result

GOLDEN = Path(__file__).parent / "golden" / "leaderboard"
BASE = results.read(GOLDEN / "results" / "cifar-fs" / "erm-conv4-s0" / "5w1s3q-nearest-mean-l2-20t-s0.json")


def made(*correct: int, **changes) -> Result:
    """A result with these right answers of 15 in each task."""
    result = replace(BASE, correct=correct, n_tasks=len(correct), **changes)
    return replace(result, accuracy=float(result.accuracies.mean()))


def shown(found) -> list[list[list[str]]]:
    """The text cells of each Markdown table, as a renderer reads them."""
    read, inside = [], False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(sections(tables(found))):
        if token.type == "table_open":
            read.append([])
        elif token.type == "tr_open":
            read[-1].append([])
        elif token.type in ("th_open", "td_open", "th_close", "td_close"):
            inside = token.type.endswith("open")
        elif token.type == "inline" and inside:
            read[-1][-1].append("".join(child.content for child in token.children))
    return read


class TestPages:
    def test_golden(self):
        """The committed pages follow from the results. After a change write them again, and read them:

        fsbench leaderboard tests/golden/leaderboard/results --readme tests/golden/leaderboard/project.md
        """
        assert leaderboard.stale(GOLDEN / "results", GOLDEN / "project.md") == []

    def test_they_follow_from_the_files(self, tmp_path: Path):
        folder, readme = tmp_path / "results", tmp_path / "README.md"
        path = results.write(folder, made(10, 12))
        readme.write_text("Before\n<!-- leaderboard:begin -->old<!-- leaderboard:end -->\nAfter\n")
        assert leaderboard.stale(folder, readme) == leaderboard.update(folder, readme)
        assert leaderboard.stale(folder, readme) == []
        text = readme.read_text()
        assert text.startswith("Before\n<!--")
        assert text.endswith("-->\nAfter\n")
        assert "old" not in text

        path.unlink()
        pages = leaderboard.stale(folder, readme)
        assert pages[0] == folder / "README.md"
        assert pages[-1] == readme
        leaderboard.update(folder, readme)
        assert "There are no results yet." in readme.read_text()

    def test_an_edited_page_is_stale(self, tmp_path: Path):
        results.write(tmp_path, made(10, 12))
        for page in leaderboard.update(tmp_path, None):
            page.write_text(page.read_text().replace("73.33", "83.33"))
            assert leaderboard.stale(tmp_path, None) == [page]
            page.unlink()
            assert leaderboard.stale(tmp_path, None) == [page]
            leaderboard.update(tmp_path, None)

    def test_links_lead_to_the_files(self):
        text = (GOLDEN / "results" / "README.md").read_text()
        links = [part.split(")")[0] for part in text.split("](")[1:]]
        assert len(links) >= 7
        assert all(any((GOLDEN / "results" / link).glob("*.json")) for link in links)

    def test_nothing_is_written_when_a_page_cannot_be(self, tmp_path: Path):
        shutil.copytree(GOLDEN / "results" / "glyphs", tmp_path / "results" / "glyphs")
        readme = tmp_path / "README.md"
        readme.write_text("no markers")
        with pytest.raises(FsbenchError, match="it lacks these markers"):
            leaderboard.update(tmp_path / "results", readme)
        assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["glyphs"]

    @pytest.mark.parametrize(
        ("found", "message"),
        [
            ([made(10)], "n_tasks must be at least 2, but is 1"),
            ([made(10, 12), made(11, 12)], "2 results differ in nothing but their outcome"),
        ],
    )
    def test_what_no_table_can_show(self, found, message):
        with pytest.raises(FsbenchError, match=message):
            tables(found)


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
    def test_what_may_not_be_compared_shares_no_table(self, field, other):
        found = tables([made(10, 12, run="a"), made(10, 12, run="b", queries=15, **{field: other})])
        assert [len(table.lines) for table in found] == [1, 1]
        assert found[0].heading != found[1].heading

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
            ("n_tasks", None),
        ],
    )
    def test_what_is_compared_has_a_row_each(self, field, other):
        second = made(10, 12, 12) if field == "n_tasks" else made(10, 12, **{field: other})
        (table,) = shown([made(11, 12), second])
        lines = [line for line in table[1:] if "mean of" not in line[3]]
        assert len(lines) == 2
        assert lines[0][:5] != lines[1][:5]

    def test_a_new_key_needs_a_place(self):
        """A key that makes results incomparable belongs in GROUP; all that stand here make rows."""
        assert set(rows.FAMILY) == {
            *("backbone", "dropout", "recipe", "preset", "overrides", "classifier", "epochs"),
            *("precision", "transform", "head", "preprocess", "transductive", "seed"),
        }

    def test_protocols_are_columns(self):
        found = [made(10, 12, n_way=way, n_shot=shot) for way, shot in [(20, 1), (5, 5), (5, 1)]]
        (table,) = shown(found)
        assert table[0][5:] == ["5-way 1-shot", "5-way 5-shot", "20-way 1-shot"]
        assert len(table) == 2

    def test_photographs_come_first_and_synthetic_images_say_so(self):
        found = tables([made(10, 12, synthetic=True, dataset="a"), made(10, 12, dataset="z"), made(10, 12)])
        assert [table.results[0].dataset for table in found] == ["cifar-fs", "z", "a"]
        text = sections(found)
        assert text.count("synthetic") == 2
        assert "drawn by code" in text.split("###")[3]

    def test_order_of_files_is_irrelevant(self):
        found = list(results.read_all(GOLDEN / "results"))
        text = sections(tables(found))
        rng = np.random.default_rng(0)
        for _ in range(20):
            assert sections(tables([found[place] for place in rng.permutation(len(found))])) == text


class TestComparison:
    # With three tasks the two-sided p of the t test is 1 - t / sqrt(t^2 + 2).
    FIRST, SECOND, THIRD = made(15, 15, 15), made(12, 11, 13, run="b"), made(11, 10, 9, run="c")
    FIRST_SECOND = 1 - (27 / 29) ** 0.5  # differences 3 4 2, t = 3 sqrt 3, p = 0.0351
    FIRST_THIRD = 1 - (75 / 77) ** 0.5  # differences 4 5 6, t = 5 sqrt 3, p = 0.0131
    SECOND_THIRD = 1 - 2 / 6**0.5  # differences 1 1 4, t = 2, p = 0.1835

    def test_holm_over_all_pairs(self):
        p = compare.adjusted_p([self.FIRST, self.SECOND, self.THIRD])
        smallest, middle = 3 * self.FIRST_THIRD, 2 * self.FIRST_SECOND  # 0.0392, 0.0702
        expected = [[1, middle, smallest], [middle, 1, self.SECOND_THIRD], [smallest, self.SECOND_THIRD, 1]]
        np.testing.assert_allclose(p, expected, rtol=1e-12)

    def test_bold_is_the_best_and_what_does_not_differ_from_it(self):
        """The second differs at 0.05 before Holm's adjustment, and not after it."""
        text = sections(tables([self.THIRD, self.SECOND, self.FIRST]))
        bold = [line.split("**")[1] for line in text.splitlines() if "**" in line]
        assert bold == ["100.00 ± 0.00", "80.00 ± 16.56"]
        assert "66.67 ± 16.56" in text

    def test_rows_that_do_not_differ_share_a_rank(self):
        (table,) = tables([self.FIRST, self.SECOND, self.THIRD])
        assert [line.cells[5, 1].rank for line in table.lines] == [1, 1, 2]

    def test_each_pair_is_that_of_stats(self):
        """Same tasks, other tasks, other numbers of tasks, equal scores, and scores a constant apart."""
        rng = np.random.default_rng(0)
        score = rng.binomial(15, 0.6, (4, 12)).clip(1, 14)
        score[1] = np.where(rng.random(12) < 0.8, score[0], score[1])
        found = [made(*correct, run=str(place)) for place, correct in enumerate(score.tolist())]
        found += [made(*score[0].tolist(), run="equal"), made(*(score[0] + 1).tolist(), run="apart")]
        found += [made(*rng.binomial(15, 0.6, 30).tolist(), run="longer", task_digest="0" * 64)]
        found += [
            made(8, 8, run="constant", task_digest="1" * 64),
            made(9, 9, run="too", task_digest="2" * 64),
        ]
        p = compare.pairwise_p(found)
        for i, j in combinations(range(len(found)), 2):
            same = found[i].task_digest == found[j].task_digest
            test = stats.paired_p if same else stats.welch_p
            assert p[i, j] == pytest.approx(test(found[i].accuracies, found[j].accuracies), abs=1e-9)
            assert p[j, i] == p[i, j]

    def test_one_row_has_nothing_to_beat(self):
        assert "**" not in sections(tables([made(10, 12), made(10, 12, n_shot=5)]))


class TestCells:
    def test_mean_and_half_width(self):
        """Of 10, 12, 14 right of 15: mean 80 %, s = 2 / 15, t(0.975, 2) = 4.3027."""
        (table,) = shown([made(10, 12, 14)])
        assert table[1][5] == f"80.00 ± {100 * 4.3027 * 2 / 15 / 3**0.5:.2f}"

    def test_number_of_tasks_where_it_differs(self):
        (table,) = shown([made(10, 12), made(10, 12, 14, run="b")])
        assert sorted(line[5].rpartition(" ")[2] for line in table[1:]) == ["(2)", "(3)"]

    def test_seeds_are_averaged(self):
        """Accuracies 60, 80 and 70 % have mean 70 and standard deviation 10."""
        seeds = [made(9, 9), made(12, 12, train_seed=1, run="b"), made(10, 11, train_seed=2, run="c")]
        (table,) = tables([*seeds, made(9, 9, n_shot=5)])
        assert [line.n_seeds for line in table.lines] == [3, 1, 1, 1]
        spread = table.lines[0].cells
        assert spread.keys() == {(5, 1)}, "not every seed has a 5-shot result"
        assert isinstance(spread[5, 1], Spread)
        assert (spread[5, 1].mean, spread[5, 1].std) == pytest.approx((0.7, 0.1))
        text = shown(seeds)[0]
        assert text[1][3:] == ["mean of 3 seeds", "nearest-mean (l2)", "70.00 ± 10.00 std"]

    def test_two_runs_of_one_seed_are_not_seeds(self):
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
        assert "‡: is told" in text
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
