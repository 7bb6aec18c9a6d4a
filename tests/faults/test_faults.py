"""Faults while a command runs: in a disk, a file, memory, a process, a clock, a number.

The command reports each in one line with exit code 2 and leaves nothing that looks like a result. When the
fault is gone, the same command ends as if it had never occurred.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import fsbench.features.extract
from fsbench.cli import main
from fsbench.data import _download as download
from fsbench.data.loading import find_store, load
from fsbench.data.preparation import prepare
from fsbench.evaluation import result_files
from fsbench.evaluation.flat import flatten
from fsbench.features import store as features
from fsbench.heads import HEADS
from fsbench.models import checkpoint
from fsbench.tasks import pinned
from fsbench.tasks.spec import TaskSpec
from fsbench.training import loop

QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
STEPS = 8  # per epoch: 120 base images in batches of 16
TIMES = {"extract_seconds", "evaluate_seconds", "commit"}  # commit: omitted because it takes a git status


@pytest.fixture
def here(cache: Path, trained: Path, tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder with copies of a cache, a trained backbone and images."""
    (tmp_path / "cache").mkdir()
    shutil.copytree(cache / "images", tmp_path / "cache" / "images")
    shutil.copytree(trained, tmp_path / "tiny-erm")
    shutil.copytree(tiny_folder, tmp_path / "images")
    return tmp_path


def lines(here: Path, out: Path) -> dict[str, list[str]]:
    """Return commands that read from the folder `here` and write to `out`."""
    device = ["--device", "cpu", "--quiet"]
    cache, best = ["--cache", str(here / "cache")], str(here / "tiny-erm" / "best.safetensors")
    options = ["--n-query", "5", "--n-tasks", "50", "--head", "nearest-mean"]
    return {
        "prepare": ["data", "prepare", "mine", str(here / "images"), "--cache", str(out / "c"), "--quiet"],
        "train": [
            *("train-backbone", "erm", "--dataset", "tiny", "--epochs", "2", "--batch-size", "16"),
            *(*cache, "--out", str(out / "run"), *device),
        ],
        "extract": ["extract", best, *cache, "--out", str(out / "features.h5"), *device],
        "evaluate": ["evaluate", best, *cache, "--out", str(out / "results"), *options, *device],
    }


VERBS = ("prepare", "train", "extract", "evaluate")


def refused(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that fails; return its one-line message."""
    capsys.readouterr()
    assert main(line) == 2
    message = capsys.readouterr()
    assert message.out == ""
    assert message.err.startswith("fsbench: ")
    assert message.err.count("\n") == 1, message.err
    return message.err


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file except locks, which are empty."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def answers(folder: Path) -> dict[Path, dict[str, object]]:
    """Return the values of all results below a folder without their durations."""
    values = {path: flatten(result_files.read(path)) for path in result_files.paths(folder)}
    return {
        path.relative_to(folder): {key: value for key, value in flat.items() if key not in TIMES}
        for path, flat in values.items()
    }


def weights(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]


@contextmanager
def failing_batch(number: int, fault: BaseException | Callable[[loop.Run, dict], object]) -> Iterator[None]:
    """Make training batch `number` (from 0) raise an error, or change its run and loss terms."""
    original, left = loop._backward, iter(range(number, -1, -1))

    def counted(run: loop.Run, *arguments):
        here = next(left, None) == 0
        if here and isinstance(fault, BaseException):
            raise fault
        terms = original(run, *arguments)
        if here:
            fault(run, terms)
        return terms

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_backward", counted)
        yield


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[Path]:
    """Mount a file system at a folder; skip the test if that is not permitted."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *how, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class TestFullDisk:
    """A small file system with little free space; limits on file size are tested in tests/cli/test_cli.py."""

    @pytest.mark.linux
    @pytest.mark.parametrize("verb", VERBS)
    def test_a_full_disk_gives_one_line_and_with_room_the_command_continues(
        self, verb: str, here: Path, capsys
    ):
        whole = here / "whole"
        assert main(lines(here, whole)[verb]) == 0
        with mounted(here / "small", "-t", "tmpfs", "-o", "size=4m", "none") as small:
            line = lines(here, small / "out")[verb]
            filler = small / "filler"
            stopped = 0
            for room in (0, 4096, 40_000, 160_000):
                filler.unlink(missing_ok=True)
                fill(filler, room)
                code = main(line)
                assert code in (0, 2)
                stopped += code == 2
                assert not [path for path in files(small) if path.endswith(".part")]
            filler.unlink()
            assert stopped >= 1
            message = capsys.readouterr().err
            assert message.count("\n") == message.count("no space left on device") == stopped, message
            assert main(line) == 0
            assert_same(verb, whole, small / "out")


def fill(path: Path, room: int) -> None:
    """Fill a file system except for `room` bytes."""
    free = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - room)


def assert_same(verb: str, first: Path, second: Path) -> None:
    """Check that two outcomes are equal except for durations."""
    if verb == "train":
        assert weights(first / "run") == weights(second / "run")
        assert set(files(first)) == set(files(second))
    elif verb == "evaluate":
        assert len(answers(first / "results")) == 2
        assert answers(first / "results") == answers(second / "results")
    elif verb == "extract":
        first, second = (features.read(folder / "features.h5") for folder in (first, second))
        assert (first.digest, first.class_names) == (second.digest, second.class_names)
    else:
        assert files(first) == files(second)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only; for root this needs a mount."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield


@pytest.mark.linux
class TestReadOnlyFolder:
    @pytest.mark.parametrize("verb", VERBS)
    def test_a_read_only_folder_gives_one_line(self, verb: str, here: Path, capsys):
        (here / "out").mkdir()
        with read_only(here / "out"):
            assert "cannot write" in refused(lines(here, here / "out")[verb], capsys)
            assert not files(here / "out")
        assert main(lines(here, here / "out")[verb]) == 0

    def test_a_leaderboard_gives_one_line(self, here: Path, capsys):
        assert main(lines(here, here)["evaluate"]) == 0
        with read_only(here / "results"):
            assert "cannot write" in refused(["leaderboard", str(here / "results")], capsys)

    def test_cached_features_are_read_from_a_read_only_cache(self, here: Path):
        """A shared cache may be writable for one user only."""
        assert main(lines(here, here / "first")["evaluate"]) == 0
        with read_only(here / "cache"):
            assert main(lines(here, here / "second")["evaluate"]) == 0
        assert answers(here / "first" / "results") == answers(here / "second" / "results")


class TestChangedFiles:
    """Files are removed or changed between two commands."""

    def test_changed_pixels_do_not_match_the_fingerprint(self, here: Path, capsys):
        with h5py.File(find_store("tiny", here / "cache"), "r+") as file:
            file["novel/pixels"][0, 0, 0, 0] ^= 1
            file["base/labels"][20] -= 1  # the first image of the second class
        for verb, split in (("extract", "novel"), ("train", "base")):
            message = refused(lines(here, here / "out")[verb], capsys)
            assert f"images of {split} do not match their fingerprint; prepare them again" in message

    def test_images_prepared_again_during_extraction_are_refused(self, here: Path, capsys, monkeypatch):
        """The images change after their fingerprint was read."""
        look = fsbench.features.extract.stored_for

        def earlier(*arguments):
            info = look(*arguments)
            return replace(info, identity=replace(info.identity, fingerprint="f" * 64))

        monkeypatch.setattr("fsbench.features.extract.stored_for", earlier)
        message = refused(lines(here, here / "out")["extract"], capsys)
        assert "data set tiny: was prepared again while it was read" in message

    def test_other_images_give_other_results(self, here: Path):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        for path in (here / "images" / "novel").glob("*/000.png"):
            path.unlink()
        prepare("tiny", here / "images", cache=here / "cache", quiet=True)
        assert main(line) == 0
        after = answers(here / "results")
        assert before == {path: result for path, result in after.items() if path in before}
        new = [result for path, result in after.items() if path not in before]
        assert len(new) == len(before)
        for result in before.values():
            for key in ("fingerprint", "feature_digest", "task_digest"):
                assert result[key] not in [other[key] for other in new], key

    def test_a_run_does_not_continue_with_other_images(self, here: Path, capsys):
        line = lines(here, here)["train"]
        with failing_batch(STEPS + 1, KeyboardInterrupt()):
            assert main(line) == 130
        (here / "images" / "base" / "base-0" / "000.png").unlink()
        prepare("tiny", here / "images", cache=here / "cache", quiet=True)
        assert "holds a run with images of fingerprint " in refused(line, capsys)

    def test_another_checkpoint_of_the_same_name_gives_other_results(self, here: Path):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        best = here / "tiny-erm" / "best.safetensors"
        tensors, _ = checkpoint.read(best)
        tensors["backbone.blocks.0.0.weight"] = -tensors["backbone.blocks.0.0.weight"]
        checkpoint.write(best, tensors, checkpoint.load_provenance(best))
        assert main(line) == 0
        after = answers(here / "results")
        assert before == {path: result for path, result in after.items() if path in before}
        assert len(after) == 2 * len(before)
        assert len({result["checkpoint"] for result in after.values()}) == 2
        assert len({result["feature_digest"] for result in after.values()}) == 2

    def test_changed_features_are_refused_and_missing_ones_extracted_again(self, here: Path, capsys):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        (store,) = (here / "cache" / "features").rglob("*.h5")
        with h5py.File(store, "r+") as file:
            file["features"][0, 0] += 1
        shutil.rmtree(here / "results")
        assert "features do not match their digest; extract them again" in refused(line, capsys)
        assert not (here / "results").exists()
        store.unlink()
        assert main(line) == 0
        assert answers(here / "results") == before

    def test_a_changed_task_list_is_refused(self, here: Path, capsys):
        novel = load("tiny", "novel", here / "cache")
        path = here / "mine.toml"
        spec = TaskSpec(n_query=5, n_tasks=50)
        pinned.write_task_list(path, pinned.pin("tiny", "novel", novel.labels, spec, novel.class_names))
        line = [
            word
            for word in lines(here, here)["evaluate"]
            if word not in ("--n-query", "5", "--n-tasks", "50")
        ]
        line += ["--tasks", str(path)]
        assert main(line) == 0
        path.write_text(path.read_text().replace("seed = 0", "seed = 1"))
        assert "task list of tiny novel: its digest is not that of the tasks" in refused(line, capsys)

    @pytest.mark.parametrize("key", ["accuracy", "half_width", "correct", "run"])
    def test_a_changed_result_is_detected(self, key: str, here: Path, capsys):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        path = result_files.paths(here / "results")[0]
        document = json.loads(path.read_bytes())
        outcome = document["outcome"]
        if key == "run":
            document["model"]["run"] = "another"
        else:
            outcome[key] = {
                "accuracy": outcome["accuracy"] + 0.01,
                "half_width": outcome["half_width"] / 2,
                "correct": [0, *outcome["correct"][1:]],
            }[key]
        path.write_text(json.dumps(document))
        capsys.readouterr()
        assert main(["validate", str(here / "results")]) == 2
        assert str(path) in capsys.readouterr().out
        path.unlink()
        assert main(line) == 0
        assert answers(here / "results") == before


@pytest.fixture(scope="session")
def whole_run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The weights of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    line = lines(folder, folder)["train"]
    assert main([*line, "--cache", str(cache)]) == 0
    return weights(folder / "run")


class TestNumbers:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_features_that_are_not_finite_are_refused(self, value: float, here: Path, capsys):
        assert main(lines(here, here)["extract"]) == 0
        extracted = features.read(here / "features.h5")
        extracted.values[3, 2] = value
        features.write(
            here / "bad.h5",
            extracted,
        )
        message = refused(["evaluate", str(here / "bad.h5"), "--out", str(here / "results")], capsys)
        assert "bad.h5" in message
        assert "features must be finite" in message
        assert not (here / "results").exists()

    def test_a_backbone_whose_features_are_not_finite_is_refused(self, here: Path, capsys):
        best = here / "tiny-erm" / "best.safetensors"
        tensors, _ = checkpoint.read(best)
        tensors["backbone.blocks.0.0.weight"].fill_(float("nan"))
        checkpoint.write(best, tensors, checkpoint.load_provenance(best))
        assert "tiny-erm: features of tiny must be finite, but " in refused(
            lines(here, here)["evaluate"], capsys
        )
        assert not list((here / "cache").rglob("features/*/*.h5"))

    @pytest.mark.parametrize(("step", "value"), [(0, "nan"), (3, "inf"), (STEPS - 1, "nan")])
    def test_a_loss_that_is_not_finite_stops_a_run(
        self, step: int, value: str, here: Path, capsys, whole_run: list[bytes]
    ):
        """The loss is checked only now and then, but the message names the exact step."""
        line = lines(here, here)["train"]
        with failing_batch(STEPS + step, lambda run, terms: terms["class"].mul_(float(value))):
            message = refused(line, capsys)
        assert (
            f"loss is {value} in stage class, epoch 2, step {step + 1}; the last good checkpoint" in message
        )
        assert str(here / "run" / "last.safetensors") in message
        assert checkpoint.load_provenance(here / "run" / "last.safetensors").epoch == 1
        assert main(line) == 0
        assert weights(here / "run") == whole_run

    def test_weights_that_are_not_finite_are_not_written(self, here: Path, capsys, whole_run: list[bytes]):
        """The last step of an epoch changes the weights after the last loss."""
        line = lines(here, here)["train"]

        def spoil(run: loop.Run, terms: dict) -> None:
            next(run.network.parameters()).grad[0] = float("inf")

        with failing_batch(2 * STEPS - 1, spoil):
            message = refused(line, capsys)
        assert "weights are not finite after stage class, epoch 2; the last good checkpoint is " in message
        assert checkpoint.load_provenance(here / "run" / "last.safetensors").epoch == 1
        assert main(line) == 0
        assert weights(here / "run") == whole_run


NO_MEMORY = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
    "oneDNN": RuntimeError("could not create a primitive"),
    "python": MemoryError(),
}


@pytest.fixture(params=["gpu", "cpu", "numpy", "oneDNN", "python"])
def no_memory(request: pytest.FixtureRequest) -> Exception:
    """An out-of-memory error; those of torch on a CPU and of NumPy are provoked."""
    if request.param in NO_MEMORY:
        return NO_MEMORY[request.param]
    with pytest.raises((RuntimeError, MemoryError), match="allocate") as caught:
        (torch if request.param == "cpu" else np).empty(1 << 55)
    return caught.value


both_devices = pytest.mark.parametrize("no_memory", ["gpu", "cpu"], indirect=True)


class TestTooLittleMemory:
    @both_devices
    def test_out_of_memory_in_a_step_gives_advice_and_loses_nothing(
        self, no_memory: Exception, here: Path, capsys, whole_run: list[bytes]
    ):
        line = lines(here, here)["train"]
        with failing_batch(1, no_memory):
            message = refused(line, capsys)
        assert "out of memory in stage class, epoch 1, step 2, with 16 images; nothing was kept; " in message
        assert "--micro-batch" in message
        with failing_batch(STEPS + 3, no_memory):
            message = refused(line, capsys)
        assert "out of memory in stage class, epoch 2, step 4, with 16 images; the last good " in message
        assert str(here / "run" / "last.safetensors") in message
        assert main(line) == 0
        assert weights(here / "run") == whole_run

    @both_devices
    def test_out_of_memory_in_a_head_keeps_earlier_results(
        self, no_memory: Exception, here: Path, capsys, monkeypatch
    ):
        line = lines(here, here)["evaluate"]
        line[line.index("nearest-mean")] = "ridge"
        line.insert(line.index("ridge"), "nearest-mean")

        def fails(*_, **__):
            raise no_memory

        with monkeypatch.context() as patch:
            patch.setitem(HEADS, "ridge", replace(HEADS["ridge"], classify=fails))
            message = refused(line, capsys)
        assert "out of memory in head ridge; results so far are kept; " in message
        assert "another --device" in message
        before = {path: (here / "results" / path).stat().st_ino for path in answers(here / "results")}
        assert len(before) == 2
        assert main(line) == 0
        assert len(answers(here / "results")) == 4
        for path, inode in before.items():
            assert (here / "results" / path).stat().st_ino == inode  # not written again

    @both_devices
    def test_out_of_memory_in_extraction_gives_one_line(
        self, no_memory: Exception, here: Path, capsys, monkeypatch
    ):
        def fails(*_, **__):
            raise no_memory

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Conv2d, "forward", fails)
            assert "out of memory in tiny-erm on images of tiny; " in refused(
                lines(here, here)["extract"], capsys
            )
        assert not (here / "features.h5").exists()

    def test_out_of_memory_elsewhere_gives_one_line(
        self, no_memory: Exception, here: Path, capsys, monkeypatch
    ):
        def fails(*_, **__):
            raise no_memory

        monkeypatch.setattr("fsbench.data.image_store.read", fails)
        for verb in ("train", "extract"):
            assert "out of memory" in refused(lines(here, here)[verb], capsys)

    def test_other_errors_pass(self, here: Path):
        with (
            pytest.raises(RuntimeError, match="mat1 and mat2"),
            failing_batch(0, RuntimeError("mat1 and mat2")),
        ):
            main(lines(here, here)["train"])

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @pytest.mark.linux
    @pytest.mark.parametrize("verb", ["train", "extract", "evaluate"])
    def test_a_memory_limit_gives_one_line_or_is_sufficient(self, verb: str, here: Path):
        """Increase the limit until it suffices; libraries are loaded and kernels compiled before: an
        import or a compiler that lacks memory ends in errors of any kind. Without oneDNN, which takes other
        code, that rounds otherwise, where it has no room for what it compiles.
        """
        code = (
            "import resource, sys; from pathlib import Path\n"
            "import tabulate, torch, torch._dynamo; torch.set_num_threads(1)\n"
            "torch._C._set_mkldnn_enabled(False)\n"
            "from fsbench.evaluation import run as evaluation; from fsbench.training import loop as train\n"
            "from fsbench.cli import main\n"
            "from fsbench.data.augment import Augment, train_augment; from numpy.random import default_rng\n"
            "train_augment(torch.zeros(2, 16, 16, 3, dtype=torch.uint8), 16, default_rng(0), Augment())\n"
            "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)\n"
            "sys.exit(main(sys.argv[2:]))"
        )
        line = lines(here, here / "out")[verb]
        codes = []
        for room in (1 << power for power in range(18, 33, 2)):
            done = subprocess.run(
                [sys.executable, "-c", code, str(room), *line],
                check=False, env=QUIET, capture_output=True, text=True,
            )  # fmt: skip
            codes.append(done.returncode)
            if done.returncode == 0:
                break
            assert done.returncode == 2, done.stderr
            assert done.stderr.count("\n") == 1, done.stderr
            assert not [path for path in files(here) if path.endswith(".part")]
        assert codes[-1] == 0
        assert len(codes) > 1
        torch._C._set_mkldnn_enabled(False)  # as its public setter does, which warns about TF32
        try:
            assert main(lines(here, here / "whole")[verb]) == 0
        finally:
            torch._C._set_mkldnn_enabled(True)
        assert_same(verb, here / "whole", here / "out")


class TestClock:
    """Only content decides whether something is up to date, never times."""

    def test_times_of_files_do_not_matter(self, here: Path):
        out = here / "out"
        commands = [line for verb, line in lines(here, out).items() if verb != "prepare"]
        commands += [lines(here, here)["prepare"], ["leaderboard", str(out / "results")]]
        for line in commands:
            assert main(line) == 0
        before = files(here)
        for number, seconds in enumerate((0, 1, 2**32, 1_000_000_000)):
            for place, path in enumerate(sorted(here.rglob("*"))):
                os.utime(path, (seconds, seconds + (place * 7919 + number) % 1000))
            for line in commands:
                assert main(line) == 0
            assert files(here) == before

    def test_a_clock_that_jumps_changes_no_result(self, here: Path, monkeypatch, whole_run: list[bytes]):
        jumps = iter(range(10_000))
        monkeypatch.setattr(time, "time", lambda: 1e9 * (-1) ** next(jumps))
        assert main(lines(here, here)["train"]) == 0
        assert weights(here / "run") == whole_run
        log = pd.read_csv(here / "run" / "log.csv")
        assert (log["seconds"] > 0).all()


class TestProcesses:
    def test_an_interrupted_run_that_replaces_a_finished_one_is_not_finished(self, here: Path, capsys):
        """It stops at its first best checkpoint; the last checkpoint is still that of the finished run."""
        line = [arg.replace("/run", "/tiny-erm") for arg in lines(here, here)["train"]]
        assert main(line) == 0
        whole = weights(here / "tiny-erm")
        original = checkpoint.write

        def dies(path: Path, *arguments, **options) -> None:
            original(path, *arguments, **options)
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "write", dies)
            assert main([*line, "--force"]) == 130
        assert not (here / "tiny-erm" / "last.safetensors").exists()
        assert main(line) == 0
        assert weights(here / "tiny-erm") == whole

    def test_leftovers_of_a_killed_download_are_removed(self, tmp_path: Path):
        (tmp_path / ".birds.abc.part" / "half").mkdir(parents=True)
        (tmp_path / ".birdsong.abc.part").mkdir()
        download._download_whole(tmp_path / "birds", lambda part: (part / "birds").mkdir())
        assert {path.name for path in tmp_path.iterdir()} - {".birds.lock"} == {"birds", ".birdsong.abc.part"}

    @pytest.mark.slow
    @pytest.mark.parametrize("rank", [0, 1])
    def test_a_distributed_run_continues_after_one_process_died(self, rank: int, here: Path):
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

        def start(out: Path) -> subprocess.Popen[bytes]:
            line = lines(here, out)["train"]
            line[line.index("--epochs") + 1] = "10"
            return subprocess.Popen([*torchrun, "-m", "fsbench", *line], env=QUIET)

        assert start(here / "whole").wait() == 0
        killed = start(here / "killed")
        while not (here / "killed" / "run" / "resume.safetensors").exists():
            assert killed.poll() is None
            time.sleep(0.01)
        os.kill(worker(killed.pid, rank), signal.SIGKILL)
        assert killed.wait() != 0
        assert checkpoint.load_provenance(here / "killed" / "run" / "last.safetensors").epoch < 10
        assert start(here / "killed").wait() == 0
        assert weights(here / "killed" / "run") == weights(here / "whole" / "run")


def worker(pid: int, rank: int) -> int:
    """Return the process id of a rank that torchrun started."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no rank {rank} below {pid}")
