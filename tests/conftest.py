"""Shared fixtures: a small data set on disk, prepared once, and one backbone trained on it."""

import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

from fsbench._util.compiled import keep_compiled_code

if TYPE_CHECKING:
    from selenium import webdriver

keep_compiled_code(Path(__file__).parents[1] / ".pytest_cache")  # for all processes and later runs

# Slow examples on a busy machine are no failure.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")

torch.set_num_threads(1)  # two processes with two threads each on two cores run eight times slower

TINY = {"base": 6, "val": 5, "novel": 7}  # classes
PER_CLASS, SIZE = 20, 16


def draw_class(folder: Path, colour: np.ndarray, rng: np.random.Generator) -> None:
    """Write noisy images around one mean colour: easy to learn, not trivial in pixels."""
    folder.mkdir(parents=True)
    noise = rng.normal(0, 40, (PER_CLASS, SIZE, SIZE, 3))
    for i, image in enumerate(np.clip(colour + noise, 0, 255).astype(np.uint8)):
        Image.fromarray(image).save(folder / f"{i:03d}.png")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders `{base,val,novel}/<class>/*.png`."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, n_classes in TINY.items():
        for number in range(n_classes):
            draw_class(root / split / f"{split}-{number}", rng.uniform(40, 215, 3), rng)
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A cache folder in which `tiny` is prepared."""
    from fsbench.data.preparation import prepare

    folder = tmp_path_factory.mktemp("cache")
    prepare("tiny", tiny_folder, cache=folder, quiet=True)
    return folder


@pytest.fixture(scope="session")
def glyphs_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for the embedded images, which all processes of the tests share."""
    shared = tmp_path_factory.getbasetemp()
    return (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "glyphs"


@pytest.fixture(autouse=True)
def no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep tests away from the user's own cache."""
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "unset-cache"))


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let distribution calibration draw 60 features instead of 500."""
    monkeypatch.setattr(import_module("fsbench.heads._distribution_calibration"), "DRAWS", 60)


@pytest.fixture(scope="session")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Conv4 trained for two epochs on `tiny`."""
    from fsbench._util.session import Session
    from fsbench.training.loop import train_backbone
    from fsbench.training.overrides import resolve
    from fsbench.training.recipe import load_recipe
    from fsbench.training.run import TrainingSpec

    recipe = resolve(load_recipe("erm"), epochs=[2], batch_size=16)
    out = tmp_path_factory.mktemp("runs") / "tiny-erm"
    train_backbone(
        recipe, TrainingSpec("tiny"), out=out, session=Session(cache, torch.device("cpu"), quiet=True)
    )
    return out


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[webdriver.Chrome]":
    """Headless Chromium, which records the console and every request."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        missing = pytest.fail if "CI" in os.environ else pytest.skip  # the job would test nothing
        missing("no chromium or chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--window-size=1280,1000"),
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.get("about:blank")  # the page for new tabs loads parts of the browser
    yield started
    started.quit()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that this machine cannot run, with a reason. The longest tests come first."""
    items.sort(key=lambda item: item.path.name != "test_accuracy.py")
    real, gpu = os.environ.get("FSBENCH_REAL_DATA"), torch.cuda.is_available()
    for item in items:
        if item.get_closest_marker("real") and not real:
            item.add_marker(pytest.mark.skip(reason="FSBENCH_REAL_DATA names no folder of real images"))
        if item.get_closest_marker("gpu") and not gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if item.get_closest_marker("linux") and sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="not on Linux"))


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> Iterator[dict[str, float]]:
    """Figures measured by a bench file.

    At the end they are written to the file of this processor in the folder `$FSBENCH_BENCH`.
    """
    from fsbench._util import machine
    from fsbench._util.files import write_text

    measured: dict[str, float] = {}
    yield measured
    folder = os.environ.get("FSBENCH_BENCH")
    if folder and measured:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        device = machine.device_name(torch.device("cpu"))
        # One name of a processor stands for several generations, which differ in their vector instructions.
        instructions = torch.backends.cpu.get_cpu_capability()
        words = re.findall("[a-z0-9]+", re.sub(r"\(\w+\)|processor|,.*", "", device.lower()))
        path = Path(folder, "-".join(["cpu", *words, instructions.lower()]) + ".json")
        record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        record["device"] = f"{device}, {instructions}"
        record[request.path.stem.removeprefix("bench_")] = {
            "commit": machine.commit(),
            "versions": machine.versions(),
            "figures": {name: float(f"{value:.4g}") for name, value in measured.items()},
        }
        write_text(path, json.dumps(record, indent=2) + "\n")


@pytest.fixture(scope="session")
def seconds() -> Callable[..., list[float]]:
    """Measure median wall times of calls in turns, so that drifting machine speed favours none."""

    def measure(*calls: Callable[[], object], rounds: int = 5) -> list[float]:
        took: list[list[float]] = [[] for _ in calls]
        for turn in range(rounds + 1):
            for call, times in zip(calls, took, strict=True):
                began = time.perf_counter()
                call()
                if turn:  # the first one warms up
                    times.append(time.perf_counter() - began)
        return [statistics.median(times) for times in took]

    return measure
