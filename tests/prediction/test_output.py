"""Files made from a prediction: the table as CSV and JSON, and sorted copies."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fsbench._util.errors import FsbenchError
from fsbench.cli import main
from fsbench.prediction import Prediction, sort_into, write_table
from fsbench.prediction.output import check_sort_into
from tests.prediction.made import calibrated, held_out, made

IMAGES = ("a/x.jpg", "b/x.jpg", "b/x (2).jpg", "c.jpg")


@pytest.fixture
def query(tmp_path: Path) -> Path:
    """A query folder whose files hold their own names."""
    for name in IMAGES:
        path = tmp_path / "query" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "query"


def cats(**changes) -> Prediction:
    """All images are cats, but the last one is a dog."""
    return made(np.eye(3)[[0, 0, 0, 1]], images=IMAGES, **changes)


class TestTable:
    def test_columns_by_hand(self, tmp_path):
        scores = [[0, np.log(2), np.log(5)], [np.log(38), 0, 0]]
        write_table(calibrated(scores, images=("dog/1.png", "2.png")), tmp_path / "out.csv")
        table = pd.read_csv(tmp_path / "out.csv")
        assert list(table.columns) == [
            "path", "class", "probability", "sure", "second class", "second probability", "true class",
            "probability cat", "probability dog", "probability fox",
        ]  # fmt: skip
        assert table.iloc[0].tolist() == [
            "dog/1.png",
            "fox",
            0.625,
            "no",
            "dog",
            0.25,
            "dog",
            0.125,
            0.25,
            0.625,
        ]
        assert table.iloc[1, :6].tolist() == ["2.png", "cat", 0.95, "yes", "dog", 0.025]
        assert pd.isna(table["true class"][1])

    def test_json_file_has_what_json_prints(self, tmp_path):
        write_table(made([[2, 1, 0]]), tmp_path / "out.JSON")
        value = json.loads((tmp_path / "out.JSON").read_text())
        assert value["images"][0]["class"] == "cat"
        assert value["images"][0]["probability"] is None
        assert value["expected_accuracy"] is None

    def test_names_are_escaped_for_spreadsheets_only(self, tmp_path):
        support = dict.fromkeys(("=cat", "dog", "fox"), ("a.png", "b.png"))
        prediction = made([[2, 1, 0]], support=support, images=("=cat/1.png",))
        for name in ("out.csv", "out.json"):
            write_table(prediction, tmp_path / name)
        row = pd.read_csv(tmp_path / "out.csv").iloc[0]
        assert (row["path"], row["class"], row["true class"]) == ("./=cat/1.png", "'=cat", "'=cat")
        value = json.loads((tmp_path / "out.json").read_text())
        (image,) = value["images"]
        assert (image["path"], image["class"], image["true class"]) == ("=cat/1.png", "=cat", "=cat")
        assert value["least_confident"] == [image["path"]]
        assert value["classes"][0]["class"] == image["class"]

    def test_other_names_are_refused_before_reading(self, tmp_path, capsys):
        nowhere = str(tmp_path / "no")
        assert main(["predict", nowhere, "--support", nowhere, "--query", nowhere, "--out", "p.txt"]) == 2
        assert capsys.readouterr().err == "fsbench: --out p.txt: must end in .csv or .json\n"


class TestSortInto:
    def test_copies_keep_their_names_where_they_can(self, query, tmp_path):
        assert sort_into(cats(), query, tmp_path / "new" / "sorted") == {"cat": 3, "dog": 1}
        sorted_files = {
            path.relative_to(tmp_path / "new").as_posix(): path.read_text()
            for path in (tmp_path / "new").rglob("*")
            if path.is_file()
        }
        assert sorted_files == {
            "sorted/cat/x.jpg": "a/x.jpg",
            "sorted/cat/x (2).jpg": "b/x.jpg",
            "sorted/cat/x (2) (2).jpg": "b/x (2).jpg",
            "sorted/dog/c.jpg": "c.jpg",
        }
        assert sorted(path.name for path in query.rglob("*.jpg")) == ["c.jpg", "x (2).jpg", "x.jpg", "x.jpg"]

    def test_rejected_images_have_a_folder(self, query, tmp_path):
        left_out = held_out(np.eye(3), [0, 1, 2], [1, 1, 1])
        prediction = cats(held_out=left_out, distances=np.array([0, 0, 2, 0]), reject=True)
        (tmp_path / "sorted").mkdir()
        assert sort_into(prediction, query, tmp_path / "sorted") == {"cat": 2, "dog": 1, "none of these": 1}
        assert (tmp_path / "sorted" / "none of these" / "x (2).jpg").read_text() == "b/x (2).jpg"

    def test_a_folder_with_files_is_refused(self, query, tmp_path):
        (tmp_path / "sorted").mkdir()
        (tmp_path / "sorted" / "mine.txt").write_text("keep")
        with pytest.raises(FsbenchError, match=r"--sort-into .*sorted: must be a new or empty folder"):
            sort_into(cats(), query, tmp_path / "sorted")
        assert [path.name for path in (tmp_path / "sorted").iterdir()] == ["mine.txt"]

    def test_a_folder_among_the_images_is_refused(self, query, tmp_path):
        support = tmp_path / "support"
        support.mkdir()
        (tmp_path / "link").symlink_to(query)
        for folder, option in (
            (query / "sorted", "--query"), (query, "--query"), (tmp_path / "link" / "s", "--query"),
            (support / "s", "--support"),
        ):  # fmt: skip
            with pytest.raises(FsbenchError, match=rf"--sort-into {re.escape(str(folder))}: .* in {option}"):
                check_sort_into(folder, support, query)
        check_sort_into(tmp_path / "query-sorted", support, query)

    def test_a_folder_that_would_contain_other_files_is_refused(self, query, tmp_path):
        folder = tmp_path / "sorted"
        (tmp_path / "link").symlink_to(folder)
        table, page = folder / "deep" / "p.csv", tmp_path / "link" / "s.html"
        with pytest.raises(FsbenchError, match=rf"must not contain --out {re.escape(str(table))}; write it"):
            check_sort_into(folder, query, query, table)
        with pytest.raises(FsbenchError, match=rf"must not contain --sheet {re.escape(str(page))}"):
            check_sort_into(folder, query, query, tmp_path / "p.csv", page)
        check_sort_into(folder, query, query, tmp_path / "p.csv", tmp_path / "s.html")

    def test_the_command_checks_the_table_first(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        line = "predict no --support no --query no2 --out sorted/p.csv --sort-into sorted"
        assert main(line.split()) == 2
        error = "fsbench: --sort-into sorted: must not contain --out sorted/p.csv; write it elsewhere\n"
        assert capsys.readouterr().err == error

    def test_the_working_folder_is_refused(self, query, tmp_path, monkeypatch):
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path / "empty")
        with pytest.raises(FsbenchError, match=r"--sort-into \.: must not be the working folder; name a new"):
            check_sort_into(Path(), query, query)

    def test_a_link_to_an_empty_folder_stays_a_link(self, query, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "empty")
        assert sort_into(cats(), query, tmp_path / "link") == {"cat": 3, "dog": 1}
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "empty" / "dog" / "c.jpg").read_text() == "c.jpg"

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
    def test_permissions_follow_the_umask(self, query, tmp_path):
        before = os.umask(0o027)
        try:
            sort_into(cats(), query, tmp_path / "sorted")
        finally:
            os.umask(before)
        assert (tmp_path / "sorted").stat().st_mode & 0o777 == 0o750

    def test_a_failure_leaves_nothing(self, query, tmp_path):
        (query / "c.jpg").unlink()
        with pytest.raises(FsbenchError, match=r"cannot copy .*c\.jpg: no such file"):
            sort_into(cats(), query, tmp_path / "sorted")
        assert [path.name for path in tmp_path.iterdir()] == ["query"]
