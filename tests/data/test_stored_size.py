"""Images are stored at least at the size that a network takes, and results record that size."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import fsbench
from fsbench._util.session import Session
from fsbench.data.loading import find_store, load
from fsbench.data.preparation import prepare
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.models.identity import Model
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.models.pretrained.transform import Transform, resize_crop, standard_transform
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")
SPEC = TaskSpec(n_way=3, n_shot=2, n_query=3, n_tasks=30)


class Texture(nn.Module):
    """A network whose features are the strength of the finest detail in each direction."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = images.mean(dim=1)
        across, down = grey.diff(dim=2).abs().mean(dim=(1, 2)), grey.diff(dim=1).abs().mean(dim=(1, 2))
        diagonal = (grey[:, 1:, 1:] - grey[:, :-1, :-1]).abs().mean(dim=(1, 2))
        return torch.stack([across, down, diagonal], dim=1)


def network(size: int, transform: Transform | None = None) -> FeatureExtractor:
    model = Model(run="texture", backbone="texture", image_size=size, checkpoint="0" * 64)
    return FeatureExtractor(Texture(), transform or standard_transform(size), model)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of horizontal, vertical and diagonal stripes, in images of 300 to 400 px."""
    rng, drawn = np.random.default_rng(0), tmp_path_factory.mktemp("photographs")
    for split in ("base", "val", "novel"):
        for c, (x, y) in enumerate([(1, 0), (0, 1), (1, 1)]):
            folder = drawn / split / f"{split}-{c}"
            folder.mkdir(parents=True)
            for i in range(6):
                width, height = rng.integers(300, 400, 2)
                across, down = np.meshgrid(np.arange(width), np.arange(height))
                grey = 128 + 90 * np.sin(2 * np.pi * (x * across + y * down) / 4)
                grey += rng.normal(0, 10, grey.shape)
                Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return drawn


@pytest.fixture
def photographs(drawn: Path, tmp_path: Path) -> Path:
    """A copy, since tests change it."""
    return shutil.copytree(drawn, tmp_path / "photographs")


@pytest.fixture
def cache(tmp_path: Path, photographs: Path) -> Path:
    prepare("mine", photographs, cache=tmp_path / "cache", quiet=True)
    return tmp_path / "cache"


def evaluate_at(cache: Path, size: int, dataset: str = "mine"):
    output = Output(None)
    (result,) = evaluate(
        network(size), tasks=[SPEC], images=Images([dataset]), session=Session(cache), output=output
    )
    return result


def sizes(cache: Path) -> set[str]:
    return {path.stem for path in (cache / "images").glob("*.h5")}


def test_a_larger_store_is_written_for_a_larger_network(cache: Path, photographs: Path, caplog):
    small = evaluate_at(cache, 84)
    assert (small.data.stored_size, small.model.image_size, caplog.messages) == (96, 84, [])
    large = evaluate_at(cache, 224)
    assert (large.data.stored_size, large.model.image_size) == (257, 224)
    assert caplog.messages == [
        "fsbench: warning: data set mine: images are stored at 96 px, but texture takes 224 px; "
        f"stored again at 257 px, from {photographs}"
    ]
    assert large.data.fingerprint == small.data.fingerprint
    assert large.outcome.task_digest == small.outcome.task_digest
    assert large.outcome.accuracy > small.outcome.accuracy + 0.2  # the detail is gone at 96 px
    assert evaluate_at(cache, 224).outcome.correct == large.outcome.correct
    assert len(caplog.messages) == 1
    assert sizes(cache) == {"mine@96", "mine@257"}
    assert evaluate_at(cache, 84).data.stored_size == 96  # the smaller store still serves the smaller network


@pytest.mark.parametrize("obstacle", ["gone", "changed", "named", "read-only"])
def test_images_are_enlarged_with_a_warning_if_no_larger_store_is_possible(
    cache: Path, photographs: Path, caplog, monkeypatch, obstacle: str
):
    dataset = "mine@96" if obstacle == "named" else "mine"
    if obstacle == "gone":
        shutil.rmtree(photographs)
    elif obstacle == "changed":
        (photographs / "novel/novel-0/0.png").unlink()
    elif obstacle == "read-only":
        monkeypatch.setattr("fsbench.data.preparation._MAX_SIZE", 200)
    result = evaluate_at(cache, 224, dataset)
    assert (result.data.stored_size, result.model.image_size) == (96, 224)
    assert sizes(cache) == {"mine@96"}
    assert caplog.messages == [
        f"fsbench: warning: data set {dataset}: images are stored at 96 px, but texture takes 224 px, so "
        "they are enlarged; to store larger ones, use fsbench data prepare mine PATH --image-size 257"
    ]


def test_small_images_are_enlarged_with_a_warning(tiny_folder: Path, tmp_path: Path, caplog):
    prepare("tiny", tiny_folder, cache=tmp_path, quiet=True)
    result = evaluate_at(tmp_path, 48, "tiny")
    assert (result.data.stored_size, result.model.image_size) == (16, 48)
    assert caplog.messages == [
        "fsbench: warning: data set tiny: images are stored at 16 px, but texture takes 48 px, so they are "
        "enlarged"
    ]


def test_a_second_stored_size_leaves_checkpoints_usable(cache: Path, photographs: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=6)
    run = train_backbone(
        recipe,
        TrainingSpec("mine", image_size=16),
        out=tmp_path / "run",
        session=Session(cache, CPU, quiet=True),
    )
    prepare("mine", photographs, cache=cache, image_size=20, quiet=True)
    (result,) = evaluate(
        run.best,
        tasks=[SPEC],
        preprocess=["cl2n"],
        session=Session(cache, quiet=True),
        output=Output(None),
    )
    assert result.data.stored_size == 20  # the smallest that is at least 1.15 * 16


def test_training_at_a_larger_size_stores_larger_images(cache: Path, tmp_path: Path, caplog):
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=18)
    run = train_backbone(
        recipe,
        TrainingSpec("mine", image_size=112),
        out=tmp_path / "a",
        session=Session(cache, CPU, quiet=True),
    )
    assert run.pixels.shape[1:3] == (128, 128)
    assert run.val is None or run.val.pixels.shape[1] == 128
    assert "stored again at 128 px" in caplog.messages[0]
    assert load("mine", "base", cache).fingerprint == run.provenance.source_fingerprint


def test_a_module_gets_the_same_warning(cache: Path, caplog):
    frame = fsbench.evaluate(
        Texture(), dataset="mine", image_size=128, n_way=3, n_shot=1, n_query=2, n_tasks=10, cache=cache,
        quiet=True,
    )  # fmt: skip
    assert frame["stored_size"].tolist() == [147]
    assert "data set mine: images are stored at 96 px, but Texture takes 128 px" in caplog.messages[0]
    assert isinstance(frame, pd.DataFrame)


def test_images_are_stored_at_the_size_a_transform_resizes_to():
    assert standard_transform(224).stored == 257
    assert resize_crop(256, 224).stored == 256
    assert Transform("mine", 200, lambda pixels: pixels).stored == 229


def test_the_smallest_sufficient_store_is_used(cache: Path, photographs: Path):
    prepare("mine", photographs, cache=cache, image_size=150, quiet=True)
    for at_least, size in ((1, 96), (96, 96), (97, 150), (151, 150)):
        assert find_store("mine", cache, at_least).stem == f"mine@{size}"
