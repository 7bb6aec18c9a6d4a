import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fsbench import checkpoint
from fsbench import train as training
from fsbench.errors import FsbenchError
from fsbench.files import sha256_of
from fsbench.recipe import Stage, load_recipe, resolve
from fsbench.train import run_name, train_backbone

CPU = torch.device("cpu")


def train(out: Path, cache: Path, *, epochs: int = 2, recipe=None, **options):
    recipe = recipe or resolve(load_recipe("erm"), epochs=[epochs], batch_size=16)
    return train_backbone(recipe, "tiny", out=out, cache=cache, device=CPU, quiet=True, **options)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in checkpoint.read(path)[0].items()}


def assert_same_weights(one: Path, two: Path) -> None:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_a_run_leaves_best_last_and_log(trained: Path):
    assert {p.name for p in trained.iterdir() if not p.name.startswith(".")} == {
        "best.safetensors",
        "last.safetensors",
        "log.csv",
    }
    log = pd.read_csv(trained / "log.csv")
    assert list(log["epoch"]) == [1, 2]
    assert (log["images_per_second"] > 0).all()
    assert log["val_accuracy"].between(0, 1).all()
    best = checkpoint.load_provenance(trained / "best.safetensors")
    assert best.val_accuracy == pytest.approx(log["val_accuracy"].max())


def test_provenance_says_how_it_was_made(trained: Path):
    about = checkpoint.load_provenance(trained / "last.safetensors")
    assert (about.run, about.backbone, about.source, about.recipe) == ("tiny-erm", "conv4", "tiny", "erm")
    assert (about.image_size, about.epochs, about.epoch, about.train_seed) == (16, 2, 2, 0)
    assert about.class_names == tuple(f"base-{i}" for i in range(6))
    assert about.settings["batch_size"] == 16
    assert "torch" in about.versions


def test_training_learns(cache: Path, tmp_path: Path):
    train(tmp_path / "run", cache, epochs=6)
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert log["loss_class"].iloc[-1] < log["loss_class"].iloc[0] - 0.1


def test_same_seed_same_weights_and_other_seed_others(cache: Path, trained: Path, tmp_path: Path):
    train(tmp_path / "tiny-erm", cache)
    assert_same_weights(trained / "last.safetensors", tmp_path / "tiny-erm" / "last.safetensors")
    train(tmp_path / "other", cache, seed=1)
    one, two = weights(trained / "last.safetensors"), weights(tmp_path / "other" / "last.safetensors")
    assert not np.array_equal(one["classifier.direction"], two["classifier.direction"])


def test_callers_random_numbers_are_left_alone(cache: Path, tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tmp_path / "run", cache, epochs=1)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_a_finished_run_is_left_as_it_is(cache: Path, tmp_path: Path):
    run = train(tmp_path / "run", cache, epochs=1)
    files = [path for path in run.folder.iterdir() if path.suffix in {".safetensors", ".csv"}]
    for path in files:
        os.utime(path, (0, 0))
    train(tmp_path / "run", cache, epochs=1)
    assert all(path.stat().st_mtime == 0 for path in files)
    train(tmp_path / "run", cache, epochs=1, force=True)
    assert run.last.stat().st_mtime > 0


def test_a_folder_of_another_run_is_refused_and_kept(cache: Path, tmp_path: Path):
    run = train(tmp_path / "run", cache, epochs=1)
    before = sha256_of(run.last)
    for options, message in (
        ({"epochs": 2}, "epochs = 1, not 2"),
        ({"epochs": 1, "seed": 3}, "train_seed = 0, not 3"),
        ({"epochs": 1, "backbone": "resnet10"}, "backbone = 'conv4', not 'resnet10'"),
    ):
        with pytest.raises(FsbenchError, match=message):
            train(tmp_path / "run", cache, **options)
    assert sha256_of(run.last) == before


def test_a_loss_that_is_no_number_stops_the_run(cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[2], batch_size=16)
    (stage,) = recipe.stages

    def step(network, images, labels, rng):
        return {"class": network(images).sum() * float("nan")}

    broken = replace(recipe, stages=(replace(stage, step=step),))
    with pytest.raises(FsbenchError, match="loss is nan in stage class, epoch 1, step 1; nothing was kept"):
        train(tmp_path / "run", cache, recipe=broken)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_stages_follow_each_other_with_a_fresh_optimiser(cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    (stage,) = recipe.stages
    two = replace(recipe, stages=(stage, replace(stage, name="again", epochs=2)))
    run = train(tmp_path / "run", cache, recipe=two)
    log = pd.read_csv(run.folder / "log.csv")
    assert list(log["stage"]) == ["class", "again", "again"]
    assert list(log["epoch"]) == [1, 2, 3]


@pytest.mark.parametrize(("preset", "fresh_heads"), [("paper", False), ("official-code", True)])
def test_the_second_stage_of_s2m2_starts_from_the_weights_of_the_first(
    cache: Path, tmp_path: Path, monkeypatch, preset: str, fresh_heads: bool
):
    """And with a fresh optimiser; the reference code's with fresh heads, too."""
    recipe = resolve(load_recipe("s2m2-r", preset), epochs=[1, 1], batch_size=40)
    starts = []
    original = training._train_epoch

    def spy(run, stage, epoch, optimiser, *rest):
        weights = {name: value.clone() for name, value in run.network.state_dict().items()}
        starts.append((weights, len(optimiser.state)))
        return original(run, stage, epoch, optimiser, *rest)

    monkeypatch.setattr(training, "_train_epoch", spy)
    train(tmp_path / "both", cache, recipe=recipe)
    (_, first_moments), (second, second_moments) = starts
    only_first = train(tmp_path / "first", cache, recipe=replace(recipe, stages=recipe.stages[:1]))
    assert first_moments == second_moments == 0
    for name, value in checkpoint.read(only_first.last)[0].items():
        fresh = fresh_heads and name.startswith(("classifier", "extra_heads"))
        assert torch.equal(second[name], value) != fresh, name


@pytest.mark.parametrize(
    ("before", "after", "patience", "stalled"),
    [
        ([0.5], [], 1, False),  # the stage has not begun
        ([0.5], [0.6], 1, False),  # it rises
        ([0.5], [0.5], 1, True),  # it has to rise above where the stage began
        ([0.5], [0.4], 2, False),
        ([0.5], [0.4, 0.45], 2, True),
        ([0.9, 0.5], [0.6, 0.55], 2, False),  # the stage before counts with its last epoch alone
        ([0.9, 0.5], [0.6, 0.55, 0.58], 2, True),
        ([0.5], [0.4, 0.3, 0.2], None, False),
    ],
)
def test_a_stage_ends_when_val_accuracy_has_not_risen_for_its_patience(before, after, patience, stalled):
    stage = Stage("manifold", step=None, epochs=9, patience=patience)
    log = [{"val_accuracy": accuracy} for accuracy in before + after]
    assert training._has_stalled(stage, len(after), log) == stalled


def test_data_without_base_classes_is_refused(cache: Path, tmp_path: Path, tiny_folder: Path):
    from fsbench.data.prepare import prepare

    prepare("only-novel", tiny_folder / "novel", cache=cache, quiet=True)
    recipe = resolve(load_recipe("erm"), epochs=[1])
    with pytest.raises(FsbenchError, match="base"):
        train_backbone(recipe, "only-novel", out=tmp_path / "run", cache=cache, device=CPU, quiet=True)


class TestCheckpoint:
    def test_metadata_is_json_in_safetensors(self, trained: Path):
        from safetensors import safe_open

        with safe_open(trained / "best.safetensors", framework="np") as file:
            assert json.loads(file.metadata()[checkpoint.FORMAT])["backbone"] == "conv4"

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
    def test_a_torn_file_is_refused(self, trained: Path, tmp_path: Path, share: float):
        data = (trained / "best.safetensors").read_bytes()
        (tmp_path / "torn.safetensors").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(FsbenchError, match=r"torn\.safetensors"):
            checkpoint.load_backbone(tmp_path / "torn.safetensors")

    def test_weights_of_another_backbone_are_refused(self, trained: Path, tmp_path: Path):
        tensors, _ = checkpoint.read(trained / "best.safetensors")
        provenance = replace(checkpoint.load_provenance(trained / "best.safetensors"), backbone="resnet10")
        checkpoint.write(tmp_path / "x.safetensors", tensors, provenance)
        with pytest.raises(FsbenchError, match="weights are of another network"):
            checkpoint.load_backbone(tmp_path / "x.safetensors")

    def test_a_safetensors_file_of_others_is_refused(self, tmp_path: Path):
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(FsbenchError, match="is not marked as fsbench-checkpoint-1"):
            checkpoint.read(tmp_path / "x.safetensors")


def test_a_run_with_false_labels_has_a_name_of_its_own():
    clean, noisy = (resolve(load_recipe("erm"), label_noise=share) for share in (None, 0.5))
    assert run_name(clean, "tiny", "conv4", 16, 0) == f"erm-cosine-conv4-tiny-16px-{clean.epochs}ep-s0"
    assert (
        run_name(noisy, "tiny", "conv4", 16, 0) == f"erm-cosine-conv4-tiny-16px-{noisy.epochs}ep-noise0.5-s0"
    )
