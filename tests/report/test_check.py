"""A correct results folder, and each possible problem."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.evaluation import result_files
from fsbench.evaluation.run import Output, evaluate
from fsbench.report import leaderboard
from fsbench.report.check import problems
from fsbench.tasks.spec import TaskSpec
from tests.changed import changed


@pytest.fixture(scope="module")
def made(trained: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    evaluate(
        trained / "best.safetensors",
        tasks=[TaskSpec(5, 1, 3, 20)],
        session=Session(cache, torch.device("cpu"), quiet=True),
        output=Output(folder),
    )
    leaderboard.update(folder, None)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "results")


def file_of(folder: Path) -> Path:
    (path,) = result_files.paths(folder)
    return path


def test_a_correct_folder_has_no_problem(folder: Path):
    (folder / "bench").mkdir()
    (folder / "bench" / "train.json").write_text("{}")  # timings, not a result
    assert list(problems(folder)) == []


def test_a_misplaced_file_is_a_problem(folder: Path):
    path = file_of(folder)
    path.rename(path.with_name("best.json"))
    assert any("belongs at tiny/tiny-erm-" in line for line in problems(folder))


def test_a_number_that_contradicts_the_scores_is_a_problem(folder: Path):
    path = file_of(folder)
    document = json.loads(path.read_text())
    outcome = document["outcome"]

    def write(**changes) -> None:
        path.write_text(json.dumps({**document, "outcome": {**outcome, **changes}}))

    write(half_width=0.001)
    assert any("half_width is 0.001, but the scores give 0.0" in line for line in problems(folder))
    wrong = [1 - value for value in outcome["class_values"]]
    write(class_values=[0.1, *wrong[1:]])
    assert any("class_half_width is" in line and "but class_values give" in line for line in problems(folder))
    write(accuracy=0.123)
    (line,) = problems(folder)
    assert "accuracy is 0.123, but the mean of the per-task scores is 0." in line


def test_stale_tables_are_a_problem(folder: Path):
    page = folder / "README.md"
    page.write_text(page.read_text() + "more")
    repair = f"write it again: fsbench leaderboard {folder}"
    assert list(problems(folder)) == [f"{page}: is stale; {repair}"]
    page.unlink()
    assert list(problems(folder)) == [f"{page}: is missing; {repair}"]
    readme = folder / "mine.md"
    readme.write_text("<!-- leaderboard:begin --><!-- leaderboard:end -->")
    assert list(problems(folder, readme))[-1] == f"{readme}: is stale; {repair} --readme {readme}"


def test_tasks_other_than_the_pinned_list_are_a_problem(folder: Path):
    result = result_files.read(file_of(folder))
    values = {"n_query": 15, "n_tasks": 10_000, "correct": (40, 50) * 5000, "queries": 75, "accuracy": 0.6}
    claim = changed(result, dataset="cifar-fs", **values)
    claim = changed(claim, half_width=stats.mean_and_half_width(claim.accuracies)[1])
    result_files.write(folder, claim)
    leaderboard.update(folder, None)
    (line,) = problems(folder)
    assert "task_digest is" in line
    assert "but the pinned list has" in line


def test_a_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(FsbenchError, match="there is no such folder"):
        list(problems(tmp_path / "absent"))
