"""What test_kill.py runs: verbs that are killed at random moments, and verbs that run twice at once.

    kill_verbs.py kill|race IMAGES OUT KILLS SEED

A call of the command is a forked child, which spares the imports. It works in a copy of the folder in which
its verb has all it needs, and its outcome is every file that it leaves there, hidden ones included. Prints a
line of JSON for each verb; an outcome that is not the uninterrupted one ends the job.
"""

import io
import json
import mmap
import os
import random
import shutil
import signal
import statistics
import sys
import time
import traceback
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import h5py
import pandas as pd
import torch

from fsbench import cli
from fsbench._util import machine
from fsbench.data import image_store, summary
from fsbench.evaluation import result_files, run
from fsbench.features import store as features
from fsbench.models import checkpoint
from fsbench.report import leaderboard
from fsbench.training import loop

IMPORTED = (run, leaderboard, summary, loop)  # imported here, so that no child has to load them
DEVICE = ("--device", "cpu", "--quiet")
VERBS = {  # in order: each needs the files of those before it
    "prepare": ("data", "prepare", "tiny", "images", "--cache", "cache", "--quiet"),
    "train": (
        *("train-backbone", "erm", "--dataset", "tiny", "--epochs", "2", "--batch-size", "32"),
        *("--cache", "cache", "--out", "run", *DEVICE),
    ),
    "extract": ("extract", "run/last.safetensors", "--cache", "cache", *DEVICE),
    "evaluate": (
        *("evaluate", "run/last.safetensors", "--cache", "cache", "--out", "results", "--n-query", "5"),
        *("--n-tasks", "100", "--head", "nearest-mean", "ridge", "soft-kmeans", "--details", *DEVICE),
    ),
    "leaderboard": ("leaderboard", "results", "--readme", "README.md"),
}
FORCED = ("train", "prepare")  # also killed while they replace existing files
# Calls that change the disk or a lock: a kill before or after each leaves a different state on disk.
CALLS = {
    *("open", "write", "close", "flush", "truncate", "ftruncate", "fsync", "flock"),
    *("mkdir", "chmod", "rename", "replace", "remove", "unlink", "rmdir"),
}
TIMES = ("seconds", "images_per_second", "extract_seconds", "evaluate_seconds")  # depend on the machine
README = "# Mine\n\n<!-- leaderboard:begin -->\n<!-- leaderboard:end -->\n"
NEVER = 1 << 62
GOLDEN = (5**0.5 - 1) / 2  # multiples of it modulo 1 are spread evenly, however many there are
counted = mmap.mmap(-1, 8)  # shared with the children: how many of CALLS are left


def main(action: str, images: Path, out: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    machine.commit()  # cached here, so that neither a new commit nor a killed git makes a difference
    out.mkdir()
    start = out / "start"
    shutil.copytree(images, start / "images")
    (start / "README.md").write_text(README)
    for name, arguments in VERBS.items():
        whole = copied(start, out / name)
        expect(call(whole, arguments) == 0, name, "does not end")
        for forced in (False, True) if name in FORCED and action == "kill" else (False,):
            rng = random.Random(f"{seed} {name} {forced}")
            before, line = (whole, (*arguments, "--force")) if forced else (start, arguments)
            do = partial(kill if action == "kill" else race, name, line, before, whole, out / "attacked", rng)
            sys.stdout.write(json.dumps({"verb": name, "forced": forced, **do(kills)}) + "\n")
            sys.stdout.flush()
        start = whole


def kill(
    name: str, line: tuple[str, ...], before: Path, whole: Path, at: Path, rng: random.Random, kills: int
) -> dict[str, Any]:
    """Kill the command, half the times at a moment and half at a call; run again, it must complete."""
    expected, allowed = outcome(whole), (outcome(before), outcome(whole))
    calls = NEVER - count_calls(line, before, at)
    seconds = statistics.median(timed(line, before, at) for _ in range(3))
    hits, tries, moments, torn, phase = {"moment": 0, "call": 0}, 0, [], 0, rng.random()
    while sum(hits.values()) < kills:
        how = "moment" if hits["moment"] <= hits["call"] else "call"
        tries += 1
        expect(tries < 4 * kills, name, "ends before it can be killed")
        when = (phase + tries * GOLDEN) % 1
        copied(before, at)
        if how == "call":
            status = call(at, line, die_at=1 + int(when * calls))
        else:
            status = call(at, line, seconds=when * seconds)
        if status == 0:
            continue
        expect(status == signal.SIGKILL, name, f"ends with status {status}")
        hits[how] += 1
        moments.append(when)
        torn += any(path.endswith(".part") for path in outcome(at))
        check_readable(name, at, allowed)
        expect(call(at, line) == 0, name, "fails after a kill")
        expect_same(name, outcome(at), expected)
    return {**hits, "calls": calls, "torn": torn, "first": min(moments), "last": max(moments)}


def race(
    name: str, line: tuple[str, ...], before: Path, whole: Path, at: Path, rng: random.Random, races: int
) -> dict[str, int]:
    """Run two processes at once: both succeed; if one is killed, the other one succeeds.

    The disk is slowed down, so that both write at the same time.
    """
    sync = os.fsync
    os.fsync = lambda handle: (time.sleep(0.02), sync(handle))[1]  # type: ignore[assignment]
    expected = outcome(whole)
    seconds = statistics.median(timed(line, before, at) for _ in range(3))
    lost = 0
    for number in range(races):
        copied(before, at)
        first = started(at, line)
        time.sleep(rng.random() * seconds if number % 2 else 0)
        second = started(at, line)
        if number % 4 == 3:
            time.sleep(rng.random() * seconds / 2)
            os.kill(first, signal.SIGKILL)
            lost += ended(first) == signal.SIGKILL
        else:
            expect(ended(first) == 0, name, "fails beside another one")
        expect(ended(second) == 0, name, "fails beside another one")
        files = {path: text for path, text in outcome(at).items() if not path.endswith(".part")}
        expect_same(name, files, expected)
    return {"races": races, "killed": lost}


def copied(before: Path, at: Path) -> Path:
    shutil.rmtree(at, ignore_errors=True)
    return shutil.copytree(before, at)


def call(at: Path, line: tuple[str, ...], *, seconds: float | None = None, die_at: int = NEVER) -> int:
    """Run the command; return its exit code, or the signal that ended it."""
    pid = started(at, line, die_at)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    return ended(pid)


def started(at: Path, line: tuple[str, ...], die_at: int = NEVER) -> int:
    """Start a child that runs the command in a folder and dies at one of its CALLS; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(at)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        counted[:] = die_at.to_bytes(8, "little")
        if die_at != NEVER or at.name == "counted":
            sys.setprofile(count)
        code = cli.main(line)
        sys.setprofile(None)
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def ended(pid: int) -> int:
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def count(frame: FrameType, event: str, function: Any) -> None:
    """Count down at each event of a call in CALLS; at 0, kill this process."""
    if event in ("c_call", "c_return") and function.__name__ in CALLS:
        if not isinstance(function.__self__, io.IOBase) and function.__module__ not in ("posix", "fcntl"):
            return
        left = int.from_bytes(counted[:], "little") - 1
        counted[:] = left.to_bytes(8, "little")
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def count_calls(line: tuple[str, ...], before: Path, at: Path) -> int:
    """Run the command while its CALLS are counted; return the remainder of NEVER."""
    folder = copied(before, at.with_name("counted"))
    expect(call(folder, line) == 0, line[0], "does not end")
    return int.from_bytes(counted[:], "little")


def timed(line: tuple[str, ...], before: Path, at: Path) -> float:
    copied(before, at)
    began = time.perf_counter()
    expect(call(at, line) == 0, line[0], "does not end")
    return time.perf_counter() - began


def outcome(folder: Path) -> dict[str, str]:
    """The content of each file without durations; locks are left out because they are empty."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): content(path) for path in files}


def content(path: Path) -> str:
    if path.suffix == ".json":
        document = json.loads(path.read_bytes())
        for time_of in TIMES:
            document["outcome"].pop(time_of, None)
        return repr(document)
    if path.suffix == ".h5" and path.parent.parent.name == "features":
        store = features.read(path)
        about = {key: value for key, value in vars(store.origin).items() if key not in TIMES}
        return repr((store.digest, store.class_names, about))
    if path.suffix == ".h5":
        return image_store_content(path)
    if path.name == "leaderboard.csv":
        return repr(pd.read_csv(path).drop(columns=["extract_seconds", "evaluate_seconds"]).to_csv())
    if path.name == "log.csv":
        return repr(pd.read_csv(path).drop(columns=["seconds", "images_per_second"]).to_csv())
    return sha256(path.read_bytes()).hexdigest()


def image_store_content(path: Path) -> str:
    """Return all attributes but the folder of the images, and a digest of each array."""
    parts: dict[str, object] = {}
    with h5py.File(path) as file:
        parts["attributes"] = {key: str(value) for key, value in file.attrs.items() if key != "origin"}

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            data = (
                sha256(repr(item[()].tolist()).encode()).hexdigest() if isinstance(item, h5py.Dataset) else ""
            )
            parts[name] = (
                sha256(repr(data).encode()).hexdigest(),
                {key: str(value) for key, value in item.attrs.items()},
            )

        file.visititems(add)
    return repr(parts)


def check_readable(name: str, at: Path, allowed: tuple[dict[str, str], ...]) -> None:
    """Assert that every file under a final name is whole and, except for an unfinished run, final."""
    for path, text in outcome(at).items():
        if Path(path).name.startswith("."):
            continue
        if Path(path).suffix == ".safetensors":
            checkpoint.read(at / path)
        elif Path(path).name != "log.csv":
            expect(any(text == other.get(path) for other in allowed), name, f"leaves a wrong {path}")
    for path in (at / "cache" / "images").glob("*.h5"):
        with image_store.open_store(path) as file:
            expect(set(file) == set(image_store.SPLITS), name, "leaves a part of a store")
    if (at / "results").exists():
        list(result_files.read_all(at / "results"))


def expect_same(name: str, files: dict[str, str], expected: dict[str, str]) -> None:
    for path in sorted(files.keys() | expected.keys()):
        if files.get(path) != expected.get(path):
            actual_text, expected_text = (contents.get(path, "absent") for contents in (files, expected))
            start = next(
                (i for i, (a, b) in enumerate(zip(actual_text, expected_text, strict=False)) if a != b), 0
            )
            expect(
                False,
                name,
                f"leaves another {path}: {actual_text[start:][:300]}, not {expected_text[start:][:300]}",
            )


def expect(right: bool, name: str, problem: str) -> None:
    if not right:
        sys.exit(f"{name}: {problem}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
