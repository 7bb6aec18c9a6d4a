"""Time from the start of a command until it does its work, beside the import of the libraries that it needs.

    FSBENCH_BENCH=results/bench pytest -m bench --benchmark-enable --benchmark-only tests/bench/bench_start.py

One thread. Each command is a process of its own; tests/cli/test_start.py tests which packages it imports.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fsbench.features import store

pytestmark = pytest.mark.bench
FSBENCH = (sys.executable, "-m", "fsbench")
IMPORTS = (sys.executable, "-c", "import os, torch, h5py; os._exit(0)")
FIRST_TASK, HELP = 2.5, 0.5  # seconds on an idle core
MOST_FIRST_TASK, MOST_HELP = 1.4, 0.3  # of the imports, on a core that other processes make slow

# A head that ends the process when it is given the first batch of tasks.
HEAD = """
import os


def head(support, query):
    os._exit(42)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a feature file of 20 classes of 600 images with 640-d features, 31 MB, and a head."""
    folder = tmp_path_factory.mktemp("start")
    labels = np.repeat(np.arange(20, dtype=np.int32), 600)
    values = np.random.default_rng(0).random((len(labels), 640), dtype=np.float32)
    names = tuple(f"class-{number}" for number in range(20))
    origin = store.Origin(dataset="made", split="novel")
    store.write(folder / "features.h5", store.Features(values, labels, names, origin))
    (folder / "first.py").write_text(HEAD)
    return folder


def processor_seconds(command: tuple[str, ...], folder: Path, status: int = 0) -> float:
    """Run a command in a folder and return its processor time, which is its wall time on an idle core."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, ended, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
    assert process.returncode == status
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    ("name", "words", "status", "limit", "most"),
    [
        (
            "evaluate a feature file until the first task",
            ("evaluate", "features.h5", "--head", "./first.py:head", "--preprocess", "l2"),
            42, FIRST_TASK, MOST_FIRST_TASK,
        ),
        ("--help", ("--help",), 0, HELP, MOST_HELP),
        ("leaderboard --help", ("leaderboard", "--help"), 0, HELP, MOST_HELP),
    ],
    ids=["first task", "help", "leaderboard help"],
)  # fmt: skip
def test_start(benchmark, figures, folder: Path, name, words, status, limit, most):
    imports, starts = [], []

    def in_turns() -> None:
        imports.append(processor_seconds(IMPORTS, folder))
        starts.append(processor_seconds((*FSBENCH, *words), folder, status))

    benchmark.pedantic(in_turns, rounds=5, warmup_rounds=1)
    ratio = statistics.median(start / imported for start, imported in zip(starts, imports, strict=True))
    figures[f"{name}: seconds of one core"] = min(starts)
    figures[f"{name}: time relative to importing torch"] = ratio
    benchmark.extra_info.update({"seconds": min(starts), "imports": min(imports), "ratio": ratio})
    assert min(starts) <= limit or ratio <= most
