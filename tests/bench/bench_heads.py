"""Speed of heads on a batch of tasks, as a ratio to the plain loop over tasks of the same run.

pytest -m bench --benchmark-enable --benchmark-only -s tests/bench/bench_heads.py

Tasks are 5-way 5-shot with 15 queries per class, drawn from features in memory, 20 classes of 600 images. The
head runs as in `fsbench evaluate`, which draws the tasks, finds their features and counts correct answers.
The loop is what one would write for one task whose features are already found: scikit-learn at its defaults,
autograd and torch's Adam for TIM, Sinkhorn in torch for PT-MAP, NumPy for the others, in single precision.
Both sides have all cores and are measured in turns.
"""

import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn import functional as F

from fsbench.evaluation import inference
from fsbench.heads import find_head
from fsbench.tasks import sampler
from fsbench.tasks.spec import TaskSpec
from fsbench.training.precision import keep_memory

PLAIN = runpy.run_path(str(Path(__file__).parents[1] / "heads" / "test_transductive_heads.py"))["PLAIN"]
REST = 0.2  # seconds until idle threads of the other library stop spinning
N_WAY, N_SHOT, N_QUERY = 5, 5, 15
CLASSES, PER_CLASS, D = 20, 600, 640
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)


def draw() -> Tensor:
    """Unit features, as after a ReLU, (n, D)."""
    rng = torch.Generator().manual_seed(0)
    centres = 0.12 * torch.randn(CLASSES, 1, D, generator=rng)
    noise = torch.randn(CLASSES, PER_CLASS, D, generator=rng)
    return F.normalize((centres + noise).relu(), dim=-1).flatten(0, 1)


def loop_of_scikit_learn(model: Callable[[], object], support: Tensor, query: Tensor) -> None:
    answers = torch.arange(N_WAY).repeat_interleave(N_SHOT).numpy()
    model().fit(support.flatten(0, 1).numpy(), answers).decision_function(query.numpy())


def loop_of_numpy(name: str, support: Tensor, query: Tensor) -> None:
    PLAIN[name](support.numpy(), query.numpy())


def loop_of_tim(alpha: float, weights: tuple[float, float, float], support: Tensor, query: Tensor) -> None:
    """1000 steps of Adam on the class weights by autograd, as in the code of TIM and alpha-TIM."""
    shots, labels = support.flatten(0, 1), torch.arange(N_WAY).repeat_interleave(N_SHOT)
    means = support.mean(1).requires_grad_()
    adam = torch.optim.Adam([means], lr=1e-4)

    def logits(points: Tensor) -> Tensor:
        squares = means.square().sum(-1) + points.square().sum(-1, keepdim=True)
        return 15 * (points @ means.T - squares / 2)

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.log()).sum(-1) if alpha == 1 else (1 - p.pow(alpha).sum(-1)) / (alpha - 1)

    for _ in range(1000):
        p = logits(query).softmax(-1)
        cross_entropy = F.cross_entropy(logits(shots), labels)
        loss = weights[0] * cross_entropy - weights[1] * entropy(p.mean(0)) + weights[2] * entropy(p).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    logits(query)


def loop_of_pt_map(support: Tensor, query: Tensor) -> None:
    """20 updates of the means by Sinkhorn's plan with at most 1000 rounds, as in the code of PT-MAP."""
    shots, queries = (F.normalize(x - x.mean(0), dim=-1) for x in (support.flatten(0, 1), query))
    labels = torch.eye(N_WAY).repeat_interleave(N_SHOT, dim=0)
    points = torch.cat([shots, queries])
    means = labels.T @ shots / N_SHOT
    for update in range(21):
        plan = (-10 * torch.cdist(queries, means).square()).exp()
        plan = plan / plan.sum()
        for _ in range(1000):
            sums = plan.sum(1)
            if (sums - 1).abs().max() < 1e-6:
                break
            plan = plan / sums.unsqueeze(1)
            plan = plan * (len(query) / N_WAY / plan.sum(0))
        if update < 20:
            members = torch.cat([labels, plan])
            means = means + 0.2 * (members.T @ points / members.sum(0).unsqueeze(1) - means)


LOOPS = {
    "logistic": partial(loop_of_scikit_learn, partial(LogisticRegression, max_iter=1000)),
    "svm": partial(loop_of_scikit_learn, LinearSVC),
    "ridge": partial(loop_of_scikit_learn, RidgeClassifier),
    "tim": partial(loop_of_tim, 1, (0.1, 1.0, 0.1)),
    "alpha-tim": partial(loop_of_tim, 7, (1.0, 1.0, 1.0)),
    "pt-map": loop_of_pt_map,
    "bd-cspn": partial(loop_of_numpy, "bd-cspn"),
    "laplacian-shot": partial(loop_of_numpy, "laplacian-shot"),
    "soft-kmeans": partial(loop_of_numpy, "soft-kmeans"),
    "soft-kmeans-prior": partial(loop_of_numpy, "soft-kmeans-prior"),
}
FLOORS = {"logistic": 30, "tim": 100, "alpha-tim": 100, "pt-map": 60, "laplacian-shot": 50}
FLOORS |= {"soft-kmeans": 40, "soft-kmeans-prior": 40}  # 20 for other heads


@pytest.mark.bench
@pytest.mark.parametrize("name", LOOPS)
def test_is_faster_than_a_loop_over_tasks(name, benchmark, figures):
    values, slow = draw(), "tim" in name
    spec = TaskSpec(n_way=N_WAY, n_shot=N_SHOT, n_query=N_QUERY, n_tasks=256 if slow else 2_000)
    tasks = sampler.sample(LABELS, spec, stop=1 if slow else 5)
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # conftest.py sets one thread
    keep_memory()  # like evaluate
    head, loop_seconds, batch_seconds = find_head(name), [], []

    def in_turns() -> None:
        time.sleep(REST)
        LOOPS[name](values[tasks.support[0]], values[tasks.query[0]])
        for task in range(len(tasks)):
            support, query = values[tasks.support[task]], values[tasks.query[task]]
            began = time.perf_counter()
            LOOPS[name](support, query)
            loop_seconds.append(time.perf_counter() - began)
        time.sleep(REST)
        with torch.inference_mode():
            began = time.perf_counter()
            inference.accuracies(values, LABELS, spec, head)
            batch_seconds.append((time.perf_counter() - began) / spec.n_tasks)

    benchmark.pedantic(in_turns, rounds=5, warmup_rounds=1)
    loop, batch = statistics.median(loop_seconds), statistics.median(batch_seconds)
    benchmark.extra_info.update(
        {"speed relative to a loop": loop / batch, "microseconds per task": 1e6 * batch}
    )
    sys.stdout.write(f"{name}: {loop / batch:.0f}x, {1e6 * batch:.0f} us a task\n")
    figures[f"{name}, 5w5s: speed relative to a loop over tasks"] = loop / batch
    figures[f"{name}, 5w5s: seconds for 10,000 tasks"] = 1e4 * batch
    assert loop / batch >= FLOORS.get(name, 20)
