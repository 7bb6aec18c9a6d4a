"""A run that is stopped at any moment and started again gives the same result as an undisturbed run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.models import checkpoint
from fsbench.models.backbones import build
from fsbench.models.classifiers import Network
from fsbench.training import resume
from fsbench.training.loop import train_backbone
from fsbench.training.optim import Optimiser
from fsbench.training.overrides import resolve
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

JOB = Path(__file__).with_name("kill_job.py")
CPU = torch.device("cpu")
FILES = {"best.safetensors", "last.safetensors", "log.csv"}
# An epoch syncs best, last, log and state, each file and then its folder; the run ends with last and log.
PLACES = ("step:4", "fsync:12", "fsync:14")


def end_alike(cache: Path, out: Path, places: tuple[str, ...]) -> dict[str, int]:
    """Train with kills at these places and without, compare the files, and return the kills per place."""
    command = [sys.executable, str(JOB), str(cache), str(out), "never:0", *places]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, env=quiet, stdout=subprocess.PIPE, text=True)
    whole = out / "never:0"
    for place in places:
        assert {p.name for p in (out / place).iterdir() if not p.name.endswith((".lock", ".part"))} == FILES
        for name in ("best.safetensors", "last.safetensors"):
            assert_same(whole / name, out / place / name)
        expected, log = (pd.read_csv(folder / "log.csv") for folder in (whole, out / place))
        times = ["seconds", "images_per_second"]
        pd.testing.assert_frame_equal(expected.drop(columns=times), log.drop(columns=times), check_exact=True)
    deaths = (line.split() for line in done.stdout.splitlines())
    return {place: int(count) for place, count in deaths}


def assert_same(path: Path, other: Path) -> None:
    """Assert equal weights, bit by bit, and equal provenance."""
    (first, about_first), (second, about_second) = checkpoint.read(path), checkpoint.read(other)
    assert {**about_first, "run": ""} == {**about_second, "run": ""}
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), (other, name)


@pytest.mark.linux
@pytest.mark.slow
def test_a_run_killed_in_a_step_or_a_write_resumes_exactly(cache: Path, tmp_path: Path):
    """Two stages, the second with a patience; the places include the writing of the state."""
    deaths = end_alike(cache, tmp_path, PLACES)
    assert deaths == {"never:0": 0, **dict.fromkeys(PLACES, 1)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_at_any_write_resumes_exactly(cache: Path, tmp_path: Path):
    deaths = end_alike(cache, tmp_path, tuple(f"fsync:{call}" for call in range(30)))
    killed = [deaths[f"fsync:{call}"] for call in range(30)]
    assert killed == sorted(killed, reverse=True)  # the last calls are after the end of the run
    assert 20 < sum(killed) < 30


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_repeatedly_at_random_resumes_exactly(cache: Path, tmp_path: Path):
    deaths = end_alike(cache, tmp_path, tuple(f"random:{seed}" for seed in range(4)))
    assert sum(deaths.values()) > 12


@pytest.fixture
def stopped(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Continue the run in tmp_path / "run": three epochs of ERM, stopped after two."""
    recipe = resolve(load_recipe("erm"), epochs=[3], batch_size=30)

    def go_on() -> None:
        train_backbone(
            recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU, quiet=True)
        )

    with monkeypatch.context() as patch:
        patch.setattr("fsbench.training.loop.check_losses", stop_in_third_epoch)
        with pytest.raises(KeyboardInterrupt):
            go_on()
    return go_on


def test_it_says_after_which_epoch_a_run_continues(cache: Path, tmp_path: Path, stopped, capsys):
    capsys.readouterr()
    recipe = resolve(load_recipe("erm"), epochs=[3], batch_size=30)
    train_backbone(recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU))
    assert "\ncontinues after epoch 2 of 3\n" in capsys.readouterr().err


def stop_in_third_epoch(run, stage, epoch, *arguments) -> None:
    if epoch == 2:
        raise KeyboardInterrupt


def tear(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def blank(path: Path, share: float) -> None:
    """A file after a power cut: full length, but zeros at the end."""
    kept = int(path.stat().st_size * share)
    path.write_bytes(path.read_bytes()[:kept] + bytes(path.stat().st_size - kept))


class TestTornFiles:
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
    def test_the_state_before_a_torn_state_is_used(self, stopped, tmp_path: Path, share: float):
        folder = tmp_path / "run"
        assert resume.load(folder).epoch == 2
        tear(folder / "resume.safetensors", share)
        assert resume.load(folder).epoch == 1
        stopped()
        assert list(pd.read_csv(folder / "log.csv")["epoch"]) == [1, 2, 3]
        assert checkpoint.read(folder / "last.safetensors")[1]["finished"]

    def test_where_both_are_torn_the_user_decides(self, stopped, tmp_path: Path):
        folder = tmp_path / "run"
        for name in ("resume.safetensors", "resume-older.safetensors"):
            tear(folder / name, 0.5)
        message = r"resume\.safetensors and resume-older\.safetensors cannot be read; --force starts the run"
        with pytest.raises(FsbenchError, match=message):
            stopped()
        assert checkpoint.load_provenance(folder / "last.safetensors").epoch == 2

    def test_a_torn_checkpoint_does_not_stop_a_run_that_has_a_state(self, stopped, tmp_path: Path):
        tear(tmp_path / "run" / "last.safetensors", 0.5)
        stopped()
        assert checkpoint.read(tmp_path / "run" / "last.safetensors")[1]["finished"]

    def test_a_torn_checkpoint_of_a_finished_run_is_named(self, stopped, tmp_path: Path):
        stopped()
        tear(tmp_path / "run" / "last.safetensors", 0.5)
        with pytest.raises(FsbenchError, match=r"last\.safetensors: damaged, or not a safetensors file"):
            stopped()


@pytest.mark.parametrize("optimiser", [Optimiser("adam"), Optimiser("sgd", learning_rate=0.1)])
def test_optimiser_moments_and_loss_scale_are_restored(trained: Path, tmp_path: Path, optimiser: Optimiser):
    def fresh() -> tuple[Network, torch.optim.Optimizer, torch.amp.GradScaler]:
        torch.manual_seed(0)
        network = Network(build("conv4", 16), 4, "cosine", None, {"rotation": 4})
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
        return network, optimiser.build(network.parameters()), scaler

    def step(network, adam, scaler) -> None:
        adam.zero_grad()
        scaler.scale(network(torch.ones(2, 3, 16, 16)).square().mean()).backward()
        scaler.step(adam)
        scaler.update()

    before = fresh()
    for _ in range(3):
        step(*before)
    assert before[2].get_scale() == 16.0
    place = {"stage": 1, "epoch_of_stage": 4, "log": [{"loss": 0.1}]}
    provenance = checkpoint.load_provenance(trained / "last.safetensors")
    resume.save(tmp_path, *before, provenance, place)
    state = resume.load(tmp_path)
    assert (state.stage, state.epoch, state.log) == (1, 4, [{"loss": 0.1}])
    restored = fresh()
    state.restore(*restored)
    for _ in range(2):
        step(*before)
        step(*restored)
    assert before[2].state_dict() == restored[2].state_dict()
    for a, b in zip(before[0].state_dict().values(), restored[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_identity_of_a_run_excludes_progress_and_machine(trained: Path):
    provenance = checkpoint.load_provenance(trained / "best.safetensors")
    other = replace(
        provenance, epoch=0, best_epoch=None, val_accuracy=None, versions={}, source_decoder="Pillow 1"
    )
    assert provenance == other
    assert provenance.identity == other.identity
    assert provenance != replace(provenance, train_seed=7)
    assert provenance.identity["dropout"] == provenance.dropout


def test_a_run_stopped_by_an_older_fsbench_continues(stopped, tmp_path: Path):
    path = tmp_path / "run" / "resume.safetensors"
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[checkpoint.FORMAT])
    del about["precision"], about["micro_batch"], about["per_class"]  # keys of later versions
    save_file(load_file(path), path, metadata={checkpoint.FORMAT: json.dumps(about)})
    stopped()
    assert checkpoint.read(tmp_path / "run" / "last.safetensors")[1]["finished"]


def test_a_precision_is_part_of_a_run(stopped, cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[3], batch_size=30)
    with pytest.raises(FsbenchError, match="precision float32, not bf16"):
        train_backbone(
            recipe,
            TrainingSpec("tiny"),
            out=tmp_path / "run",
            compute=ComputeSettings("bf16"),
            session=Session(cache, CPU, quiet=True),
        )
