"""Speed and memory of a whole evaluation: sampling, gathering, nearest mean, as ratios in one run.

    FSBENCH_BENCH=results/bench pytest -m bench --benchmark-enable --benchmark-only \
        tests/bench/bench_evaluate.py

20 classes of 600 images with 640-d features; 10,000 tasks; all cores. Heads are timed in bench_heads.py and
bench_sgd_heads.py.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from fsbench.evaluation import inference
from fsbench.heads import find_head
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec
from fsbench.training.precision import keep_memory

pytestmark = pytest.mark.bench
LABELS = np.repeat(np.arange(20), 600)
D = 640


@pytest.fixture(autouse=True)
def all_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    keep_memory()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def values() -> Tensor:
    return torch.rand(len(LABELS), D, generator=torch.Generator().manual_seed(0))


def test_sampler(benchmark, figures):
    """10,000 tasks of 5 ways and 20 images per class on one core."""
    torch.set_num_threads(1)
    benchmark.pedantic(lambda: sampler.sample(LABELS, TaskSpec(n_shot=5)), rounds=7, warmup_rounds=1)
    figures["sampler, 5 classes of 20 images: seconds for 10,000 tasks"] = benchmark.stats.stats.median
    assert benchmark.stats.stats.median < 0.15


def gather(values: Tensor, spec: TaskSpec, at_once: int = 64) -> None:
    """Read every row that the tasks need once, in batches that fit into the CPU caches."""
    for tasks in sampler.blocks(LABELS, spec, at_once=4096):
        for rows in torch.from_numpy(sampler.rows_of(tasks)).split(at_once):
            values.index_select(0, rows.flatten())


def loop(values: Tensor, n_tasks: int, n_way: int = 5, n_shot: int = 5, n_query: int = 15) -> None:
    """Nearest mean in a plain loop: each task is drawn, gathered row by row and classified."""
    rng = np.random.default_rng(0)
    class_values = values.view(20, 600, D)
    answers = torch.arange(n_way).repeat_interleave(n_query)
    for _ in range(n_tasks):
        images = []
        for name in rng.choice(20, n_way, replace=False):
            order = rng.permutation(600)
            images.append(torch.stack([class_values[name][i] for i in order[: n_shot + n_query]]))
        task = torch.stack(images)
        means, query = task[:, :n_shot].mean(dim=1), task[:, n_shot:].flatten(0, 1)
        (torch.cdist(query, means).argmin(dim=1) == answers).float().mean().item()


def test_nearest_mean(benchmark, figures, seconds, values):
    """Memory bandwidth is the limit: every task reads 100 rows of 2,560 bytes."""
    spec = TaskSpec(n_shot=5)
    head = find_head("nearest-mean")

    def evaluate() -> None:
        inference.accuracies(values, LABELS, spec, head)

    benchmark.pedantic(evaluate, rounds=1, warmup_rounds=1)
    ours, gathering = seconds(evaluate, lambda: gather(values, spec))
    plain = seconds(lambda: loop(values, 200))[0] * 50
    figures["nearest-mean, 5w5s: seconds for 10,000 tasks"] = ours
    figures["nearest-mean, 5w5s: time relative to gathering the features once"] = ours / gathering
    figures["nearest-mean, 5w5s: speed relative to a loop over tasks"] = plain / ours
    assert ours / gathering <= 2.5
    assert plain / ours >= 20


MEMORY = """
import sys
import numpy as np, torch
from fsbench.evaluation import inference
from fsbench.heads import find_head
from fsbench.tasks.spec import TaskSpec
from tests.memory import memory
torch.set_num_threads(2)
labels = np.repeat(np.arange(20), 600)
values = torch.rand(len(labels), 640).abs()
head, spec = find_head(sys.argv[1]), TaskSpec(**eval(sys.argv[2]))
inference.accuracies(values, labels, TaskSpec(n_tasks=2), head)  # libraries and kernels are loaded now
before = memory("VmHWM")
inference.accuracies(values, labels, spec, head)
print((memory("VmHWM") - before) / 2**20)
"""


@pytest.mark.parametrize(
    "head", ["nearest-mean", "logistic", "cosine-sgd", "tim", "pt-map", "laplacian-shot"]
)
@pytest.mark.parametrize(
    "spec",
    [{"n_shot": 5, "n_tasks": 2000}, {"n_shot": 5, "n_query": None, "n_tasks": 20}],
    ids=["15q", "595q"],
)
def test_peak_memory(benchmark, figures, head: str, spec: dict[str, int]):
    """MiB in addition to the features, for any number of tasks."""
    command = [sys.executable, "-c", MEMORY, head, repr(spec)]
    done = benchmark.pedantic(
        lambda: subprocess.run(command, capture_output=True, text=True, check=True), rounds=1
    )
    figures[f"{head}, {TaskSpec(**spec).name}: MiB of memory beside the features"] = float(done.stdout)
    assert float(done.stdout) <= 1024
