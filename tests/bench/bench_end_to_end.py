"""Wall time of `fsbench evaluate` from process start to result files, relative to its heads alone.

    FSBENCH_BENCH=results/bench pytest -m bench --benchmark-enable --benchmark-only \
        tests/bench/bench_end_to_end.py

20 classes of 600 images with 640-d features on disk; 10,000 tasks, 5-way 5-shot; five heads. Both sides use
all cores and are measured in turns. The heads alone draw and classify the same tasks from features that are
in memory and preprocessed.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fsbench.evaluation import inference
from fsbench.features import store
from fsbench.heads import find_head
from fsbench.heads.preprocess import find_preprocess
from fsbench.tasks.spec import TaskSpec
from fsbench.training.precision import keep_memory

HEADS = ("nearest-mean", "logistic", "ridge", "svm", "bd-cspn")
SPEC = TaskSpec(n_shot=5)
MOST = 1.5
SHAPE = (20, 600, 640)  # classes, images per class, values


def write_features(path: Path, seed: int) -> store.Features:
    """Write features of classes that overlap, as after a ReLU."""
    n_classes, n_images, d = SHAPE
    rng = np.random.default_rng(seed)
    centres = 0.3 * rng.standard_normal((n_classes, 1, d), dtype=np.float32)
    values = centres + rng.standard_normal(SHAPE, dtype=np.float32)
    features = store.Features(
        values=values.clip(0).reshape(-1, d),
        labels=np.repeat(np.arange(n_classes, dtype=np.int32), n_images),
        class_names=tuple(f"class-{number}" for number in range(n_classes)),
        origin=store.Origin(dataset="made", split="novel"),
    )
    store.write(path, features)
    return features


def heads_alone(features: store.Features, base_mean: torch.Tensor) -> float:
    """Classify the tasks with each head; return the seconds."""
    values = {
        step: find_preprocess(step)(torch.from_numpy(features.values), base_mean)
        for step in {find_head(name).preprocess for name in HEADS}
    }
    began = time.perf_counter()
    with torch.inference_mode():
        for head in map(find_head, HEADS):
            inference.accuracies(values[head.preprocess], features.labels, SPEC, head)
    return time.perf_counter() - began


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_evaluate(benchmark, figures, tmp_path: Path):
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)  # conftest.py sets one thread
    keep_memory()  # like evaluate
    novel = write_features(tmp_path / "novel.h5", seed=0)
    base = write_features(tmp_path / "base.h5", seed=1)
    base_mean = torch.from_numpy(base.values.mean(axis=0))
    command = [sys.executable, "-m", "fsbench", "evaluate", "novel.h5", "--base", "base.h5", "--force"]
    command += ["--head", *HEADS, "--n-shot", "5", "--quiet"]
    whole: list[float] = []
    alone: list[float] = []

    def in_turns() -> None:
        began = time.perf_counter()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
        whole.append(time.perf_counter() - began)
        alone.append(heads_alone(novel, base_mean))

    benchmark.pedantic(in_turns, rounds=3, warmup_rounds=1)
    assert len(list(tmp_path.glob("results/made/*/*.json"))) == len(HEADS)
    ratio = statistics.median(one / other for one, other in zip(whole, alone, strict=True))
    figures["evaluate, 5 heads, 5w5s: seconds of the command for 10,000 tasks"] = statistics.median(whole)
    figures["evaluate, 5 heads, 5w5s: time of the command relative to its heads alone"] = ratio
    benchmark.extra_info.update({"command": whole, "heads alone": alone, "ratio": ratio})
    assert ratio <= MOST
