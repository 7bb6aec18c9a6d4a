"""Speed of the leaderboard on ten thousand results of ten thousand tasks, and of opening its page.

    FSBENCH_BENCH=results/bench pytest -m bench --benchmark-enable --benchmark-only \
        tests/bench/bench_leaderboard.py

40 columns of 250 rows: 10 recipes with 5 training seeds and 5 heads each. Opening the page needs chromium.
"""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium import webdriver

MANY = runpy.run_path(str(Path(__file__).parents[1] / "report" / "test_leaderboard.py"))["many"]
UPDATE, OPEN = 10.0, 1.0  # seconds
pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

# Milliseconds from the start of the navigation until the browser has drawn the page with its rows.
DRAWN = """
const done = arguments[0];
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaderboard")
    MANY(folder, 10_000, 10_000)
    return folder


def test_update(benchmark, figures, results: Path):
    """Wall time of the command, from the start of its process."""
    command = [sys.executable, "-m", "fsbench", "leaderboard", str(results)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    seconds: list[float] = []

    def update() -> None:
        began = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)

    benchmark.pedantic(update, rounds=3)
    figures["leaderboard of 10,000 result files: seconds"] = min(seconds)
    figures["leaderboard of 10,000 result files: MB of its page"] = (
        results / "leaderboard.html"
    ).stat().st_size / 1e6
    assert min(seconds) <= UPDATE


def test_open(benchmark, figures, results: Path, browser: "webdriver.Chrome"):
    page = results / "leaderboard.html"
    assert page.exists(), "test_update writes the page"
    seconds: list[float] = []

    def visit() -> None:
        browser.get("about:blank")
        browser.get(page.as_uri())
        seconds.append(browser.execute_async_script(DRAWN) / 1000)

    benchmark.pedantic(visit, rounds=5, warmup_rounds=1)
    assert browser.execute_script("return document.querySelectorAll('#table tbody tr').length") > 20
    figures["leaderboard of 10,000 result files: seconds until its page is drawn"] = min(seconds)
    assert min(seconds) <= OPEN
