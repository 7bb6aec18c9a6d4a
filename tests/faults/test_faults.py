"""What may go wrong under a command: a disk, a file, memory, a process, a clock, a number.

Each time it says so in one line with exit code 2 and leaves nothing that passes for a result; with the fault
gone, the same command ends as if it had not been.
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
from fsbench.data import download
from fsbench.data.prepare import find_store, load, prepare
from fsbench.evaluation import results
from fsbench.features import store as features
from fsbench.heads import HEADS
from fsbench.models import checkpoint
from fsbench.tasks import pinned
from fsbench.tasks.spec import TaskSpec
from fsbench.training import loop

QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
STEPS = 8  # of an epoch: 120 base images in batches of 16
TIMES = {"extract_seconds", "evaluate_seconds", "commit"}  # the last one takes a whole git status


@pytest.fixture
def here(cache: Path, trained: Path, tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder with a cache, a trained backbone and images, all of them copies."""
    (tmp_path / "cache").mkdir()
    shutil.copytree(cache / "images", tmp_path / "cache" / "images")
    shutil.copytree(trained, tmp_path / "tiny-erm")
    shutil.copytree(tiny_folder, tmp_path / "images")
    return tmp_path


def lines(here: Path, out: Path) -> dict[str, list[str]]:
    """Commands that read what lies in one folder and write into another."""
    device = ["--device", "cpu", "--quiet"]
    cache, best = ["--cache", str(here / "cache")], str(here / "tiny-erm" / "best.safetensors")
    asked = ["--n-query", "5", "--n-tasks", "50", "--head", "nearest-mean"]
    return {
        "prepare": ["data", "prepare", "mine", str(here / "images"), "--cache", str(out / "c"), "--quiet"],
        "train": [
            *("train-backbone", "erm", "--dataset", "tiny", "--epochs", "2", "--batch-size", "16"),
            *(*cache, "--out", str(out / "run"), *device),
        ],
        "extract": ["extract", best, *cache, "--out", str(out / "features.h5"), *device],
        "evaluate": ["evaluate", best, *cache, "--out", str(out / "results"), *asked, *device],
    }


VERBS = ("prepare", "train", "extract", "evaluate")


def refused(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says when it cannot go on."""
    capsys.readouterr()
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("fsbench: ")
    assert said.err.count("\n") == 1, said.err
    return said.err


def files(folder: Path) -> dict[str, bytes]:
    """Every file but locks, which hold nothing."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def answers(folder: Path) -> dict[Path, dict[str, object]]:
    """What the results below a folder say, but for how long it took."""
    found = {path: results.to_json(results.read(path)) for path in results.paths(folder)}
    return {
        path.relative_to(folder): {key: value for key, value in one.items() if key not in TIMES}
        for path, one in found.items()
    }


def weights(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]


@contextmanager
def failing_batch(number: int, fault: BaseException | Callable[[loop.Run, dict], object]) -> Iterator[None]:
    """The n-th batch of training from 0 raises an error, or its run and its loss terms are tampered with."""
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
    """A file system of its own at a folder; skips where this may not be mounted."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *how, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class TestFullDisk:
    """A small file system that is filled up to some room; a limit on file size is in test_cli.py."""

    @pytest.mark.parametrize("verb", VERBS)
    def test_it_is_one_line_and_with_room_it_goes_on(self, verb: str, here: Path, capsys):
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
            said = capsys.readouterr().err
            assert said.count("\n") == said.count("no space left on device") == stopped, said
            assert main(line) == 0
            assert_same(verb, whole, small / "out")


def fill(path: Path, room: int) -> None:
    """Take all of a file system but so many bytes."""
    free = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - room)


def assert_same(verb: str, one: Path, two: Path) -> None:
    """The same outcome, but for how long it took."""
    if verb == "train":
        assert weights(one / "run") == weights(two / "run")
        assert set(files(one)) == set(files(two))
    elif verb == "evaluate":
        assert len(answers(one / "results")) == 2
        assert answers(one / "results") == answers(two / "results")
    elif verb == "extract":
        first, second = (features.read(folder / "features.h5") for folder in (one, two))
        assert (first.digest, first.class_names) == (second.digest, second.class_names)
    else:
        assert files(one) == files(two)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written; root needs a mount for that."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield


class TestReadOnlyFolder:
    @pytest.mark.parametrize("verb", VERBS)
    def test_it_is_one_line(self, verb: str, here: Path, capsys):
        (here / "out").mkdir()
        with read_only(here / "out"):
            assert "cannot write" in refused(lines(here, here / "out")[verb], capsys)
            assert not files(here / "out")
        assert main(lines(here, here / "out")[verb]) == 0

    def test_a_leaderboard_is_one_line(self, here: Path, capsys):
        assert main(lines(here, here)["evaluate"]) == 0
        with read_only(here / "results"):
            assert "cannot write" in refused(["leaderboard", str(here / "results")], capsys)

    def test_features_in_a_cache_need_no_right_to_write_it(self, here: Path):
        """A cache that a group shares is written by one of them."""
        assert main(lines(here, here / "first")["evaluate"]) == 0
        with read_only(here / "cache"):
            assert main(lines(here, here / "second")["evaluate"]) == 0
        assert answers(here / "first" / "results") == answers(here / "second" / "results")


class TestChangedFiles:
    """Something is removed or changed between two commands."""

    def test_pixels_that_changed_are_not_taken_for_those_of_the_fingerprint(self, here: Path, capsys):
        with h5py.File(find_store("tiny", here / "cache"), "r+") as file:
            file["novel/pixels"][0, 0, 0, 0] ^= 1
            file["base/labels"][20] -= 1  # the first image of the second class
        for verb, split in (("extract", "novel"), ("train", "base")):
            said = refused(lines(here, here / "out")[verb], capsys)
            assert f"images of {split} do not match their fingerprint; prepare them again" in said

    def test_images_that_are_prepared_anew_meanwhile_are_refused(self, here: Path, capsys, monkeypatch):
        """Between the look at the fingerprint and the reading of the images."""
        look = fsbench.features.extract.stored_for

        def earlier(*arguments):
            info = look(*arguments)
            return replace(info, identity=replace(info.identity, fingerprint="f" * 64))

        monkeypatch.setattr("fsbench.features.extract.stored_for", earlier)
        said = refused(lines(here, here / "out")["extract"], capsys)
        assert "data set tiny: was prepared anew while it was read" in said

    def test_other_images_are_other_results(self, here: Path):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        for path in (here / "images" / "novel").glob("*/000.png"):
            path.unlink()
        prepare("tiny", here / "images", cache=here / "cache", quiet=True)
        assert main(line) == 0
        after = answers(here / "results")
        assert before == {path: one for path, one in after.items() if path in before}
        new = [one for path, one in after.items() if path not in before]
        assert len(new) == len(before)
        for one in before.values():
            for key in ("fingerprint", "feature_digest", "task_digest"):
                assert one[key] not in [other[key] for other in new], key

    def test_a_run_does_not_go_on_with_other_images(self, here: Path, capsys):
        line = lines(here, here)["train"]
        with failing_batch(STEPS + 1, KeyboardInterrupt()):
            assert main(line) == 130
        (here / "images" / "base" / "base-0" / "000.png").unlink()
        prepare("tiny", here / "images", cache=here / "cache", quiet=True)
        assert "holds a run with source_fingerprint = " in refused(line, capsys)

    def test_another_checkpoint_of_the_same_name_is_other_results(self, here: Path):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        best = here / "tiny-erm" / "best.safetensors"
        tensors, _ = checkpoint.read(best)
        tensors["backbone.blocks.0.0.weight"] = -tensors["backbone.blocks.0.0.weight"]
        checkpoint.write(best, tensors, checkpoint.load_provenance(best))
        assert main(line) == 0
        after = answers(here / "results")
        assert before == {path: one for path, one in after.items() if path in before}
        assert len(after) == 2 * len(before)
        assert len({one["checkpoint"] for one in after.values()}) == 2
        assert len({one["feature_digest"] for one in after.values()}) == 2

    def test_features_that_changed_are_refused_and_those_that_are_gone_made_again(self, here: Path, capsys):
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

    def test_a_task_list_that_changed_is_refused(self, here: Path, capsys):
        novel = load("tiny", "novel", here / "cache")
        path = here / "mine.toml"
        spec = TaskSpec(n_query=5, n_tasks=50)
        pinned.write(path, pinned.pin("tiny", "novel", novel.labels, spec, novel.class_names))
        line = [*lines(here, here)["evaluate"], "--tasks", str(path)]
        assert main(line) == 0
        path.write_text(path.read_text().replace("seed = 0", "seed = 1"))
        assert "task list of tiny novel: its digest is not that of the tasks" in refused(line, capsys)

    @pytest.mark.parametrize("key", ["accuracy", "half_width", "correct", "run"])
    def test_a_result_that_changed_is_found_out(self, key: str, here: Path, capsys):
        line = lines(here, here)["evaluate"]
        assert main(line) == 0
        before = answers(here / "results")
        path = results.paths(here / "results")[0]
        document = json.loads(path.read_bytes())
        changed = {
            "accuracy": document["accuracy"] + 0.01,
            "half_width": document["half_width"] / 2,
            "correct": [0, *document["correct"][1:]],
            "run": "another",
        }
        path.write_text(json.dumps({**document, key: changed[key]}))
        capsys.readouterr()
        assert main(["validate", str(here / "results")]) == 2
        assert str(path) in capsys.readouterr().out
        path.unlink()
        assert main(line) == 0
        assert answers(here / "results") == before


@pytest.fixture(scope="session")
def whole_run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The weights of a run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    line = lines(folder, folder)["train"]
    assert main([*line, "--cache", str(cache)]) == 0
    return weights(folder / "run")


class TestNumbers:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_features_that_are_no_numbers_are_refused(self, value: float, here: Path, capsys):
        assert main(lines(here, here)["extract"]) == 0
        found = features.read(here / "features.h5")
        found.values[3, 2] = value
        features.write(
            here / "bad.h5", features.Features(found.values, found.labels, found.class_names, found.about)
        )
        said = refused(["evaluate", str(here / "bad.h5"), "--out", str(here / "results")], capsys)
        assert "bad.h5" in said
        assert "features must be finite" in said
        assert not (here / "results").exists()

    def test_a_backbone_whose_features_are_no_numbers_is_refused(self, here: Path, capsys):
        best = here / "tiny-erm" / "best.safetensors"
        tensors, _ = checkpoint.read(best)
        tensors["backbone.blocks.0.0.weight"].fill_(float("nan"))
        checkpoint.write(best, tensors, checkpoint.load_provenance(best))
        assert "features of tiny are not all finite" in refused(lines(here, here)["evaluate"], capsys)
        assert not list((here / "cache").rglob("features/*/*.h5"))

    @pytest.mark.parametrize(("step", "value"), [(0, "nan"), (3, "inf"), (STEPS - 1, "nan")])
    def test_a_loss_that_is_no_number_stops_a_run(
        self, step: int, value: str, here: Path, capsys, whole_run: list[bytes]
    ):
        """The loss is looked at every now and then, but the step that is named is the very one."""
        line = lines(here, here)["train"]
        with failing_batch(STEPS + step, lambda run, terms: terms["class"].mul_(float(value))):
            said = refused(line, capsys)
        assert f"loss is {value} in stage class, epoch 2, step {step + 1}; the last good checkpoint" in said
        assert str(here / "run" / "last.safetensors") in said
        assert checkpoint.load_provenance(here / "run" / "last.safetensors").epoch == 1
        assert main(line) == 0
        assert weights(here / "run") == whole_run

    def test_weights_that_are_no_numbers_are_not_written(self, here: Path, capsys, whole_run: list[bytes]):
        """What the last step of an epoch does to them no loss has seen."""
        line = lines(here, here)["train"]

        def spoil(run: loop.Run, terms: dict) -> None:
            next(run.network.parameters()).grad[0] = float("inf")

        with failing_batch(2 * STEPS - 1, spoil):
            said = refused(line, capsys)
        assert "weights are not finite after stage class, epoch 2; the last good checkpoint is " in said
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
    """What says that there is too little memory; torch's on a CPU, and NumPy's, are their own."""
    if request.param in NO_MEMORY:
        return NO_MEMORY[request.param]
    with pytest.raises((RuntimeError, MemoryError), match="allocate") as found:
        (torch if request.param == "cpu" else np).empty(1 << 55)
    return found.value


of_torch = pytest.mark.parametrize("no_memory", ["gpu", "cpu"], indirect=True)


class TestTooLittleMemory:
    @of_torch
    def test_a_step_says_what_needs_less_and_nothing_is_lost(
        self, no_memory: Exception, here: Path, capsys, whole_run: list[bytes]
    ):
        line = lines(here, here)["train"]
        with failing_batch(1, no_memory):
            said = refused(line, capsys)
        assert "out of memory in stage class, epoch 1, step 2, with 16 images; nothing was kept; " in said
        assert "--micro-batch" in said
        with failing_batch(STEPS + 3, no_memory):
            said = refused(line, capsys)
        assert "out of memory in stage class, epoch 2, step 4, with 16 images; the last good " in said
        assert str(here / "run" / "last.safetensors") in said
        assert main(line) == 0
        assert weights(here / "run") == whole_run

    @of_torch
    def test_a_head_is_named_and_the_results_before_are_kept(
        self, no_memory: Exception, here: Path, capsys, monkeypatch
    ):
        line = lines(here, here)["evaluate"]
        line[line.index("nearest-mean")] = "ridge"
        line.insert(line.index("ridge"), "nearest-mean")

        def fails(*_, **__):
            raise no_memory

        with monkeypatch.context() as patch:
            patch.setitem(HEADS, "ridge", replace(HEADS["ridge"], classify=fails))
            said = refused(line, capsys)
        assert "out of memory in head ridge; results so far are kept; " in said
        assert "another --device" in said
        before = {path: (here / "results" / path).stat().st_ino for path in answers(here / "results")}
        assert len(before) == 2
        assert main(line) == 0
        assert len(answers(here / "results")) == 4
        for path, inode in before.items():
            assert (here / "results" / path).stat().st_ino == inode  # not made again

    @of_torch
    def test_an_extraction_is_one_line(self, no_memory: Exception, here: Path, capsys, monkeypatch):
        def fails(*_, **__):
            raise no_memory

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Conv2d, "forward", fails)
            assert "out of memory in tiny-erm on images of tiny; " in refused(
                lines(here, here)["extract"], capsys
            )
        assert not (here / "features.h5").exists()

    def test_any_other_place_is_one_line(self, no_memory: Exception, here: Path, capsys, monkeypatch):
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
    @pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
    @pytest.mark.parametrize("verb", ["train", "extract", "evaluate"])
    def test_a_limit_of_the_process_is_one_line_or_enough(self, verb: str, here: Path):
        """More and more memory, until there is enough; libraries are loaded and kernels compiled before: an
        import or a compiler that lacks memory ends in errors of any kind. Without oneDNN, which takes other
        code, that rounds otherwise, where it has no room for what it compiles.
        """
        code = (
            "import resource, sys; from pathlib import Path\n"
            "import tabulate, torch, torch._dynamo; torch.set_num_threads(1)\n"
            "torch._C._set_mkldnn_enabled(False)\n"
            "from fsbench import evaluation, train; from fsbench.cli import main\n"
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
        torch._C._set_mkldnn_enabled(False)  # as its public name does, which warns of TF32
        try:
            assert main(lines(here, here / "whole")[verb]) == 0
        finally:
            torch._C._set_mkldnn_enabled(True)
        assert_same(verb, here / "whole", here / "out")


class TestClock:
    """Nothing is newer or older than anything else but by its content."""

    def test_times_of_files_do_not_matter(self, here: Path):
        out = here / "out"
        every = [line for verb, line in lines(here, out).items() if verb != "prepare"]
        every += [lines(here, here)["prepare"], ["leaderboard", str(out / "results")]]
        for line in every:
            assert main(line) == 0
        before = files(here)
        for number, seconds in enumerate((0, 1, 2**32, 1_000_000_000)):
            for place, path in enumerate(sorted(here.rglob("*"))):
                os.utime(path, (seconds, seconds + (place * 7919 + number) % 1000))
            for line in every:
                assert main(line) == 0
            assert files(here) == before

    def test_a_clock_that_jumps_changes_no_number(self, here: Path, monkeypatch, whole_run: list[bytes]):
        jumps = iter(range(10_000))
        monkeypatch.setattr(time, "time", lambda: 1e9 * (-1) ** next(jumps))
        assert main(lines(here, here)["train"]) == 0
        assert weights(here / "run") == whole_run
        log = pd.read_csv(here / "run" / "log.csv")
        assert (log["seconds"] > 0).all()


class TestProcesses:
    def test_a_run_that_was_to_replace_a_finished_one_is_not_taken_for_finished(self, here: Path, capsys):
        """It dies when its first checkpoint is the best so far, and that of the run before says finished."""
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

    def test_what_a_killed_download_left_is_swept(self, tmp_path: Path):
        (tmp_path / ".birds.abc.part" / "half").mkdir(parents=True)
        (tmp_path / ".birdsong.abc.part").mkdir()
        download._arrive(tmp_path / "birds", lambda part: (part / "birds").mkdir())
        assert {path.name for path in tmp_path.iterdir()} - {".birds.lock"} == {"birds", ".birdsong.abc.part"}

    @pytest.mark.slow
    @pytest.mark.parametrize("rank", [0, 1])
    def test_one_of_two_processes_that_dies_ends_the_run_and_it_goes_on(self, rank: int, here: Path):
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
    """The process of that rank that torchrun has started."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no rank {rank} below {pid}")
