"""Speed of cosine-sgd and linear-sgd on a batch of tasks, as a ratio to torch's loop of the same run.

pytest -m bench --benchmark-enable --benchmark-only -s tests/bench/bench_sgd_heads.py

640-d features and 15 queries a class. The loop is what the papers' code does: modules, autograd and optimiser
of torch, one mini-batch after the other. It has one thread: its operations are too small to gain from more,
and threads that wait for each other would make it slower wherever something else runs. The batch has all
cores. Of the loop the fastest task counts, of the batch the median run.
"""

import os
import sys
import time

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsbench.heads import cosine_sgd, linear_sgd

D, N_QUERY = 640, 15


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def usual_loop(support: Tensor, query: Tensor, epochs: int, cosine: bool) -> Tensor:
    """One task, support (n_way, n_shot, d), query (queries, d) -> logits (queries, n_way)."""
    n_way, n_shot, d = support.shape
    points, labels = support.flatten(0, 1), torch.arange(n_way).repeat_interleave(n_shot)
    linear = nn.Linear(d, n_way, bias=not cosine)
    if cosine:
        nn.utils.parametrizations.weight_norm(linear, dim=0)

    def logits(x: Tensor) -> Tensor:
        return 2 * linear(x / (x.norm(dim=1, keepdim=True) + 1e-5)) if cosine else linear(x)

    optimiser = torch.optim.SGD(linear.parameters(), lr=0.01, momentum=0.9, dampening=0.9, weight_decay=0.001)
    for _ in range(epochs):
        for batch in torch.randperm(len(points)).split(4):
            optimiser.zero_grad()
            F.cross_entropy(logits(points[batch]), labels[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        return logits(query)


@pytest.mark.bench
@pytest.mark.parametrize(
    ("n_way", "n_shot", "epochs", "n_tasks", "floor"),
    [
        pytest.param(5, 1, 301, 800, 300, id="cosine-sgd-5w1s"),
        pytest.param(5, 5, 301, 400, 300, id="cosine-sgd-5w5s"),
        pytest.param(20, 5, 301, 50, 100, id="cosine-sgd-20w5s"),
        pytest.param(5, 5, 100, 400, 300, id="linear-sgd-5w5s"),
    ],
)
def test_is_faster_than_a_loop_over_tasks(n_way, n_shot, epochs, n_tasks, floor, benchmark, figures):
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(n_tasks, n_way, n_shot + N_QUERY, D, generator=rng).relu()
    support, query = values[:, :, :n_shot].contiguous(), values[:, :, n_shot:].flatten(1, 2)
    head = cosine_sgd if epochs == 301 else linear_sgd
    torch.set_num_threads(1)
    seconds = []
    for task in range(3):
        began = time.perf_counter()
        usual_loop(support[task], query[task], epochs, cosine=head is cosine_sgd)
        seconds.append(time.perf_counter() - began)
    loop = min(seconds)
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def batch() -> None:
        with torch.inference_mode():
            head(support, query, keys=torch.arange(n_tasks), epochs=epochs)

    benchmark.pedantic(batch, rounds=3, warmup_rounds=1)
    seconds_a_task = benchmark.stats.stats.median / n_tasks
    benchmark.extra_info["speed relative to a loop"] = round(loop / seconds_a_task)
    sys.stdout.write(
        f"{loop / seconds_a_task:.0f}x, {10_000 * seconds_a_task:.1f} s for 10,000 tasks, "
        f"loop {loop:.2f} s a task, {torch.get_num_threads()} threads\n"
    )
    name = f"{head.__name__}, {n_way}w{n_shot}s, {torch.get_num_threads()} threads"
    figures[f"{name}: speed relative to a torch loop over tasks"] = loop / seconds_a_task
    figures[f"{name}: seconds for 10,000 tasks"] = 10_000 * seconds_a_task
    assert loop / seconds_a_task >= floor
