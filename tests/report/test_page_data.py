"""The data of the leaderboard page: configurations, links to rows, checkpoints, texts."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench._util.files import sha256_of
from fsbench.evaluation import result_files
from fsbench.heads import HEADS
from fsbench.report.leaderboard import about
from fsbench.report.leaderboard.checkpoints import committed
from fsbench.report.leaderboard.configurations import configurations, identifiers
from fsbench.report.leaderboard.published import quotations
from fsbench.report.leaderboard.tables import Table, tables
from fsbench.report.leaderboard.web import page
from fsbench.report.leaderboard.web_pairs import MOST_COMPARED
from fsbench.training.recipe import load_recipe, recipe_names
from tests.changed import changed, with_correct

GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard" / "results"
RESULTS = list(result_files.read_all(GOLDEN))
BASE = next(result for result in RESULTS if result.model.train_seed == 0)


def data_of(measured: list[Table], quoted: Any = (), checkpoints: Any = None) -> dict[str, Any]:
    text = page(measured, quoted, checkpoints).split('type="application/json">')[1].split("</script>")[0]
    return json.loads(text)


def made(*correct: int, **changes: Any):
    return with_correct(BASE, correct, **{"class_values": None, "class_half_width": None, **changes})


def seeds(n: int, **changes: Any):
    return [made(10 + k, 12, train_seed=k, checkpoint=f"{k}" * 64, run=f"r{k}", **changes) for k in range(n)]


class TestConfigurations:
    def test_each_run_is_in_one_configuration(self):
        for table in tables(RESULTS):
            folded = configurations(table)
            assert [run for one in folded for run in one.runs] == table.checkpoint_lines
            assert all(len(one.runs) == one.line.n_seeds for one in folded)

    def test_seeds_are_folded(self):
        (table,) = tables([*seeds(3), made(8, 9, recipe="mixup", run="m")])
        first, second = configurations(table)
        assert [run.result.model.train_seed for run in first.runs] == [0, 1, 2]
        assert second.runs == [second.line]

    def test_intervals_of_a_mean(self):
        """Over tasks: of the mean score of each task. Over classes: of the mean value of each class."""
        values = [(0.2, 0.4, 0.9), (0.4, 0.6, 0.5)]
        results = [
            replace(result, outcome=replace(result.outcome, class_values=value))
            for result, value in zip(seeds(2), values, strict=True)
        ]
        accuracy = configurations(*tables(results))[0].accuracies[5, 1]
        assert accuracy.over_tasks == stats.mean_and_half_width([10.5 / 15, 12 / 15])[1]
        assert accuracy.class_values == pytest.approx([0.3, 0.5, 0.7])
        assert accuracy.over_classes == pytest.approx(stats.mean_and_half_width([0.3, 0.5, 0.7])[1])

    def test_unknown_intervals(self):
        """Different tasks have no interval over tasks, and missing class values none over classes."""
        first, second = seeds(2)
        accuracy = configurations(*tables([first, changed(second, n_tasks=2, task_digest="0" * 64)]))[0]
        assert accuracy.accuracies[5, 1].over_classes is None
        longer = with_correct(second, (10, 12, 14))
        accuracy = configurations(*tables([first, longer]))[0].accuracies[5, 1]
        assert accuracy.over_tasks is None

    def test_a_protocol_that_some_seeds_lack_is_a_mean_over_the_others(self):
        first, second = seeds(2)
        row = data_of(tables([first, second, changed(first, n_shot=5)]))["tables"][0]["rows"][0]
        assert row["cells"][0]["seeds"] == 2
        assert row["cells"][1]["seeds"] == 1
        assert row["cells"][1]["mean"] == row["runs"][0]["cells"][1]["mean"]
        assert not row["cells"][1]["compared"]


class TestIdentifiers:
    def test_they_do_not_depend_on_other_results(self):
        """A link to a row still works after another seed, head or data set was added."""
        one = data_of(tables(seeds(1)))["tables"][0]["rows"][0]["id"]
        assert one.startswith("erm-cosine-nearest-mean-l2-")
        others = [*seeds(3), made(10, 12, recipe="mixup"), made(10, 12, dataset="cub")]
        assert [r["id"] for r in data_of(tables(others))["tables"][0]["rows"]].count(one) == 1

    def test_settings_of_the_head_have_their_own(self):
        """Rows without settings keep the identifier that they had before there were settings."""
        one, other = made(10, 12), made(10, 12, head_settings={"k": 3})
        rows = {row["headText"]: row for row in data_of(tables([one, other]))["tables"][0]["rows"]}
        assert rows.keys() == {"nearest-mean (l2)", "nearest-mean (l2, k 3)"}
        assert rows["nearest-mean (l2)"]["id"] == "erm-cosine-nearest-mean-l2-296eaa12"
        assert rows["nearest-mean (l2, k 3)"]["id"].startswith("erm-cosine-nearest-mean-l2-k-3-")
        assert {row["head"] for row in rows.values()} == {"nearest-mean"}

    def test_a_similar_row_changes_no_identifier(self):
        """Although the label then has a detail that tells both rows apart."""
        one = made(10, 12, stored_size=None)
        (before,) = data_of(tables([one]))["tables"][0]["rows"]
        rows = data_of(tables([one, made(9, 12, stored_size=40)]))["tables"][0]["rows"]
        assert {row["changes"] for row in rows} == {
            "epochs 20, unknown stored size",
            "epochs 20, images stored at 40 px",
        }
        assert before["id"] in [row["id"] for row in rows]
        assert len({row["id"] for row in rows}) == 2

    def test_all_rows_of_the_page_have_their_own(self):
        data = data_of(tables(RESULTS), quotations(memory_rows=True))
        names = [row["id"] for table in data["tables"] for row in table["rows"]]
        assert len(names) == len(set(names)) > 400
        assert all(name.replace("-", "").isalnum() and name.isascii() for name in names)

    def test_equal_rows_are_numbered(self):
        first, second, other = identifiers([{"a": "x", "b": "<y>"}] * 2 + [{"a": "x", "b": "z"}])
        assert second == f"{first}-2"
        assert first.startswith("x-y-")
        assert other != first


class TestPage:
    def test_folded_rows(self):
        table = data_of(tables(RESULTS))["tables"][0]
        assert [len(row["runs"]) for row in table["rows"]] == [1, 3, 3]
        mean, *_ = [row for row in table["rows"] if len(row["runs"]) == 3]
        runs = [run["cells"][0]["mean"] for run in mean["runs"]]
        assert mean["cells"][0]["mean"] == pytest.approx(np.mean(runs), abs=1e-4)
        assert [mean["cells"][0]["low"], mean["cells"][0]["high"]] == [min(runs), max(runs)]
        single = table["rows"][0]
        assert single["cells"] is None

    def test_names_have_a_digest_only_where_it_distinguishes(self):
        def names(*runs: tuple[str, str]) -> set[str]:
            made_runs = [made(9, 9, run=run, recipe=None, preset=None, checkpoint=c) for run, c in runs]
            return {row["name"] for row in data_of(tables(made_runs))["tables"][0]["rows"]}

        a, b = "a" * 64, "b" * 64
        assert names(("net-aaaaaaaa", a), ("run-20240101", b)) == {"net", "run-20240101"}
        assert names(("net-aaaaaaaa", a), ("net-bbbbbbbb", b)) == {"net-aaaaaaaa", "net-bbbbbbbb"}

    def test_large_tables_have_no_pairs(self):
        """Pairs grow with the square of the rows; ranks stay."""
        results = [made(10, k % 15, run=f"r{k}", recipe=f"r{k}") for k in range(MOST_COMPARED + 1)]
        assert data_of(tables(results[:-1]))["tables"][0]["checkpoints"][0] is not None
        table = data_of(tables(results))["tables"][0]
        assert table["checkpoints"] == [None]

    def test_commands_that_need_a_checkpoint(self):
        """`fsbench reproduce` repeats only trainings that the result file describes."""
        results = [made(10, 12, run="a"), made(10, 12, run="b", recipe=None)]
        results += [made(10, 12, run="c", recipe="./mine.py"), made(10, 12, run="d", head="./my.py:head")]
        rows = {row["runs"][0]["name"]: row for row in data_of(tables(results))["tables"][0]["rows"]}
        assert {name: row["repeatable"] for name, row in rows.items()} == {
            **dict.fromkeys("ad", True),
            **dict.fromkeys("bc", False),
        }
        assert [name for name, row in rows.items() if row["ownHead"]] == ["d"]


class TestCheckpoints:
    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        folder = tmp_path / "checkpoints"
        folder.mkdir()
        (folder / "a b.safetensors").write_bytes(b"weights")
        (folder / "a b.csv").write_text(
            "stage,epoch,val_accuracy,val_half_width\nclass,1,0.5,0.01\nclass,2,,\nclass,3,0.6,0.02\n"
        )
        (folder / "plain.safetensors").write_bytes(b"others")
        return tmp_path

    def test_curves_belong_to_weights(self, results: Path):
        digest = sha256_of(results / "checkpoints" / "a b.safetensors")
        assert committed(results)[digest].curve == ((1, 50.0, 1.0), (3, 60.0, 2.0))
        assert sorted(len(one.curve) for one in committed(results).values()) == [0, 2]
        assert committed(results / "none") == {}

    @pytest.mark.parametrize(
        "log", ["", "a,b\n1,2\n", "epoch,val_accuracy,val_half_width\n1,nan,x\n2,1\n", "\x00\n"]
    )
    def test_other_logs_have_no_curve(self, results: Path, log: str):
        (results / "checkpoints" / "a b.csv").write_text(log)
        assert not any(one.curve for one in committed(results).values())

    def test_the_page_has_those_of_its_results(self, results: Path):
        digest = sha256_of(results / "checkpoints" / "a b.safetensors")
        data = data_of(tables([made(10, 12, checkpoint=digest)]), [], committed(results))
        assert data["checkpoints"] == {
            digest: {"file": "checkpoints/a%20b.safetensors", "curve": [[1, 50, 1], [3, 60, 2]]}
        }


class TestAbout:
    def why(self, **changes: Any) -> str:
        result = changed(made(9, 9), source="cifar-fs", dataset="cifar-fs", synthetic=False, **changes)
        return about.why_published_differ("cifar-fs", tables([result]), quotations())

    def test_why_published_rows_are_higher(self):
        text = self.why(backbone="conv4", epochs=40)
        assert text.startswith(
            "28 published rows are above the best recipe trained here (one training seed: 60.0 %; published: "
            "up to 78.9 %; inductive, 5-way 1-shot), mostly with other backbones (resnet12 in 12, "
        )
        assert "trained here: conv4 for 40 epochs." in text

    def test_the_mean_of_a_recipe_is_compared(self):
        """Not its highest seed, backbones trained elsewhere, or heads that are given class counts."""
        own = {"source": "cifar-fs", "dataset": "cifar-fs", "synthetic": False, "backbone": "conv4"}
        results = [changed(result, **own) for result in seeds(3)]
        results += [
            changed(made(15, 15, run="p", recipe=None, train_seed=None), **own | {"source": "imagenet-1k"}),
            changed(made(15, 15, run="p", recipe=None, train_seed=None), **own),
            changed(made(15, 15, run="c", class_prior=True), **own),
        ]
        text = about.why_published_differ("cifar-fs", tables(results), quotations())
        assert "(mean of 3 seeds: 76.7 %; published: up to 78.9 %;" in text

    def test_seeds_with_different_protocols_have_no_mean_to_compare(self):
        own = {"source": "cifar-fs", "dataset": "cifar-fs", "synthetic": False}
        first, second = seeds(2)
        results = [changed(first, **own), changed(second, **own, n_shot=5)]
        assert about.why_published_differ("cifar-fs", tables(results), quotations()) == ""

    def test_epochs_of_the_paper(self):
        text = self.why(recipe="s2m2-r", preset="fast", epochs=40)
        assert " for 40 epochs where the papers of their recipes train 500." in text

    def test_nothing_to_explain(self):
        """Where measured rows lead, where nothing is published, and on other data sets."""
        best = tables([made(15, 15)])
        assert about.why_published_differ("cifar-fs", best, quotations()) == ""
        assert about.why_published_differ("cifar-fs", best, []) == ""
        assert about.why_published_differ("cub", best, quotations()) == ""

    def test_papers_are_those_of_heads_and_recipes(self):
        """The file repeats them, so that the leaderboard need not import torch."""
        written = about._papers()
        assert written["heads"] == {name: head.paper for name, head in HEADS.items()}
        for name in recipe_names():
            expected = {"paper": load_recipe(name).paper}
            with suppress(FsbenchError):  # there is no such preset
                expected["epochs"] = load_recipe(name, "paper").epochs
            assert written["recipes"][name] == expected
        assert set(written["recipes"]) == set(recipe_names())

    def test_papers_of_shipped_methods_only(self):
        results = [made(10, 12, recipe="mixup"), made(10, 12, recipe="./mine.py", head="./my.py:head")]
        assert about.papers(results) == {
            "recipes": {"mixup": "arXiv:1710.09412"},
            "heads": {"nearest-mean": "SimpleShot, arXiv:1911.04623"},
        }

    def test_citation_names_the_versions_of_the_results(self):
        versions = [{"fsbench": "0.2.0"}, {"fsbench": "0.1.0}, evil = {1"}, {}]
        results = [replace(BASE, outcome=replace(BASE.outcome, versions=value)) for value in versions]
        assert "  version = {0.1.0evil1, 0.2.0}," in about.citation(results)
        assert "version" not in about.citation(results[2:])
