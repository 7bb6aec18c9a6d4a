"""Event files, read by TensorBoard itself, have each epoch once, even if the process was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.cli import main
from fsbench.training import fast, tensorboard
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")
KILLED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from fsbench._util.session import Session
from fsbench.training import TrainingSpec, load_recipe, loop, resolve, resume, tensorboard

torch.set_num_threads(1)
owner, name, call, cache, out = sys.argv[1:]
owner = {"resume": resume, "tensorboard": tensorboard, "loop": loop}[owner]
original, left = getattr(owner, name), int(call)

def deadly(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)

setattr(owner, name, deadly)
loop.train_backbone(
    resolve(load_recipe("erm"), epochs=[3], batch_size=40), TrainingSpec("tiny"), out=Path(out),
    session=Session(Path(cache), quiet=True), tensorboard=True,
)
"""


def train(out: Path, cache: Path, *, recipe: str = "erm", epochs=(3,), seed=0, **options):
    settings = resolve(load_recipe(recipe), epochs=list(epochs), batch_size=40)
    return train_backbone(
        settings,
        TrainingSpec("tiny", seed=seed),
        out=out,
        session=Session(cache, CPU, quiet=True),
        **{"tensorboard": True, **options},
    )


def read(folder: Path) -> EventAccumulator:
    """All events in the folder, including duplicate steps."""
    return EventAccumulator(str(folder), purge_orphaned_data=False).Reload()


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


def curve(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def column(epochs: pd.Series, values: pd.Series) -> list[tuple[int, object]]:
    return [(epoch, pytest.approx(value)) for epoch, value in zip(epochs, values, strict=True)]


def settings(events: EventAccumulator) -> dict[str, object]:
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in hparams.items()}


def assert_events_are_the_log(folder: Path, epochs: int) -> None:
    log, events = pd.read_csv(folder / "log.csv"), read(folder)
    assert list(log["epoch"]) == list(range(1, epochs + 1))
    columns = [name for name in log if name not in ("stage", "epoch")]
    assert sorted(events.Tags()["scalars"]) == sorted([*columns, "best_val_accuracy"])
    for name in columns:
        present = log[log[name].notna()]  # loss terms of other stages are missing
        assert curve(events, name) == column(present["epoch"], present[name]), name
    validated = log.dropna(subset="val_accuracy")
    assert curve(events, "best_val_accuracy") == column(
        validated["epoch"], validated["val_accuracy"].cummax()
    )
    assert len([path for path in event_files(folder) if path.stat().st_size > 0]) == 1
    assert len(event_files(folder)) <= 2  # the previous file stays, but empty


def test_events_hold_the_columns_of_the_log(cache: Path, tmp_path: Path):
    run = train(tmp_path / "run", cache, recipe="s2m2-r", epochs=(1, 2))
    assert_events_are_the_log(run.folder, 3)
    events = read(run.folder)
    assert {"learning_rate", "loss_class", "val_accuracy"} <= set(events.Tags()["scalars"])
    stages = [(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors("stage/text_summary")]
    assert stages == [(1, "self-supervised"), (2, "manifold")]


def test_events_hold_settings_and_accuracy(cache: Path, tmp_path: Path):
    run, other_run = train(tmp_path / "one", cache), train(tmp_path / "two", cache, seed=1)
    first, second = read(run.folder), read(other_run.folder)
    about, other = settings(first), settings(second)
    assert {name for name in about if about[name] != other[name]} == {"train_seed"}
    assert about["recipe"] == "erm"
    assert about["batch_size"] == 40
    assert about["optimiser.learning_rate"] == pytest.approx(fast.OPTIMISER.learning_rate)
    assert about["class.epochs"] == 3
    assert about["augment.flip"] == 0.5
    assert about["micro_batch"] == "default"
    experiment = first.summary_metadata["_hparams_/experiment"].plugin_data.content
    metrics = HParamsPluginData.FromString(experiment).experiment.metric_infos
    assert [metric.name.tag for metric in metrics] == ["best_val_accuracy"]
    assert "_hparams_/session_end_info" in first.summary_metadata


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        ("resume", "save", 2),  # the second epoch is in the events but not in the state
        ("tensorboard", "_add", 2),  # it is only in log.csv
        ("loop", "_backward", 8),  # in the third of three steps each
    ],
)
def test_a_killed_run_shows_each_epoch_once(cache: Path, tmp_path: Path, owner: str, name: str, call: int):
    command = [sys.executable, "-c", KILLED, owner, name, str(call), str(cache), str(tmp_path / "run")]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    before = curve(read(tmp_path / "run"), "loss_class")
    assert len(before) == {"save": 2, "_add": 1, "_backward": 2}[name]  # written immediately, so not lost
    assert "_hparams_/session_end_info" not in read(tmp_path / "run").summary_metadata
    train(tmp_path / "run", cache)
    assert_events_are_the_log(tmp_path / "run", 3)


def test_a_watching_tensorboard_discards_events_of_the_killed_process(cache: Path, tmp_path: Path):
    stop_after(2, train, tmp_path / "run", cache)
    watching = EventAccumulator(str(tmp_path / "run"))
    watching.Reload()
    assert [step for step, _ in curve(watching, "loss_class")] == [1, 2]
    time.sleep(1)  # names of event files include the second
    train(tmp_path / "run", cache)
    watching.Reload()
    assert [step for step, _ in curve(watching, "loss_class")] == [1, 2, 3]


def stop_after(epochs: int, call, *arguments, **options) -> None:
    """Call a function and interrupt its training after the given number of epochs."""

    def stop(run, stage, epoch, *_) -> None:
        if epoch == epochs:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsbench.training.loop.check_losses", stop)
        with pytest.raises(KeyboardInterrupt):
            call(*arguments, **options)


def test_earlier_epochs_are_added_when_events_are_enabled_later(cache: Path, tmp_path: Path):
    stop_after(2, train, tmp_path / "run", cache, tensorboard=False)
    assert not event_files(tmp_path / "run")
    train(tmp_path / "run", cache)
    assert_events_are_the_log(tmp_path / "run", 3)


def test_a_forced_run_keeps_no_earlier_events(cache: Path, tmp_path: Path):
    folder = train(tmp_path / "run", cache).folder
    train(folder, cache, seed=1, force=True)
    assert settings(read(folder))["train_seed"] == 1
    assert_events_are_the_log(folder, 3)
    train(folder, cache, epochs=[1], force=True, tensorboard=False)
    assert read(folder).Tags()["scalars"] == []


def test_without_tensorboard_one_line_says_what_to_install(cache: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    out = str(tmp_path / "run")
    arguments = ["train-backbone", "erm", "--dataset", "tiny", "--epochs", "1", "--cache", str(cache)]
    assert main([*arguments, "--out", out, "--device", "cpu", "--tensorboard"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "fsbench: --tensorboard: needs the package tensorboard: pip install 'fsbench[tensorboard]'"
    )
    assert not Path(out).exists()


def test_unwritable_events_give_one_line(cache: Path, tmp_path: Path, monkeypatch):
    def full(*arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.flush", full)
    with pytest.raises(FsbenchError, match=r"cannot write events in .*: no space left on device"):
        train(tmp_path / "run", cache)


def test_only_the_first_of_several_processes_writes(tmp_path: Path):
    run = SimpleNamespace(is_writer=False, tensorboard=True, folder=tmp_path)
    (tmp_path / "events.out.tfevents.1").write_bytes(b"of the first process")
    with tensorboard.events_of(run, []) as add:
        add({"stage": "class", "epoch": 1, "loss_class": 1.0})
    assert (tmp_path / "events.out.tfevents.1").read_bytes() == b"of the first process"
