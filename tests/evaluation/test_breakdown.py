"""Tables that explain an accuracy, from three tasks counted by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fsbench.evaluation.breakdown import breakdown
from fsbench.tasks.sampler import Tasks

LABELS = np.repeat(np.arange(4), 5)  # items 0-4 are of a, 5-9 of b, 10-14 of c, 15-19 of d
NAMES = ("a", "b", "c", "d")


def batches() -> list[tuple[Tasks, np.ndarray]]:
    first = Tasks(
        support=np.array([[[0], [5]], [[5], [10]]], dtype=np.int32),  # a against b, b against c
        query=np.array([[1, 2, 6, 7], [8, 9, 11, 12]], dtype=np.int32),
        answers=np.array([[0, 0, 1, 1], [0, 0, 1, 1]], dtype=np.int16),
    )
    second = Tasks(
        support=np.array([[[10], [0]]], dtype=np.int32),  # c against a, one query missing
        query=np.array([[13, 3, -1, -1]], dtype=np.int32),
        answers=np.array([[0, 1, -1, -1]], dtype=np.int16),
    )
    return [
        (first, np.array([[0, 1, 1, 1], [1, 1, 1, 0]], dtype=np.int16)),
        (second, np.array([[1, 1, -1, -1]], dtype=np.int16)),
    ]


def test_per_class_accuracy_hardest_first():
    table = breakdown(batches(), LABELS, NAMES).classes
    assert table["class"].tolist() == ["c", "b", "a"]  # no query is of class d
    assert table["accuracy"].tolist() == pytest.approx([100 / 3, 50, 200 / 3])
    assert table["queries"].tolist() == [3, 4, 3]
    assert table["most_taken_for"].tolist() == ["a", "c", "b"]


def test_a_class_without_errors_has_no_confused_class(tmp_path: Path):
    (tasks, _), _ = batches()
    answers = np.array([[0, 0, 1, 1], [0, 0, 1, 0]], dtype=np.int16)  # one image of c is classified as b
    tables = breakdown([(tasks, answers)], LABELS, NAMES)
    assert tables.classes["class"].tolist() == ["c", "a", "b"]
    assert tables.classes["most_taken_for"].tolist() == ["b", "", ""]
    lines = tables.write(tmp_path / "5w1s.json")[0].read_text().splitlines()
    assert lines[2] == "a,100.00,2,"


def test_confusion_is_a_share_of_the_actual_class():
    table = breakdown(batches(), LABELS, NAMES).confusion
    assert table.loc["a"].tolist() == pytest.approx([200 / 3, 100 / 3, 0, 0])
    assert table.loc["b"].tolist() == pytest.approx([0, 50, 50, 0])
    assert table.loc["c"].tolist() == pytest.approx([100 / 3, 100 / 3, 100 / 3, 0])
    assert table.loc["d"].tolist() == [0, 0, 0, 0]


def test_hardest_tasks_first():
    table = breakdown(batches(), LABELS, NAMES).hardest
    assert table["task"].tolist() == [1, 2, 0]
    assert table["accuracy"].tolist() == [25, 50, 75]
    assert table["classes"].tolist() == ["b; c", "c; a", "a; b"]


def test_tables_are_written_beside_the_result(tmp_path: Path):
    paths = breakdown(batches(), LABELS, NAMES).write(tmp_path / "5w1s.json")
    assert [path.name for path in paths] == ["5w1s.classes.csv", "5w1s.confusion.csv", "5w1s.hardest.csv"]
    assert pd.read_csv(paths[1], index_col="actual").loc["b", "c"] == 50
