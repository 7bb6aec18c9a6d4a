"""Heads that fsbench does not ship: in a file, in a package, or by an entry point."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from fsbench._util.errors import FsbenchError
from fsbench.cli import main
from fsbench.heads import HEADS, find_head, nearest_mean

MINE = '''
from __future__ import annotations

from dataclasses import dataclass

import torch
from fsbench.heads import Head


@dataclass(frozen=True)
class Setting:  # looks for its module among the imported ones
    power: float = 2.0


def head(support, query):
    """Minus the distance to class means."""
    return -torch.cdist(query, support.mean(dim=2)) ** Setting().power


HEAD = Head(head, paper="mine", preprocess="l2", transductive=True)

def turned(support, query):
    return head(support, query).mT

def no_number(support, query):
    return head(support, query) * float("nan")

def failing(support, query):
    return support @ query

def late(support, query):
    return None

def of_keys(support, query, keys):
    return head(support, query) + keys[:, None, None]

OF_KEYS = Head(of_keys, paper="mine", preprocess="l2")

a_number = 3
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


@pytest.fixture
def task() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 2, 8, generator=generator), torch.randn(3, 10, 8, generator=generator)


def test_a_function_in_a_file(mine, task):
    actual = find_head(f"{mine}:head")
    assert actual.classify(*task).argmax(-1).tolist() == (nearest_mean(*task)).argmax(-1).tolist()
    assert (actual.paper, actual.preprocess) == (f"{mine}:head", "none")
    assert (actual.transductive, actual.uneven) == (False, False)
    assert actual.code == hashlib.sha256(MINE.encode()).hexdigest()


def test_a_file_may_declare_a_complete_head(mine):
    actual = find_head(f"{mine}:HEAD")
    assert (actual.preprocess, actual.transductive, actual.paper) == ("l2", True, "mine")


def test_a_head_receives_the_arguments_it_declares(mine, task):
    logits = find_head(f"{mine}:OF_KEYS")(*task, keys=torch.tensor([0, 100, 200]))
    without = find_head(f"{mine}:head").classify(*task)
    torch.testing.assert_close(
        logits - without, torch.tensor([0.0, 100, 200])[:, None, None].expand(3, 10, 5)
    )


def test_a_function_in_a_package(mine, task, monkeypatch):
    (mine.parent / "heads_of_mine").mkdir()
    mine.rename(mine.parent / "heads_of_mine" / "means.py")
    monkeypatch.syspath_prepend(mine.parent)
    assert find_head("heads_of_mine.means:head").classify(*task).shape == (3, 10, 5)


def test_an_entry_point_of_a_package(mine, task, monkeypatch):
    """Install a package like pip: with a folder of metadata beside it."""
    mine.rename(mine.parent / "offered_heads.py")
    about = mine.parent / "offered_heads-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: offered-heads\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[fsbench.heads]\neuclid = offered_heads:HEAD\nlogistic = offered_heads:failing\n"
    )
    monkeypatch.syspath_prepend(mine.parent)
    actual = find_head("euclid")
    assert actual.classify(*task).shape == (3, 10, 5)
    assert actual.code == hashlib.sha256(MINE.encode()).hexdigest()
    assert find_head("logistic") is HEADS["logistic"]  # a package cannot replace a shipped head
    with pytest.raises(FsbenchError, match="unknown head 'euclit'; did you mean 'euclid'"):
        find_head("euclit")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("turned", r"must return logits \(tasks, queries, n_way\) \(3, 10, 5\), but returned \(3, 5, 10\)$"),
        ("no_number", r"must return logits .* but returned \(3, 10, 5\) with NaN$"),
        ("failing", r"head .*mine.py:failing: RuntimeError: .* \(mine.py, line \d+\)"),
        ("late", "must return logits .* but returned NoneType"),
        ("a_number", "must be a function or a Head, but is int"),
        ("absent", "mine.py does not define absent"),
    ],
)
def test_invalid_heads_give_one_line(mine, task, name, message):
    with pytest.raises(FsbenchError, match=message) as caught:
        find_head(f"{mine}:{name}").classify(*task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./absent.py:head", "head absent.py: cannot be read .no such file"),
        ("no_such_package.heads:head", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("./mine.py", r"^head \./mine\.py: name the function in the file, as in \./mine\.py:head$"),
        ("./mine.py:k=3", r"^head \./mine\.py: name the function"),
        (
            "./mine.py:head:k",
            r"^head \./mine\.py:head: setting k needs a value, as in \./mine\.py:head:k=VALUE$",
        ),
        ("neraest-mean", "unknown head 'neraest-mean'; did you mean 'nearest-mean'"),
    ],
)
def test_missing_heads_are_named(name, message):
    with pytest.raises(FsbenchError, match=message):
        find_head(name)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", r"ZeroDivisionError: division by zero \(mine.py, line 1\)"),
        ("x =", "SyntaxError: invalid syntax"),
    ],
)
def test_broken_files_give_one_line(mine, code, message):
    mine.write_text(code)
    with pytest.raises(FsbenchError, match=message):
        find_head(f"{mine}:head")


def test_a_file_runs_once_until_it_changes(mine, capsys):
    mine.write_text(MINE + "\nprint('runs')\n")
    for _ in range(3):
        find_head(f"{mine}:head")
    assert capsys.readouterr().out == "runs\n"
    mine.write_text(MINE + "\nprint('anew')\n")  # as long, within the same second
    find_head(f"{mine}:head")
    assert capsys.readouterr().out == "anew\n"


def test_results_distinguish_two_heads_of_one_name(mine, trained, cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FSBENCH_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", str(trained / "best.safetensors"), "--head", "./mine.py:head", "nearest-mean"]
    command += ["--preprocess", "l2", "--n-shot", "1", "--n-tasks", "50", "--quiet", "--json"]
    assert main(command) == 0
    ours, shipped = json.loads(capsys.readouterr().out)
    assert ours["correct"] == shipped["correct"]  # unit vectors: the nearest is the most similar
    assert (ours["head"], ours["head_code"]) == ("./mine.py:head", hashlib.sha256(MINE.encode()).hexdigest())
    assert shipped["head_code"] is None
    mine.write_text(MINE.replace("return -", "return "))
    assert main(command) == 0
    far, _ = json.loads(capsys.readouterr().out)
    assert far["correct"] != ours["correct"]
    names = [path.name for path in Path("results").rglob("*mine*.json")]
    assert len(names) == 2
    assert any(
        name.startswith(f"5w1s15q-mine.head-{ours['head_code'][:8]}-l2-50t-s0-16px-") for name in names
    )
    assert main(["leaderboard", "results"]) == 0
    assert Path("results/README.md").read_text(encoding="utf-8").count("./mine.py:head (l2)") == 2
