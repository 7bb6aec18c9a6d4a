"""Heads with settings in evaluations: each question once, and settings for imbalanced queries."""

from pathlib import Path

import numpy as np
import pytest

import fsbench
from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.evaluation import result_files
from fsbench.evaluation.methods import automatic_settings
from fsbench.evaluation.result import Result
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Subject
from fsbench.features.store import Features, Origin
from fsbench.models.identity import Model
from fsbench.tasks.spec import TaskSpec

HEAD = "./mine.py:head"
MINE = """
import torch
from pathlib import Path

def head(support, query, balanced: bool = True, k: int = 0):
    with Path("calls").open("a") as calls:
        print(balanced, k, file=calls)
    return -torch.cdist(query, support.mean(dim=2)).roll(k + (not balanced), -1)
"""
BALANCED = TaskSpec(4, 1, 3, 20)
DIRICHLET = TaskSpec(4, 1, 3, 20, query_alpha=2.0)
REST = TaskSpec(4, 1, None, 20)


def features() -> Features:
    labels = np.repeat(np.arange(6, dtype=np.int32), 8)
    values = np.random.default_rng(0).normal(size=(48, 10)) + 6 * np.eye(6, 10)[labels]
    return Features(values.astype(np.float32), labels, tuple("abcdef"), Origin(dataset="mine", split="novel"))


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)


def run(*heads: str, tasks: tuple[TaskSpec, ...] = (BALANCED,), folder: Path | None = None) -> list[Result]:
    subject = Subject(features(), Model(run="run"))
    return evaluate(subject, tasks, heads, session=Session(quiet=True), output=Output(folder))


def calls() -> list[str]:
    """Settings with which the head was called since the last question."""
    lines = Path("calls").read_text(encoding="utf-8").splitlines()
    Path("calls").unlink()
    return lines


def test_settings_reach_the_head_and_the_file(tmp_path: Path):
    default, other = run(HEAD, f"{HEAD}:k=1", folder=tmp_path)
    assert calls() == ["True 0", "True 1"]
    assert [result.head.settings for result in (default, other)] == [{}, {"k": 1}]
    assert default.outcome.accuracy > 0.5 > other.outcome.accuracy
    assert [result_files.read(tmp_path / result.path) for result in (default, other)] == [default, other]


def test_equal_questions_are_computed_once(tmp_path: Path):
    spellings = (f"{HEAD}:k=2,balanced=false", f"{HEAD}:balanced=False,k=2e0", f"{HEAD}:k=2.0,balanced=false")
    for folder in (None, tmp_path):
        (result,) = run(*spellings, folder=folder)
        assert calls() == ["False 2"]
    assert run(spellings[1], folder=tmp_path) == [result]
    assert not Path("calls").exists()
    assert len(run(HEAD, f"{HEAD}:k=0,balanced=true")) == 1


@pytest.mark.parametrize("spec", [DIRICHLET, REST])
def test_imbalanced_queries_have_their_settings_unless_they_are_named(spec: TaskSpec):
    (automatic,), (named,) = (run(head, tasks=(spec,)) for head in (HEAD, f"{HEAD}:balanced=true"))
    assert set(calls()) == {"False 0", "True 0"}
    assert (automatic.head.settings, named.head.settings) == ({"balanced": False}, {})
    assert automatic.outcome.accuracy < 0.5 < named.outcome.accuracy
    (said,) = run(f"{HEAD}:balanced=false", HEAD, tasks=(spec,))
    assert said.question == automatic.question


def test_tasks_of_both_kinds_in_one_call():
    results = run(HEAD, f"{HEAD}:balanced=true", tasks=(BALANCED, DIRICHLET, REST))
    settings = [(result.spec.name, result.head.settings) for result in results]
    assert settings == [
        ("4w1s3q", {}),
        ("4w1s3q-dirichlet2", {}),
        ("4w1sallq", {}),
        ("4w1s3q-dirichlet2", {"balanced": False}),
        ("4w1sallq", {"balanced": False}),
    ]
    assert set(calls()) == {"True 0", "False 0"}


def test_a_line_says_what_was_set_and_why():
    results = run(HEAD, tasks=(BALANCED, DIRICHLET, REST))
    said = f"{HEAD}: settings for imbalanced queries (balanced=false)"
    reason = "all other images of a class are queries, and classes can have different numbers of them"
    assert automatic_settings([HEAD], results) == [
        f"{said}, since the queries of the tasks are imbalanced",
        f"{said}, since {reason}",
    ]
    assert automatic_settings([HEAD], run(HEAD)) == []
    assert automatic_settings([f"{HEAD}:balanced=false"], results) == []
    both = (HEAD, f"{HEAD}:balanced=false")
    assert automatic_settings(both, run(*both)) == []  # the user set it: these queries are balanced
    named = run(f"{HEAD}:balanced=true", tasks=(DIRICHLET,))
    assert automatic_settings([f"{HEAD}:balanced=true"], named) == []


def test_wrong_settings_are_refused_before_anything_is_computed(tmp_path: Path):
    with pytest.raises(FsbenchError, match=r"^head \./mine\.py:head: k must be a whole number, but is 'x'$"):
        run("nearest-mean", f"{HEAD}:k=x", folder=tmp_path / "results")
    assert not Path("calls").exists()
    assert not (tmp_path / "results").exists()


def test_the_frame_names_the_settings():
    loaded = features()
    frame = fsbench.evaluate(
        loaded.values, loaded.labels, head=[HEAD, f"{HEAD}:k=1"], tasks=[DIRICHLET], quiet=True
    )
    assert list(frame["head"]) == [f"{HEAD}:balanced=false", f"{HEAD}:balanced=false,k=1"]
    assert "head_settings" not in frame
