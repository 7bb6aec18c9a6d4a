"""Accuracy during training: measured on val classes, never on novel ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fsbench._util.session import Session
from fsbench.data.identity import Identity
from fsbench.data.image_split import ImageSplit
from fsbench.data.loading import load
from fsbench.data.preparation import prepare
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.models.backbones import build
from fsbench.tasks.spec import TaskSpec
from fsbench.training import validation
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec
from fsbench.training.validation import SPEC, val_images, validate

CPU = torch.device("cpu")


def write_images(root: Path, classes: dict[str, int], noise: str, per_class: int = 20) -> Path:
    """Class folders with one colour per class; in the split `noise` all classes share one colour."""
    rng = np.random.default_rng(0)
    for split, count in classes.items():
        for number in range(count):
            folder = root / split / f"{split}-{number}"
            folder.mkdir(parents=True)
            colour = rng.uniform(40, 215, 3)
            for image in range(per_class):
                mean = np.full(3, 127.0) if split == noise else colour
                pixels = np.clip(mean + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{image:03d}.png")
    return root


@pytest.fixture(scope="module")
def noisy_val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with `noisy-val`: base and novel classes differ in colour, val classes do not differ."""
    cache = tmp_path_factory.mktemp("noisy-cache")
    images = write_images(tmp_path_factory.mktemp("noisy"), {"base": 5, "val": 5, "novel": 5}, "val")
    prepare("noisy-val", images, cache=cache, quiet=True)
    return cache


def test_the_logged_accuracy_is_on_val_classes(noisy_val: Path, tmp_path: Path):
    """Accuracy is at chance, 20 %, on val classes and high on novel classes."""
    assert TaskSpec(n_way=5, n_shot=1, n_query=15, n_tasks=1000, seed=0) == SPEC
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=50)
    run = train_backbone(
        recipe, TrainingSpec("noisy-val"), out=tmp_path / "run", session=Session(noisy_val, CPU, quiet=True)
    )
    log = pd.read_csv(run.folder / "log.csv")
    measured = {}
    for split in ("val", "novel"):
        (result,) = evaluate(
            run.last, tasks=[SPEC], images=Images(split=split), preprocess=["l2"],
            session=Session(noisy_val, quiet=True),
            output=Output(None),
        )  # fmt: skip
        measured[split] = result
    assert measured["val"].outcome.accuracy < 0.3 < 0.7 < measured["novel"].outcome.accuracy
    assert log["val_accuracy"].tolist() == pytest.approx([measured["val"].outcome.accuracy], abs=1e-6)
    assert log["val_half_width"].tolist() == pytest.approx([measured["val"].outcome.half_width], abs=1e-6)


def split_of(sizes: list[int]) -> ImageSplit:
    """An image split with classes of these sizes; each pixel is the index of the image in its class."""
    places = np.concatenate([np.arange(size) for size in sizes]).astype(np.uint8)
    return ImageSplit(
        dataset="made",
        split="val",
        pixels=np.broadcast_to(places[:, None, None, None], (len(places), 4, 4, 3)),
        labels=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        class_names=tuple(f"c{number}" for number in range(len(sizes))),
        items=tuple(f"{place:03d}" for place in places),
        identity=Identity("f" * 64, "files", "decoder"),
        synthetic=False,
    )


class TestImages:
    @pytest.fixture
    def make_val_images(self, monkeypatch: pytest.MonkeyPatch):
        """Return the validation images of val classes with the given sizes."""

        def take(sizes: list[int]) -> ImageSplit | None:
            monkeypatch.setattr(validation, "splits_of", lambda dataset, cache: ["base", "val", "novel"])
            monkeypatch.setattr(validation, "load", lambda dataset, split, cache, stored: split_of(sizes))
            return val_images("made", None, 0)

        return take

    def test_are_of_the_val_split(self, cache: Path):
        images, val = val_images("tiny", cache, 0), load("tiny", "val", cache)
        assert images is not None
        assert (images.split, images.class_names) == ("val", val.class_names)
        np.testing.assert_array_equal(images.pixels, val.pixels)

    def test_are_the_first_hundred_of_each_class(self, make_val_images):
        images = make_val_images([120, 16, 100, 101, 16])
        assert np.bincount(images.labels).tolist() == [100, 16, 100, 100, 16]
        places = [images.pixels[images.labels == number, 0, 0, 0].tolist() for number in range(5)]
        assert places == [list(range(size)) for size in (100, 16, 100, 100, 16)]

    @pytest.mark.parametrize(
        ("sizes", "enough"), [([16] * 5, True), ([20] * 4, False), ([20, 20, 20, 20, 15], False)]
    )
    def test_must_suffice_for_the_tasks(self, make_val_images, sizes, enough):
        assert (make_val_images(sizes) is not None) == enough

    def test_there_are_none_without_a_val_split(self, tmp_path: Path):
        images = write_images(tmp_path / "images", {"base": 2, "novel": 2}, "none", per_class=2)
        prepare("two-splits", images, cache=tmp_path / "cache", quiet=True)
        assert val_images("two-splits", tmp_path / "cache", 0) is None
        assert validate(build("conv4", 16), None, CPU) == {}
