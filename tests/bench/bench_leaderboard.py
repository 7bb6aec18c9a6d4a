"""Speed of the leaderboard on ten thousand results of ten thousand tasks.

pytest -m bench --benchmark-enable --benchmark-only tests/bench/bench_leaderboard.py
"""

import runpy
import time
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from fsbench.report import leaderboard

MANY = runpy.run_path(str(Path(__file__).parents[1] / "report" / "test_leaderboard.py"))["many"]


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_update(benchmark, tmp_path):
    """Processor time with one BLAS thread, because waiting threads count, too."""
    MANY(tmp_path, 10_000, 10_000)
    with threadpool_limits(1):
        began = time.process_time()
        benchmark.pedantic(lambda: leaderboard.update(tmp_path, None), rounds=1)
        assert time.process_time() - began < 10
