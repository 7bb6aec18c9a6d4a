"""Verbs that are killed at random moments, or run twice at once, leave what one undisturbed call leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

JOB = Path(__file__).with_name("kill_verbs.py")
QUIET = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLS = 30  # of each of five verbs and of two that replace what is there
RACES = 4


def attack(what: str, images: Path, out: Path, number: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(JOB), what, str(images), str(out), str(number), "0"]
    done = subprocess.run(command, check=False, env=QUIET, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_verb_killed_at_any_moment_ends_alike_when_it_is_called_again(tiny_folder: Path, tmp_path: Path):
    """No file of it passes for a result before, and no temporary file is left after."""
    found = attack("kill", tiny_folder, tmp_path / "out", KILLS)
    assert [one["verb"] for one in found] == [
        *("prepare", "prepare", "train", "train"),
        *("extract", "evaluate", "leaderboard"),
    ]
    assert sum(one["moment"] + one["call"] for one in found) >= 200
    for one in found:
        assert min(one["moment"], one["call"]) >= KILLS // 2, one
        assert one["first"] < 0.2, one
        assert one["last"] > 0.8, one
        assert one["torn"] > 0, one  # the kills do hit files that are being written


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_at_once_both_end_as_one(tiny_folder: Path, tmp_path: Path):
    found = attack("race", tiny_folder, tmp_path / "out", RACES)
    assert [one["verb"] for one in found] == ["prepare", "train", "extract", "evaluate", "leaderboard"]
    assert sum(one["killed"] for one in found) > 0
