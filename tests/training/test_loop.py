import json
import os
import re
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError
from fsbench._util.files import sha256_of
from fsbench._util.rng import stream, stream_seed
from fsbench._util.session import Session
from fsbench.data.decode import decoder
from fsbench.data.loading import load
from fsbench.diagnose import load_study
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import BaseNeed, Images, load_subjects
from fsbench.features.extract import embed
from fsbench.models import checkpoint
from fsbench.models.backbones import build
from fsbench.models.classifiers import Network
from fsbench.models.pretrained.transform import standard_transform
from fsbench.tasks.spec import TaskSpec
from fsbench.training import fast, saving, validation
from fsbench.training import loop as training
from fsbench.training.loop import train_backbone
from fsbench.training.optim import Optimiser
from fsbench.training.overrides import resolve
from fsbench.training.recipe import Stage, load_recipe
from fsbench.training.run import TrainingSpec, run_name

CPU = torch.device("cpu")


def train(out: Path | None, cache: Path, *, epochs: int = 2, recipe=None, force=False, **spec):
    recipe = recipe or resolve(load_recipe("erm"), epochs=[epochs], batch_size=16)
    session = Session(cache, CPU, quiet=True)
    return train_backbone(recipe, TrainingSpec("tiny", **spec), out=out, session=session, force=force)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in checkpoint.read(path)[0].items()}


def assert_same_weights(path: Path, other: Path) -> None:
    first, second = weights(path), weights(other)
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
    assert log["val_accuracy"].dropna().between(0, 1).all()
    best = checkpoint.load_provenance(trained / "best.safetensors")
    assert best.val_accuracy == pytest.approx(log["val_accuracy"].max())


def test_provenance_records_how_it_was_trained(trained: Path):
    about = checkpoint.load_provenance(trained / "last.safetensors")
    assert (about.run, about.backbone, about.source, about.recipe) == ("tiny-erm", "conv4", "tiny", "erm")
    assert (about.image_size, about.epochs, about.epoch, about.train_seed) == (16, 2, 2, 0)
    assert sorted(about.class_names) == [f"base-{i}" for i in range(6)]
    log = pd.read_csv(trained / "log.csv")
    assert about.best_epoch == log["epoch"][log["val_accuracy"].idxmax()]
    assert about.source_decoder == decoder()
    assert about.settings["batch_size"] == 16
    assert "torch" in about.versions


def test_training_learns(cache: Path, tmp_path: Path):
    train(tmp_path / "run", cache, epochs=6)
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert log["loss_class"].iloc[-1] < log["loss_class"].iloc[0] - 0.1


def test_the_seed_determines_the_weights(cache: Path, trained: Path, tmp_path: Path):
    train(tmp_path / "tiny-erm", cache)
    assert_same_weights(trained / "last.safetensors", tmp_path / "tiny-erm" / "last.safetensors")
    train(tmp_path / "other", cache, seed=1)
    first, second = weights(trained / "last.safetensors"), weights(tmp_path / "other" / "last.safetensors")
    assert not np.array_equal(first["classifier.direction"], second["classifier.direction"])


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
    folder = re.escape(str(tmp_path / "run"))
    for options, message in (
        ({"epochs": 2}, f"--out {folder}: holds a run with epochs 1, not 2; choose another folder"),
        ({"epochs": 1, "seed": 3}, "a run with seed 0, not 3;"),
        ({"epochs": 1, "backbone": "resnet10"}, "a run with backbone conv4, not resnet10;"),
        ({"recipe": resolve(load_recipe("mixup"), epochs=[1], batch_size=16)}, "recipe erm, not mixup;"),
        (
            {"recipe": resolve(load_recipe("erm"), epochs=[1], batch_size=16, learning_rate=0.5)},
            "a run with optimiser learning rate .*, not 0.5;",
        ),
    ):
        with pytest.raises(FsbenchError, match=message):
            train(tmp_path / "run", cache, **options)
    assert sha256_of(run.last) == before


def test_a_folder_with_another_unfinished_run_is_refused(cache: Path, tmp_path: Path, monkeypatch):
    def stop(run, stage, epoch, *arguments):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "check_losses", stop)
        with pytest.raises(KeyboardInterrupt, match="epochs are kept, and the same command continues after"):
            train(tmp_path / "run", cache)
    assert not checkpoint.read(tmp_path / "run" / "last.safetensors")[1]["finished"]
    folder = re.escape(str(tmp_path / "run"))
    with pytest.raises(FsbenchError, match=f"--out {folder}: holds a run with seed 0, not 3"):
        train(tmp_path / "run", cache, seed=3)


def test_a_run_that_is_stopped_in_its_first_epoch_keeps_nothing(cache: Path, tmp_path: Path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "check_losses", stop)
    with pytest.raises(KeyboardInterrupt, match="stopped in the first epoch, so nothing is kept"):
        train(tmp_path / "run", cache)
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_finished_run_suggests_how_to_continue(cache: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(training, "validate", lambda *_: {"val_accuracy": 0.4567, "val_half_width": 0.012})
    spec, session = TrainingSpec("tiny"), Session(cache, CPU)
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=64)
    for part in (
        "best epoch: 1 of 1, val accuracy 45.67 ± 1.20 %\nnext: fsbench evaluate ",
        "run: the run is complete; its best checkpoint is of epoch 1 (val accuracy 45.67 %)",
    ):
        run = train_backbone(recipe, spec, out=tmp_path / "run", session=session)
        error = capsys.readouterr().err
        assert part in error
    assert f"fsbench evaluate {run.best}" in error
    assert "--force" in error
    train_backbone(recipe, spec, out=tmp_path / "run", session=replace(session, quiet=True))
    assert capsys.readouterr().err == ""


def test_a_nan_loss_stops_the_run(cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[2], batch_size=16)
    (stage,) = recipe.stages

    def step(network, images, labels, rng):
        return {"class": network(images).sum() * float("nan")}

    broken = replace(recipe, stages=(replace(stage, step=step),))
    with pytest.raises(FsbenchError, match="loss is nan in stage class, epoch 1, step 1; nothing was kept"):
        train(tmp_path / "run", cache, recipe=broken)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_a_run_is_shown_in_five_lines(cache: Path, tmp_path: Path):
    run = train(tmp_path / "run", cache, epochs=1)
    assert run.text(CPU).splitlines() == [
        "training  erm, preset fast (the default), seed 0; changed: epochs 1, batch_size 16",
        "data      tiny: 120 images of 6 base classes, val accuracy on 5 classes",
        f"network   conv4 for 16 px, cosine classifier; {machine.device_name(CPU)}, float32",
        "length    1 epoch in batches of 16, sgd with learning rate 0.1",
        f"folder    {tmp_path / 'run'}",
    ]
    assert len(repr(run)) < 2000


def test_a_run_with_published_settings_of_a_data_set_names_it(cache: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(training, "_train", lambda *_: None)
    recipe = load_recipe("s2m2-r", "official-code", "tiny")
    lines = train(tmp_path / "run", cache, recipe=recipe).text(CPU).splitlines()
    assert lines[:2] == [
        "training  s2m2-r, preset official-code, seed 0",
        "settings  of the published code for mini-imagenet, which has none for tiny",
    ]
    assert len(lines) == 6


@pytest.mark.parametrize("terminal", [False, True])
def test_each_epoch_is_a_line_with_its_val_accuracy_and_the_time_left(
    cache: Path, tmp_path: Path, monkeypatch, capsys, terminal: bool
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(training, "is_due", lambda *_: True)
    recipe = resolve(load_recipe("erm"), epochs=[3], batch_size=60)
    run = train_backbone(recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU))
    error, log = capsys.readouterr().err, pd.read_csv(run.folder / "log.csv")
    lines = re.findall(r"epoch (\d)/3: (loss .*)", error)
    assert [number for number, _ in lines] == ["1", "2", "3"]
    for (number, line), loss, accuracy in zip(lines, log["loss_class"], log["val_accuracy"], strict=True):
        expected = rf"loss {loss:.3f}, [\d,]+ images/s, val accuracy {100 * accuracy:.2f} ± \d+\.\d\d %"
        assert re.match(expected + (r", \d+ s left" if number != "3" else r"\s*$"), line)
    best = log["val_accuracy"].idxmax()
    assert f"best epoch: {best + 1} of 3, val accuracy {100 * log['val_accuracy'][best]:.2f} ±" in error


@pytest.mark.parametrize("failing_step", [0, 3, 7])
def test_the_step_of_a_nan_loss_is_named(cache: Path, tmp_path: Path, failing_step: int):
    """Losses are checked after the first step and after the last, the eighth."""
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    losses = []

    def step(network, images, labels, rng):
        losses.append(network(images).mean())
        return {"class": losses[-1] * (float("nan") if len(losses) == failing_step + 1 else 1)}

    broken = replace(recipe, stages=(replace(recipe.stages[0], step=step),))
    with pytest.raises(FsbenchError, match=f"loss is nan in stage class, epoch 1, step {failing_step + 1}; "):
        train(tmp_path / "run", cache, recipe=broken)


@pytest.mark.parametrize(("batch_size", "counts"), [(17, [17] * 7), (59, [59, 59, 2])])
def test_a_last_batch_of_one_image_is_left_out(cache: Path, tmp_path: Path, monkeypatch, batch_size, counts):
    """One image gives no batch statistics; 120 images leave one in batches of 17 and two in batches of 59."""
    seen = []
    backward = training._backward

    def spy(run, stage, rows, *arguments):
        seen.append(len(rows))
        return backward(run, stage, rows, *arguments)

    monkeypatch.setattr(training, "_backward", spy)
    train(tmp_path / "run", cache, recipe=resolve(load_recipe("erm"), epochs=[1], batch_size=batch_size))
    assert seen == counts


def test_a_terminal_shows_stage_epoch_and_loss(cache: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    recipe = resolve(load_recipe("erm"), epochs=[2], batch_size=60)
    run = train_backbone(recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU))
    error = capsys.readouterr().err
    assert error.startswith(run.text(CPU))
    last = re.findall(r"epoch 2/2, loss (\d\.\d{3}) ", error)[-1]
    assert "images/s" in error
    assert abs(float(last) - pd.read_csv(run.folder / "log.csv")["loss_class"].iloc[-1]) < 0.5


def test_stages_follow_each_other_with_a_fresh_optimiser(cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    (stage,) = recipe.stages
    two = replace(recipe, stages=(stage, replace(stage, name="again", epochs=2)))
    run = train(tmp_path / "run", cache, recipe=two)
    log = pd.read_csv(run.folder / "log.csv")
    assert list(log["stage"]) == ["class", "again", "again"]
    assert list(log["epoch"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("preset", "dataset", "fresh"),
    [
        ("paper", None, None),
        ("official-code", None, ("rotation",)),
        ("official-code", "cifar-fs", None),
        ("official-code", None, ("classifier", "rotation")),
        ("official-code", None, True),
    ],
)
def test_s2m2_stage_two_starts_from_the_weights_of_stage_one(
    cache: Path, tmp_path: Path, monkeypatch, preset: str, dataset: str | None, fresh
):
    """The optimiser is new; in the reference code, the rotation classifier is new, too.

    `fresh_classifiers` True is the setting of checkpoints of older versions, and means all classifiers.
    """
    recipe = resolve(load_recipe("s2m2-r", preset, dataset), epochs=[1, 1], batch_size=40)
    if fresh not in (None, ("rotation",)):
        second = replace(recipe.stages[1], fresh_classifiers=fresh)
        recipe = replace(recipe, stages=(recipe.stages[0], second))
    starts = []
    original = training._train_epoch

    def spy(run, stage, epoch, optimiser, *arguments):
        weights = {name: value.clone() for name, value in run.network.state_dict().items()}
        starts.append((weights, len(optimiser.state)))
        return original(run, stage, epoch, optimiser, *arguments)

    monkeypatch.setattr(training, "_train_epoch", spy)
    train(tmp_path / "both", cache, recipe=recipe)
    (_, first_moments), (second, second_moments) = starts
    only_first = train(tmp_path / "first", cache, recipe=replace(recipe, stages=recipe.stages[:1]))
    assert first_moments == second_moments == 0
    for name, value in checkpoint.read(only_first.last)[0].items():
        drawn = (fresh in (True, ("classifier", "rotation")) and name.startswith("classifier")) or (
            fresh is not None and name.startswith("extra_heads.rotation")
        )
        assert torch.equal(second[name], value) != drawn, name


slow = pytest.mark.slow
OFFICIAL = [
    ("mixup", "cifar-fs", ("mixed",)),
    pytest.param("manifold-mixup", "cifar-fs", ("mixed",), marks=slow),
    pytest.param("rotation", "cub", ("self-supervised",), marks=slow),
    pytest.param("rotation", "cifar-fs", ("self-supervised",), marks=slow),
    pytest.param("s2m2-r", "cub", ("self-supervised", "manifold"), marks=slow),
    ("s2m2-r", "cifar-fs", ("self-supervised", "manifold")),
]


@pytest.mark.parametrize(("name", "dataset", "stages"), OFFICIAL)
def test_official_presets_train_and_continue_in_their_last_stage(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dataset: str, stages: tuple
):
    recipe = load_recipe(name, "official-code", dataset)
    recipe = resolve(recipe, epochs=[2] * len(stages), batch_size=40)
    whole = train(tmp_path / "whole", cache, recipe=recipe)
    log = pd.read_csv(whole.folder / "log.csv")
    assert list(log["stage"]) == [stage for stage in stages for _ in range(2)]

    def stop_in_last_epoch(run, stage, epoch, *arguments):
        if (stage.name, epoch) == (stages[-1], 1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "check_losses", stop_in_last_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", cache, recipe=recipe)
    continued = train(tmp_path / "stopped", cache, recipe=recipe)
    assert_same_weights(continued.last, whole.last)


def test_dropout_by_backbone_reaches_only_that_backbone(cache: Path, tmp_path: Path, monkeypatch):
    """Other backbones keep their own, so a Conv4, which supports none, can be trained as well."""
    monkeypatch.setattr(training, "_train", lambda *_: None)
    recipe = resolve(load_recipe("rotation", "official-code", "cifar-fs"))
    dropout = {}
    for backbone in ("conv4", "resnet12", "wrn28-10"):
        run = train(tmp_path / backbone, cache, recipe=recipe, backbone=backbone)
        rates = {module.p for module in run.network.modules() if isinstance(module, torch.nn.Dropout)}
        dropout[backbone] = (run.provenance.dropout, rates)
    assert dropout == {"conv4": (0.0, set()), "resnet12": (0.0, {0.0}), "wrn28-10": (0.9, {0.9})}


def test_the_outputs_of_official_classifiers(cache: Path, tmp_path: Path, monkeypatch):
    """200 for any number of classes, 64 on CIFAR-FS; a data set with more classes has one per class."""
    monkeypatch.setattr(training, "_train", lambda *_: None)
    outputs = []
    for dataset in ("cub", "cifar-fs"):
        recipe = load_recipe("s2m2-r", "official-code", dataset)
        run = train(tmp_path / dataset, cache, recipe=recipe)
        outputs.append(len(run.network.classifier.direction))
    assert outputs == [200, 64]


@pytest.mark.parametrize(
    ("before", "after", "patience", "stalled"),
    [
        ([0.5], [], 1, False),  # the stage has not started
        ([0.5], [0.6], 1, False),  # it rises
        ([0.5], [0.5], 1, True),  # it must exceed the accuracy at the start of the stage
        ([0.5], [0.4], 2, False),
        ([0.5], [0.4, 0.45], 2, True),
        ([0.9, 0.5], [0.6, 0.55], 2, False),  # only the last epoch of the stage before counts
        ([0.9, 0.5], [0.6, 0.55, 0.58], 2, True),
        ([0.5], [0.4, 0.3, 0.2], None, False),
    ],
)
def test_a_stage_ends_when_val_accuracy_has_not_risen_for_its_patience(before, after, patience, stalled):
    stage = Stage("manifold", step=None, epochs=9, patience=patience)
    log = [{"val_accuracy": accuracy} for accuracy in before + after]
    assert validation.has_stalled(stage, len(after), log) == stalled


class TestBestEpoch:
    """Accuracies on val classes are replaced, so that the best epoch is known."""

    @pytest.fixture
    def train_with(self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Train one epoch for each of these accuracies on val classes."""

        def run(name: str, accuracies: list[float], recipe=None):
            values = iter(accuracies)
            made_up = lambda *_: {"val_accuracy": next(values), "val_half_width": 0.01}  # noqa: E731
            monkeypatch.setattr(training, "validate", made_up)
            monkeypatch.setattr(validation, "validated_every", lambda *_: 1)
            return train(tmp_path / name, cache, epochs=len(accuracies), recipe=recipe)

        return run

    @pytest.mark.parametrize(
        ("accuracies", "best"),
        [([0.3, 0.6, 0.5], 2), ([0.6, 0.3, 0.5], 1), ([0.3, 0.5, 0.6], 3), ([0.5, 0.5, 0.4], 1)],
    )
    def test_is_the_first_with_the_highest_val_accuracy(self, train_with, accuracies, best):
        run = train_with("run", accuracies)
        about = checkpoint.load_provenance(run.best)
        assert (about.epoch, about.best_epoch, about.val_accuracy) == (best, best, accuracies[best - 1])
        about = checkpoint.load_provenance(run.last)
        assert (about.epoch, about.best_epoch, about.val_accuracy) == (3, best, accuracies[-1])

    def test_is_the_last_without_val_classes(self, cache: Path, tmp_path: Path, monkeypatch):
        monkeypatch.setattr("fsbench.training.run.val_images", lambda *_: None)
        run = train(tmp_path / "run", cache, epochs=2)
        assert_same_weights(run.best, run.last)
        about = checkpoint.load_provenance(run.best)
        assert (about.epoch, about.best_epoch, about.val_accuracy) == (2, 2, None)

    def test_checkpoint_holds_its_weights(self, train_with):
        """The preset's learning rate is constant, so two epochs are the first two of three."""
        recipe_for = lambda epochs: resolve(load_recipe("erm", "cosine"), epochs=[epochs], batch_size=60)  # noqa: E731
        three = train_with("three", [0.3, 0.6, 0.5], recipe_for(3))
        two = train_with("two", [0.3, 0.6], recipe_for(2))
        assert_same_weights(three.best, two.last)
        assert not np.array_equal(
            weights(three.best)["classifier.direction"], weights(three.last)["classifier.direction"]
        )

    def test_early_stopping_counts_epochs_after_it(self, train_with):
        recipe = resolve(load_recipe("erm"), epochs=[6], batch_size=60)
        recipe = replace(recipe, stages=(replace(recipe.stages[0], patience=2),))
        run = train_with("run", [0.3, 0.6, 0.5, 0.55, 0.7, 0.8], recipe)
        assert list(pd.read_csv(run.folder / "log.csv")["val_accuracy"]) == [0.3, 0.6, 0.5, 0.55]
        assert checkpoint.load_provenance(run.best).epoch == 2


class TestRandomNumbers:
    """Random numbers of a run, recorded where they are used."""

    @pytest.fixture
    def drawn(self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """The first number of each generator in each step of a run with two stages, by purpose."""
        original = training.train_augment

        def run(seed: int) -> dict[str, list[float]]:
            numbers: dict[str, list[float]] = {"augment": [], "step": [], "dropout": [], "order": []}

            def augment(pixels, size, rng, how):
                numbers["augment"].append(deepcopy(rng).random())
                return original(pixels, size, rng, how)

            def step(network, images, labels, rng):
                numbers["step"].append(rng.random())
                numbers["dropout"].append(torch.rand(()).item())
                numbers["order"].append(tuple(labels.tolist()))
                return {"class": network(images).logsumexp(1).mean()}

            monkeypatch.setattr(training, "train_augment", augment)
            recipe = resolve(load_recipe("erm"), epochs=[2], batch_size=40)
            stages = tuple(replace(recipe.stages[0], name=name, step=step) for name in ("one", "two"))
            train(tmp_path / "run", cache, recipe=replace(recipe, stages=stages), seed=seed, force=True)
            return numbers

        return run

    def test_differ_in_every_step_and_follow_from_the_seed(self, drawn):
        first, again, other = drawn(0), drawn(0), drawn(1)
        for purpose, numbers in first.items():
            assert len(numbers) == 2 * 2 * 3, purpose  # stages, epochs, steps
            assert len(set(numbers)) == len(numbers), purpose
            assert again[purpose] == numbers, purpose
            assert not set(other[purpose]) & set(numbers), purpose

    def test_use_pinned_stream_names(self, drawn, cache: Path):
        """With other names, the same command would train other weights in a later version."""
        numbers = drawn(3)
        places = [(stage, epoch, step) for stage in ("one", "two") for epoch in (0, 1) for step in range(3)]
        assert numbers["augment"] == [stream(3, "augment", *place).random() for place in places]
        assert numbers["step"] == [stream(3, "step", *place).random() for place in places]
        labels = load("tiny", "base", cache).labels
        orders = [stream(3, "order", *place[:2]).permutation(len(labels)) for place in places[::3]]
        assert [label for batch in numbers["order"] for label in batch] == labels[
            np.concatenate(orders)
        ].tolist()
        with torch.random.fork_rng(devices=[]):
            for number, place in zip(numbers["dropout"], places, strict=True):
                torch.manual_seed(stream_seed(3, "dropout", *place))
                assert torch.rand(()).item() == number

    def test_initial_weights_use_pinned_streams(self, cache: Path, tmp_path: Path, monkeypatch):
        made = []
        monkeypatch.setattr(training, "_train", lambda run, *_: made.append(run.network.state_dict()))
        recipe = resolve(load_recipe("rotation"), epochs=[1])
        train(tmp_path / "run", cache, recipe=recipe, seed=3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(3, "classifier"))
            backbone = build("conv4", 16, seed=stream_seed(3, "backbone"))
            expected = Network(
                backbone, 6, recipe.classifier, None, recipe.auxiliary_classifiers
            ).state_dict()
        assert made[0].keys() == expected.keys()
        assert all(torch.equal(made[0][name], expected[name]) for name in expected)

    def test_the_seed_reaches_the_weights_that_training_starts_from(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Backbone and classifiers, including classifiers that a later stage draws again."""
        starts: dict[str, list[dict[str, torch.Tensor]]] = {}

        def spy(run, *_):
            state = run.network.state_dict()
            starts.setdefault(run.folder.name, []).append({name: t.clone() for name, t in state.items()})
            return {"loss_class": 0.0, "images_per_second": 1.0}

        monkeypatch.setattr(training, "_train_epoch", spy)
        recipe = resolve(load_recipe("s2m2-r", "official-code"), epochs=[1, 1])
        for name, seed in (("zero", 0), ("again", 0), ("one", 1)):
            train(tmp_path / name, cache, recipe=recipe, seed=seed)
        random = [
            name for name in starts["zero"][0] if name.endswith(("conv.weight", "direction", "0.weight"))
        ]
        classifiers = [name for name in starts["zero"][0] if name.startswith(("classifier", "extra_heads"))]
        assert any(name.startswith("backbone") for name in random)
        for stage in (0, 1):
            expected, again, other = (starts[name][stage] for name in ("zero", "again", "one"))
            assert all(torch.equal(expected[name], again[name]) for name in expected)
            assert not any(torch.equal(expected[name], other[name]) for name in [*random, *classifiers])
        first, second = starts["zero"]
        drawn = {name for name in classifiers if not torch.equal(first[name], second[name])}
        assert drawn == {name for name in classifiers if name.startswith("extra_heads.rotation")}


def test_the_learning_rate_is_cut_at_its_milestones(cache: Path, tmp_path: Path, monkeypatch):
    """Of four epochs, half are done before the third begins and three quarters before the fourth."""
    used = []
    original = training._backward

    def spy(run, stage, *arguments):
        used.append(optimisers[-1].param_groups[0]["lr"])
        return original(run, stage, *arguments)

    optimisers: list[torch.optim.Optimizer] = []
    build = Optimiser.build
    monkeypatch.setattr(
        Optimiser, "build", lambda self, p: optimisers.append(build(self, p)) or optimisers[-1]
    )
    monkeypatch.setattr(training, "_backward", spy)
    recipe = resolve(load_recipe("erm"), epochs=[4], batch_size=120)
    recipe = replace(recipe, optimiser=Optimiser("sgd", learning_rate=0.1, milestones=(0.5, 0.75)))
    run = train(tmp_path / "run", cache, recipe=recipe)
    assert used == pytest.approx([0.1, 0.1, 0.01, 0.001])
    assert pd.read_csv(run.folder / "log.csv")["learning_rate"].tolist() == pytest.approx(used)


def test_data_without_base_classes_is_refused(cache: Path, tmp_path: Path, tiny_folder: Path):
    from fsbench.data.preparation import prepare

    prepare("only-novel", tiny_folder / "novel", cache=cache, quiet=True)
    recipe = resolve(load_recipe("erm"), epochs=[1])
    with pytest.raises(FsbenchError, match="base"):
        train_backbone(
            recipe, TrainingSpec("only-novel"), out=tmp_path / "run", session=Session(cache, CPU, quiet=True)
        )


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
            checkpoint.read_backbone(tmp_path / "torn.safetensors")

    def test_weights_of_another_backbone_are_refused(self, trained: Path, tmp_path: Path):
        tensors, _ = checkpoint.read(trained / "best.safetensors")
        provenance = replace(checkpoint.load_provenance(trained / "best.safetensors"), backbone="resnet10")
        checkpoint.write(tmp_path / "x.safetensors", tensors, provenance)
        with pytest.raises(FsbenchError, match="weights do not fit the network"):
            checkpoint.read_backbone(tmp_path / "x.safetensors")

    def test_a_foreign_safetensors_file_is_refused(self, tmp_path: Path):
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(FsbenchError, match="is not marked as fsbench-checkpoint-1"):
            checkpoint.read(tmp_path / "x.safetensors")


class TestFewImages:
    """`per_class`: training on some images of each base class."""

    def test_selects_the_first_images_by_content(self, cache: Path, tmp_path: Path):
        run = train(tmp_path / "run", cache, epochs=1, per_class=3)
        base = load("tiny", "base", cache)
        firsts = np.concatenate([np.flatnonzero(base.labels == label)[:3] for label in range(6)])
        np.testing.assert_array_equal(run.pixels.numpy(), base.pixels[firsts])
        assert run.labels.tolist() == [label for label in range(6) for _ in range(3)]

    def test_says_how_many(self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        run = train(None, cache, epochs=1, per_class=3)
        assert run.folder == Path("runs", "erm-fast-conv4-tiny-3pc-16px-1ep-s0")
        assert checkpoint.load_provenance(run.best).per_class == 3
        (result,) = evaluate(
            run.best, tasks=[TaskSpec(n_query=3, n_tasks=5)], session=Session(cache), output=Output(None)
        )
        assert result.model.per_class == 3

    def test_per_class_is_none_for_all_images(self, cache: Path, tmp_path: Path):
        run = train(tmp_path / "run", cache, epochs=1, per_class=20)
        assert run.provenance.per_class is None
        assert len(run.labels) == 120

    def test_determine_base_features(self, cache: Path, tmp_path: Path):
        """Heads and preprocessing use base features of the training images only."""
        run = train(tmp_path / "run", cache, epochs=1, per_class=3)
        (target,) = load_subjects(run.best, Images(), BaseNeed.FEATURES, Session(cache, quiet=True))
        assert target.base is not None
        assert target.base.labels.tolist() == run.labels.tolist()
        network = checkpoint.read_backbone(run.best)[0]
        expected = embed(network, standard_transform(16), run.pixels.numpy(), Session(quiet=True))
        np.testing.assert_allclose(target.base.values, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(target.base_mean, expected.mean(axis=0), rtol=1e-4, atol=1e-5)

    def test_determine_the_images_of_a_diagnosis(self, cache: Path, tmp_path: Path):
        few = train(tmp_path / "few", cache, epochs=1, per_class=3)
        study = load_study([few.best], session=Session(cache, CPU, quiet=True))
        np.testing.assert_array_equal(study.base.pixels, few.pixels.numpy())
        all_images = train(tmp_path / "all", cache, epochs=1)
        with pytest.raises(FsbenchError, match=r"different numbers of images per class \(all, 3\)"):
            load_study([few.best, all_images.best], session=Session(cache, CPU, quiet=True))

    @pytest.mark.parametrize("per_class", [0, 21])
    def test_too_many_and_none_are_refused(self, cache: Path, tmp_path: Path, per_class: int):
        with pytest.raises(FsbenchError, match=f"--per-class must be 1 to 20, .* but is {per_class}"):
            train(tmp_path / "run", cache, epochs=1, per_class=per_class)


def test_a_stage_of_one_step_learns(cache: Path, tmp_path: Path):
    """The learning rate rises from 0 but is evaluated in the middle of a step, so no step has rate 0."""
    run = train(tmp_path / "run", cache, recipe=resolve(load_recipe("erm"), epochs=[1], batch_size=120))
    assert pd.read_csv(run.folder / "log.csv")["learning_rate"].tolist() == [
        pytest.approx(fast.OPTIMISER.rate(0.5))
    ]


def test_of_five_short_epochs_one_is_validated(cache: Path, tmp_path: Path):
    """With 100 val and 120 base images, every fifth epoch and the last one are validated."""
    run = train(tmp_path / "run", cache, epochs=7)
    validated = pd.read_csv(run.folder / "log.csv")["val_accuracy"].notna()
    assert list(validated) == [False] * 4 + [True, False, True]
    assert checkpoint.load_provenance(run.best).epoch in (5, 7)


def test_until_a_first_validation_the_newest_epoch_is_the_best():
    assert saving.best_epoch([{"epoch": 1}, {"epoch": 2}]) == 2
    assert saving.best_epoch([{"epoch": 1}, {"epoch": 2, "val_accuracy": 0.3}, {"epoch": 3}]) == 2


def test_a_run_with_label_noise_has_its_own_name():
    clean, noisy = (resolve(load_recipe("erm"), label_noise=noise) for noise in (None, 0.5))
    spec = TrainingSpec("tiny", image_size=16)
    assert run_name(clean, spec) == f"erm-fast-conv4-tiny-16px-{clean.epochs}ep-s0"
    assert run_name(noisy, spec) == f"erm-fast-conv4-tiny-16px-{noisy.epochs}ep-noise0.5-s0"
