"""Packages that a command imports. Each takes long to import, so a command waits only for those it uses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fsbench.features import store

COMMAND = """
import json, sys
from fsbench.cli import main
status = main(sys.argv[1:])
print()
print(json.dumps([status, *sys.modules]))
"""
TORCH = {"torch", "torchvision", "timm", "numba", "safetensors"}
TABLES = {"pandas", "pyarrow", "jinja2", "tabulate"}
FIGURES = {"matplotlib", "altair"}
STATISTICS = {"scipy.stats", "scipy.optimize", "sklearn"}
COMPILERS = {"torch._dynamo", "torch._inductor", "sympy"}


def imported(*words: object) -> set[str]:
    """Run a command in a process of its own, and return the names of the modules that it imported."""
    process = [sys.executable, "-c", COMMAND, *map(str, words)]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, *modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    return set(modules)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "made.h5"
    labels = np.repeat(np.arange(6, dtype=np.int32), 20)
    values = np.random.default_rng(0).random((120, 8), dtype=np.float32)
    origin = store.Origin(dataset="made", split="novel")
    store.write(path, store.Features(values, labels, tuple("abcdef"), origin))
    return path


@pytest.fixture(scope="module")
def evaluated(features: Path) -> tuple[Path, set[str]]:
    """Results of two preprocessings, and the modules that their evaluation imported."""
    results = features.parent / "results"
    flags = ("--preprocess", "none", "l2", "--n-shot", "1", "--n-tasks", "20", "--out", results, "--quiet")
    return results, imported("evaluate", features, "--head", "nearest-mean", *flags)


def test_evaluate_imports_torch_and_hdf5_but_neither_statistics_nor_tables_nor_compilers_of_torch(evaluated):
    modules = evaluated[1]
    assert {"torch", "h5py"} <= modules
    unused = STATISTICS | TABLES | FIGURES | COMPILERS | {"torchvision", "timm", "fsbench.training.loop"}
    assert unused & modules == set()


@pytest.mark.slow
def test_evaluate_needs_no_scipy_functions_before_its_first_task():
    """They delay the start by the tenth part of the time that torch takes."""
    code = "import sys, fsbench.evaluation.run, fsbench.tasks.sampler; print('scipy.special' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_compare_imports_no_torch(evaluated):
    modules = imported("compare", evaluated[0])
    assert {"numpy", "scipy.special"} <= modules
    assert (TORCH | TABLES | FIGURES | STATISTICS | {"h5py"}) & modules == set()


def test_leaderboard_imports_no_torch(evaluated):
    modules = imported("leaderboard", evaluated[0])
    assert {"jinja2", "tabulate"} <= modules
    assert (FIGURES | STATISTICS | TORCH | {"numba", "pandas", "timm", "h5py", "PIL"}) & modules == set()
