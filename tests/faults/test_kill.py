"""Commands killed at random moments, or run twice at once, leave the files of one undisturbed call."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

JOB = Path(__file__).with_name("kill_verbs.py")
QUIET = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLS = 30  # for each of five commands, and for two that replace existing files
RACES = 4


def attack(action: str, images: Path, out: Path, number: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(JOB), action, str(images), str(out), str(number), "0"]
    done = subprocess.run(command, check=False, env=QUIET, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_command_completes_when_run_again(tiny_folder: Path, tmp_path: Path):
    """A killed command leaves no file that looks complete; run again, it leaves no temporary file."""
    reports = attack("kill", tiny_folder, tmp_path / "out", KILLS)
    assert [report["verb"] for report in reports] == [
        *("prepare", "prepare", "train", "train"),
        *("extract", "evaluate", "leaderboard"),
    ]
    assert sum(report["moment"] + report["call"] for report in reports) >= 200
    for report in reports:
        assert min(report["moment"], report["call"]) >= KILLS // 2, report
        assert report["first"] < 0.2, report
        assert report["last"] > 0.8, report
        assert report["torn"] > 0, report  # some kills hit files that are being written


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_concurrent_processes_leave_the_files_of_one(tiny_folder: Path, tmp_path: Path):
    reports = attack("race", tiny_folder, tmp_path / "out", RACES)
    assert [report["verb"] for report in reports] == [
        "prepare",
        "train",
        "extract",
        "evaluate",
        "leaderboard",
    ]
    assert sum(report["killed"] for report in reports) > 0
