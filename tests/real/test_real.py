"""Regressions on real images: `$FSBENCH_REAL_DATA` names the folder of `cifar-fs` and `omniglot`.

Each is as `fsbench data prepare` takes it, or lies in sheets that an `unpack.py` beside them unpacks.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fsbench._util.files import sha256_of
from fsbench._util.session import Session
from fsbench.data.loading import load
from fsbench.data.preparation import prepare
from fsbench.evaluation import inference, result_files
from fsbench.evaluation.run import Output, evaluate
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.tasks.pinned import read_task_list, task_list_names
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

RESULTS = Path(__file__).parents[2] / "results"
SEEDS = (33.53, 32.83, 33.35)  # val accuracy in % after one epoch with seeds 0, 1 and 2

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def real_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with both data sets."""
    root, cache = Path(os.environ["FSBENCH_REAL_DATA"]).resolve(), tmp_path_factory.mktemp("cache")
    for name in ("cifar-fs", "omniglot"):
        images = root / name
        if (root / "unpack.py").exists():
            images = tmp_path_factory.mktemp(name) / name
            command = [sys.executable, str(root / "unpack.py"), name, str(images)]
            subprocess.run(command, check=True, capture_output=True)
        prepare(name, images, image_size=32 if name == "omniglot" else None, cache=cache, quiet=True)
    return cache


@pytest.mark.parametrize(
    ("name", "split", "n_classes", "n_images"),
    [
        ("cifar-fs", "base", 64, 38_400),
        ("cifar-fs", "val", 16, 9_600),
        ("cifar-fs", "novel", 20, 12_000),
        ("omniglot", "base", 883, 17_660),
        ("omniglot", "val", 81, 1_620),
        ("omniglot", "novel", 659, 13_180),
    ],
)
def test_all_classes_and_images_are_present(real_cache: Path, name, split, n_classes, n_images):
    images = load(name, split, real_cache)
    assert (len(images.class_names), len(images.labels)) == (n_classes, n_images)


@pytest.mark.parametrize(
    "name", [name for name in task_list_names() if name.startswith(("cifar-fs", "omniglot"))]
)
def test_pinned_lists_are_over_these_images(real_cache: Path, name: str):
    tasks = read_task_list(name)
    images = load(tasks.dataset, tasks.split, real_cache)
    tasks.check(images.labels, images=images.identity)


@pytest.mark.parametrize(("name", "expected"), [("cifar-fs", 29.61), ("omniglot", 41.88)])
def test_raw_pixels(real_cache: Path, name: str, expected: float):
    """Nearest mean of unit-length pixels, 5-way 1-shot, within four standard errors of 10,000 tasks."""
    images = load(name, "novel", real_cache)
    values = torch.from_numpy(images.pixels.reshape(len(images.pixels), -1).astype(np.float32) / 255)
    accuracies = inference.accuracies(l2(values, None), images.labels, TaskSpec(), find_head("nearest-mean"))
    assert 100 * accuracies.mean() == pytest.approx(expected, abs=4 * 100 * accuracies.std() / 100)


@pytest.mark.parametrize("n_shot", [1, 5])
def test_a_committed_checkpoint_gives_its_committed_results(real_cache: Path, n_shot: int):
    """On another processor, a few answers may change by rounding of features."""
    checkpoint = RESULTS / "checkpoints" / "erm-fast-conv4-cifar-fs-32px-40ep-precisionbf16-s0.safetensors"
    digest = sha256_of(checkpoint)
    (committed,) = (
        result
        for result in result_files.read_all(RESULTS / "cifar-fs")
        if (result.model.checkpoint, result.head.name, result.spec.n_shot) == (digest, "nearest-mean", n_shot)
    )
    (reproduced,) = evaluate(
        checkpoint, tasks=[committed.spec], session=Session(real_cache, torch.device('cpu'), quiet=True),
        output=Output(None),
    )  # fmt: skip
    assert reproduced.task_identity == committed.task_identity
    assert reproduced.task_digest == committed.task_digest
    assert reproduced.accuracy == pytest.approx(committed.accuracy, abs=1e-4)


def test_erm_reaches_its_previous_accuracy(real_cache: Path, tmp_path: Path):
    """Conv4, one epoch, few-shot accuracy on val classes; about a minute on one core.

    The tolerance is four standard deviations of the seeds' accuracies.
    """
    recipe = resolve(load_recipe("erm", "cosine"), epochs=[1], batch_size=64)
    run = train_backbone(
        recipe,
        TrainingSpec("cifar-fs"),
        out=tmp_path / "run",
        session=Session(real_cache, torch.device("cpu"), quiet=True),
    )
    val_accuracy = 100 * pd.read_csv(run.folder / "log.csv")["val_accuracy"].iloc[-1]
    assert val_accuracy == pytest.approx(np.mean(SEEDS), abs=4 * np.std(SEEDS, ddof=1))
