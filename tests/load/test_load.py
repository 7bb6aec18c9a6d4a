"""Large inputs with bounded memory; the load of the leaderboard is in test_leaderboard.py.

The largest file takes 11 GB below pytest's temporary folder and some minutes: make test-load.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from fsbench._util import files
from fsbench._util.files import atomic_hdf5
from fsbench._util.session import Session
from fsbench.data.loading import load
from fsbench.evaluation import inference
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.features import store
from fsbench.features.extract import extract_features
from fsbench.features.store import Features, Origin
from fsbench.models.pretrained import of_checkpoint
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

MIB = 1 << 20


def write(path: Path, n_classes: int, per_class: int, width: int) -> Path:
    """Write a feature store class by class, so that it need not fit in memory."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((per_class, width), dtype=np.float32)
    labels = np.repeat(np.arange(n_classes, dtype=np.int32), per_class)
    with atomic_hdf5(path) as (file, check):
        values = file.create_dataset("features", (len(labels), width), np.float32)
        for label in range(n_classes):
            mean = 0.15 * rng.standard_normal(width, dtype=np.float32)
            values[label * per_class : (label + 1) * per_class] = noise[rng.permutation(per_class)] + mean
            check()
        file["labels"] = labels
        names = np.array([f"{label:04d}" for label in range(n_classes)], dtype=object)
        file.create_dataset("class_names", data=names, dtype=h5py.string_dtype())
    stored = np.memmap(path, np.float32, "r", offset(path), (len(labels), width))
    about = {"dataset": "made", "split": "novel", "format": store.FORMAT}
    with h5py.File(path, "r+") as file:
        file.attrs.update({**about, "digest": Features(stored, labels, ()).digest})
    return path


def offset(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file["features"].id.get_offset())


def run(path: Path, n_tasks: int, *, mapped: int = 1 << 30, batch: int = MIB, room: int = 1 << 40) -> dict:
    """The report of load_job.py, or its error."""
    line = [sys.executable, "-m", "tests.load.load_job", str(path), *map(str, (n_tasks, mapped, batch, room))]
    done = subprocess.run(
        line, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    report = {"error": done.stderr} if done.returncode else json.loads(done.stdout)
    sys.stdout.write(f"{path.stat().st_size / 1e9:.2f} GB, {n_tasks} tasks: {report}\n")
    return report


@pytest.mark.parametrize(
    ("head", "preprocess"),
    [("nearest-mean", "l2"), ("logistic", "cl2n"), ("distribution-calibration", "tukey")],
)
@pytest.mark.usefixtures("few_draws")
def test_features_read_from_their_file_give_the_same_scores(tmp_path: Path, monkeypatch, head, preprocess):
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(4, dtype=np.int32), 6)
    origin = Origin(dataset="made", split="novel", checkpoint="0" * 64)
    for name in ("novel", "base"):
        values = rng.random((24, 10), dtype=np.float32) + labels[:, None] / 4
        store.write(tmp_path / f"{name}.h5", Features(values, labels, tuple("abcd"), origin))
    results = []
    for limit in (1, 1 << 30):
        monkeypatch.setattr(files, "MAP_ABOVE", limit)
        values = store.read(tmp_path / "novel.h5").values
        assert isinstance(values, np.memmap) == (limit == 1)
        assert values.flags.writeable == (limit > 1)
        results += evaluate(
            tmp_path / "novel.h5",
            tasks=[TaskSpec(3, 2, 4, 20)],
            heads=[head],
            preprocess=[preprocess],
            images=Images(base=tmp_path / "base.h5"),
            session=Session(device=torch.device("cpu"), quiet=True),
            output=Output(None),
        )
    assert results[0].outcome.correct == results[1].outcome.correct
    assert results[0].question == results[1].question


def test_images_read_from_their_file_give_the_same_features(
    cache: Path, trained: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(files, "MAP_ABOVE", 10_000)
    pixels = load("tiny", "base", cache).pixels
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable
    cpu, recipe = torch.device("cpu"), resolve(load_recipe("erm"), epochs=[2], batch_size=16)
    run = train_backbone(
        recipe, TrainingSpec("tiny"), out=tmp_path / "tiny-erm", session=Session(cache, cpu, quiet=True)
    )
    assert run.best.read_bytes() == (trained / "best.safetensors").read_bytes()
    backbone = of_checkpoint(run.best)
    session = Session(cache, quiet=True)
    _, mapped = extract_features(backbone, "tiny", "novel", session, out=tmp_path / "a.h5")
    monkeypatch.undo()
    _, other = extract_features(backbone, "tiny", "novel", session, out=tmp_path / "b.h5")
    assert mapped.digest == other.digest


def test_chunked_arrays_are_read(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(files, "MAP_ABOVE", 1)
    values = np.arange(12.0).reshape(4, 3)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("packed", data=values, compression="gzip")
        file.create_dataset("whole", data=values)
    with h5py.File(tmp_path / "f.h5") as file:
        arrays = {name: files.read_or_map(file[name]) for name in file}
    assert {name: isinstance(each, np.memmap) for name, each in arrays.items()} == {
        "packed": False,
        "whole": True,
    }
    for each in arrays.values():
        np.testing.assert_array_equal(each, values)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_features_stay_on_the_disk(tmp_path: Path):
    """80 MB of features give the same result with 40 MB of memory."""
    path = write(tmp_path / "f.h5", 20, 250, 4096)
    room = 40 * MIB
    assert path.stat().st_size > 78 * MIB
    mapped = run(path, 300, mapped=MIB, room=room)
    assert mapped["own"] < room
    assert "does not fit into memory" in run(path, 300, room=room)["error"]
    in_memory = run(path, 300)
    assert in_memory["own"] > 2 * 78 * MIB  # unchanged and preprocessed
    assert mapped["scores"] == in_memory["scores"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_tasks_need_only_memory_for_their_scores(tmp_path: Path):
    """At most 250 bytes per task more than a list of ten thousand."""
    path = write(tmp_path / "f.h5", 20, 600, 64)
    few, many = (run(path, n_tasks, batch=inference._LARGEST_BATCH["cpu"]) for n_tasks in (10_000, 1_000_000))
    assert (few["tasks"], many["tasks"]) == (10_000, 1_000_000)
    assert abs(few["accuracy"] - many["accuracy"]) < 0.005
    assert many["own"] - few["own"] < 250 * 990_000


@pytest.mark.load
@pytest.mark.timeout(3600)
def test_imagenet_with_two_thousand_features_per_image(tmp_path: Path):
    """1,000 classes of 1,300 images, 10.6 GB, in half a gigabyte."""
    path = write(tmp_path / "f.h5", 1000, 1300, 2048)
    try:
        report = run(path, 10_000, batch=inference._LARGEST_BATCH["cpu"], room=512 * MIB)
        assert path.stat().st_size > 10.6e9
        assert report["own"] < 512 * MIB
        assert 0.5 < report["accuracy"] < 1
    finally:
        path.unlink()
