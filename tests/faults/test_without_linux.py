"""The main job works where what only Linux offers is taken away; see without_linux.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

JOB = Path(__file__).with_name("without_linux.py")


@pytest.mark.linux
@pytest.mark.slow
def test_the_main_job_needs_nothing_that_only_linux_offers(tiny_folder: Path, tmp_path: Path):
    cache = ["--cache", str(tmp_path / "cache")]
    quiet = [*cache, "--device", "cpu", "--quiet"]
    run, results = tmp_path / "run", tmp_path / "results"
    train = ["train-backbone", "erm", "--dataset", "tiny", "--batch-size", "60", "--out", str(run), *quiet]
    tasks = ["--n-query", "5", "--n-tasks", "20", "--n-shot", "1", "--out", str(results), *quiet]
    prepare = ["data", "prepare", "tiny", str(tiny_folder), *cache, "--quiet"]
    commands = [
        ["doctor", *cache],
        prepare,
        [*train, "--epochs", "2"],
        ["evaluate", str(run / "best.safetensors"), *tasks],
        [*prepare, "--force"],  # what follows replaces files that were read
        [*train, "--epochs", "2", "--force"],
        ["evaluate", str(run / "best.safetensors"), *tasks, "--force"],
        ["leaderboard", str(results)],
    ]
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", str(JOB), json.dumps(commands)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "free" in done.stdout
    assert (results / "leaderboard.html").exists()
    assert not list(tmp_path.rglob("*.part"))
