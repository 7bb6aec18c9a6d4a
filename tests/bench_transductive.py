"""Speed of transductive heads, 64 tasks in one batch, as a ratio to plain per-task code of the same run.

pytest -m bench -s tests/bench_transductive.py
"""

import runpy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from fsbench.heads import find_head

PLAIN = runpy.run_path(str(Path(__file__).with_name("test_transductive_heads.py")))["PLAIN"]

N_TASKS = 64
# What one thread must reach at 5 ways, 5 shots, 15 queries and 640 d. Every Adam step of TIM reads all of a
# task's features twice, so 1.3 Gflop a task are left however tasks are batched.
FLOORS = {"bd-cspn": 20, "laplacian-shot": 20, "tim": 5, "alpha-tim": 5, "pt-map": 20, "soft-kmeans": 20}


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` runs after one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


@pytest.mark.bench
@pytest.mark.parametrize("name", FLOORS)
def test_batched_is_faster_than_a_loop(name):
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    centres = 0.12 * torch.randn(N_TASKS, 5, 1, 640, generator=rng)
    values = F.normalize((centres + torch.randn(N_TASKS, 5, 20, 640, generator=rng)).relu(), dim=-1)
    support, query = values[:, :, :5].contiguous(), values[:, :, 5:].flatten(1, 2)
    task = support[0].double().numpy(), query[0].double().numpy()
    with torch.inference_mode():
        batched = median_seconds(lambda: find_head(name).classify(support, query), 3) / N_TASKS
        plain = median_seconds(lambda: PLAIN[name](*task), 3)
    sys.stdout.write(f"{name}: {plain / batched:.0f}x, {batched * 10_000:.1f} s for 10,000 tasks\n")
    assert plain / batched >= FLOORS[name]
