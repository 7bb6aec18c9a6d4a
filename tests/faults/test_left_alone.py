"""A library call does not change the state of the process or of the user's module, even if it fails."""

import gc
import json
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image, ImageFile
from torch import nn

import fsbench
from fsbench import stats
from fsbench._util import compiled, machine
from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.cli import main
from fsbench.cli._installation import examine
from fsbench.cli._options import Computing
from fsbench.data.loading import load
from fsbench.data.preparation import prepare
from fsbench.diagnose import _toy as toy
from fsbench.diagnose import diagnose
from fsbench.evaluation import inference
from fsbench.evaluation.run import Output, evaluate
from fsbench.features.extract import extract_features
from fsbench.heads import HEADS
from fsbench.heads.base import base_statistics
from fsbench.models import pretrained
from fsbench.models.identity import Model
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.models.pretrained.transform import standard_transform
from fsbench.prediction import predict, write_sheet
from fsbench.report import compare, leaderboard, plots
from fsbench.tasks import sampler
from fsbench.training import precision
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")
FEW = {"n_way": 5, "n_shot": 1, "n_query": 3, "n_tasks": 3, "quiet": True}
FEATURES = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
LABELS = np.repeat(np.arange(6), 10)


def process() -> dict[str, Any]:
    """The global state that calls could change."""
    backends = torch.backends
    fsbench_log = logging.getLogger("fsbench")
    return {
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "import path": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "hooks": (
            sys.excepthook,
            sys.unraisablehook,
            sys.displayhook,
            sys.gettrace(),
            sys.getrecursionlimit(),
        ),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "warnings": list(warnings.filters),
        "shown by": (warnings.showwarning, warnings.formatwarning),
        "log": [
            (log.level, list(log.handlers), list(log.filters), log.propagate, log.disabled)
            for log in (logging.getLogger(), fsbench_log)
        ],
        "random": random.getstate(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002 - it is what must not change
        "numpy errors": np.geterr(),
        "numpy prints": np.get_printoptions(),
        "torch": torch.get_rng_state().tolist(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "defaults": (torch.get_default_dtype(), torch.get_default_device(), torch.is_autocast_enabled("cpu")),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "precision": torch.get_float32_matmul_precision(),
        "cudnn": (backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic),
        "mkldnn": backends.mkldnn.enabled,
        "matplotlib": dict(mpl.rcParams.copy()),
        "pillow": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
    }


@contextmanager
def unchanged(look: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Assert that a function returns the same state before and after the block."""
    before = look()
    yield
    after = look()
    assert [name for name in before if before[name] != after[name]] == []
    assert before.keys() == after.keys()


class Fails(nn.Module):
    """Returns its input, or fails if `failing` is set."""

    failing = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.failing:
            raise RuntimeError("in the middle of it")
        return images


def user_module() -> nn.Sequential:
    """A network in training, as in fine-tuning: one batch norm and one layer of it are frozen."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        Fails(),
    ).to(memory_format=torch.channels_last)
    module[0].requires_grad_(False)
    module.register_buffer("in_double", torch.ones(2, dtype=torch.float64))
    module.train()
    module[1].eval()
    return module


def module_state(module: nn.Module) -> dict[str, Any]:
    """The state of a module that a call could change."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        "modes": {name: part.training for name, part in module.named_modules()},
        "parts": {name: id(part) for name, part in module.named_modules()},
        "hooks": [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
        **{
            name: (
                id(tensor), tensor.data_ptr(), tensor.requires_grad, tensor.dtype, tensor.device,
                tensor.shape, tensor.stride(), tensor.is_inference(), tensor.grad is None, tensor._version,
                tensor.tolist(),
            )
            for name, tensor in tensors.items()
        },
    }  # fmt: skip


@pytest.fixture
def make_call(cache: Path, trained: Path, tiny_folder: Path, tmp_path: Path) -> Callable[[str], object]:
    """Calls of the library by name; their inputs are made before the state is recorded."""
    checkpoint = trained / "best.safetensors"
    backbone = pretrained.find(checkpoint)
    results = evaluate(
        checkpoint,
        tasks=[fsbench.TaskSpec(n_shot=1, n_query=3, n_tasks=20)],
        heads=["nearest-mean", "ridge"],
        session=Session(cache, quiet=True),
        output=Output(tmp_path / "results"),
    )
    paths = [tmp_path / "results" / result.path for result in results]
    images = (tiny_folder / "novel", tiny_folder / "novel" / "novel-0")
    recipe = resolve(load_recipe("manifold_mixup"), epochs=[1], batch_size=16)
    module = user_module()
    session = Session(cache, CPU, quiet=True)
    shown = predict(backbone, *images, session=session)
    spec = fsbench.TaskSpec(n_shot=1, n_query=3, n_tasks=3)
    calls = {
        "features": lambda: fsbench.evaluate(FEATURES, LABELS, **FEW),
        "module": lambda: fsbench.evaluate(
            module, dataset="tiny", image_size=16, cache=cache, device="cpu", **FEW
        ),
        "checkpoint": lambda: fsbench.evaluate(checkpoint, cache=cache, device="cpu", **FEW),
        "extract": lambda: extract_features(backbone, "tiny", "novel", session, out=tmp_path / "new.h5"),
        "predict": lambda: predict(backbone, *images, session=session),
        "sheet": lambda: write_sheet(shown, *images, tmp_path / "sheet.html"),
        "train_backbone": lambda: train_backbone(
            recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU, quiet=True)
        ),
        "toy": lambda: toy.section(seeds=1, steps=2),
        "diagnose": lambda: diagnose(
            [checkpoint],
            tmp_path / "report",
            only=["noise", "attack", "calibration", "between", "spectrum"],
            questions=150,
            session=session,
        ),
        "compare": lambda: compare.tables(compare.compare(paths)),
        "plot": lambda: plots.save(plots.of_call(results), tmp_path / "plot.svg"),
        "leaderboard": lambda: leaderboard.update(tmp_path / "results", None),
        "prepare": lambda: prepare("other", tiny_folder, cache=tmp_path / "cache", quiet=True),
        "doctor": lambda: examine(cache),
        "episodes": lambda: list(sampler.blocks(LABELS, spec, at_once=2)),
        "stats": lambda: stats.mean_and_half_width(np.array([0.1, 0.2, 0.3])),
    }
    return lambda name: calls[name]()


NAMES = [
    "features", "module", "checkpoint", "extract", "predict", "sheet", "train_backbone", "toy", "diagnose",
    "compare", "plot", "leaderboard", "prepare", "doctor", "episodes", "stats",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_call_leaves_the_process_as_it_was(make_call, name: str):
    with unchanged(process):
        make_call(name)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_leaves_the_process_as_it_was(name: str):
    spec, values = fsbench.TaskSpec(n_shot=2, n_query=3, n_tasks=2), torch.from_numpy(FEATURES).abs()
    base = base_statistics(values, torch.from_numpy(LABELS))
    with unchanged(process):
        list(
            inference.predictions(
                values, LABELS, spec, HEADS[name], base=base if HEADS[name].needs_base else None
            )
        )


@pytest.mark.parametrize("kind", ["function", "file"])
def test_a_network_is_made_without_the_generator_of_the_process(tmp_path: Path, kind: str):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def network():\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)), 16\n"
    )
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), tmp_path / "weights.pt")
    names = {
        "function": (f"{tmp_path}/mine.py:network",),
        "file": (tmp_path / "weights.pt", "torchvision:shufflenet_v2_x0_5"),
    }
    with unchanged(process):
        pretrained.find(*names[kind])


def test_training_that_fails_leaves_the_process_as_it_was(cache: Path, tmp_path: Path, monkeypatch):
    def fail(*_: object) -> None:
        torch.rand(1)
        raise RuntimeError("in the middle of it")

    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    monkeypatch.setattr("fsbench.training.loop._backward", fail)
    with unchanged(process), pytest.raises(RuntimeError, match="in the middle"):
        train_backbone(
            recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU, quiet=True)
        )


def test_training_seeds_only_its_own_device(cache: Path, tmp_path: Path, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    train_backbone(
        recipe, TrainingSpec("tiny"), out=tmp_path / "run", session=Session(cache, CPU, quiet=True)
    )
    toy.build(0)
    assert seeded == []


@pytest.mark.gpu
def test_training_on_a_gpu_restores_its_generator(cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    before = torch.cuda.get_rng_state()
    train_backbone(
        recipe,
        TrainingSpec("tiny"),
        out=tmp_path / "run",
        session=Session(cache, machine.find_device("cuda"), quiet=True),
    )
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize("failing", [False, True], ids=["done", "failed"])
@pytest.mark.parametrize("images", ["dataset", "uint8", "float"])
def test_a_module_is_left_as_it_was(cache: Path, images: str, failing: bool):
    module = user_module()
    module[-1].failing = failing
    novel = load("tiny", "novel", cache)
    options: dict[str, Any] = {"dataset": "tiny", "image_size": 16, "cache": cache}
    if images != "dataset":
        pixels = (
            novel.pixels if images == "uint8" else standard_transform(16).apply(torch.tensor(novel.pixels))
        )
        options = {"images": pixels, "labels": novel.labels, "image_size": 16 if images == "uint8" else None}
    with unchanged(lambda: {**process(), **module_state(module)}):
        if failing:
            with pytest.raises(RuntimeError, match="in the middle"):
                fsbench.evaluate(module, **options, **FEW)
        else:
            fsbench.evaluate(module, **options, **FEW)


def test_a_module_that_fails_leaves_its_extraction_and_prediction_as_they_were(
    cache: Path, tiny_folder: Path, tmp_path: Path
):
    module = user_module()
    module[-1].failing = True
    backbone = FeatureExtractor(
        module, standard_transform(16), Model(run="mine", backbone="mine", checkpoint="0" * 64)
    )
    support, query = tiny_folder / "novel", tiny_folder / "novel" / "novel-0"
    with unchanged(lambda: {**process(), **module_state(module)}):
        with pytest.raises(RuntimeError, match="in the middle"):
            extract_features(backbone, "tiny", "novel", Session(cache, quiet=True), out=tmp_path / "new.h5")
        with pytest.raises(RuntimeError, match="in the middle"):
            predict(backbone, support, query, session=Session(cache, CPU, quiet=True))


def test_a_module_runs_on_another_device_as_a_copy(cache: Path):
    module = user_module()
    with unchanged(lambda: module_state(module)), pytest.raises((NotImplementedError, RuntimeError)):
        fsbench.evaluate(module, dataset="tiny", image_size=16, cache=cache, device="meta", **FEW)


def test_a_module_that_cannot_be_copied_must_stay_on_its_device():
    module = nn.Linear(3, 3)
    module.computed = module.weight * 2  # not a leaf: torch refuses to copy it
    with pytest.raises(FsbenchError, match="device must be that of the module, which cannot be copied"):
        fsbench.evaluate(module, dataset="tiny", device="meta", **FEW)


def test_tensors_kept_by_a_module_can_be_trained_with():
    """Autograd refuses tensors that were made in inference mode."""

    class Keeps(nn.Module):
        kept = None

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.kept is None:
                self.kept = images.new_ones(3)
            return images.mean(dim=(2, 3)) * self.kept

    module = Keeps()
    fsbench.evaluate(module, LABELS, images=np.ones((60, 3, 4, 4), dtype=np.float32), **FEW)
    images = torch.zeros(2, 3, 4, 4, requires_grad=True)
    module(images).sum().backward()
    assert images.grad is not None


IMPORTS = """
import importlib, json, os, pkgutil, sys, warnings
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
def look():
    import gc, locale, logging, random, signal
    import matplotlib, numpy, torch
    from PIL import Image
    return {
        "environment": dict(os.environ), "warnings": list(warnings.filters), "collector": gc.isenabled(),
        "locale": locale.setlocale(locale.LC_ALL), "threads": torch.get_num_threads(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "log": list(logging.getLogger().handlers), "random": random.getstate(), "path": list(sys.path),
        "torch": torch.get_rng_state().tolist(), "numpy": repr(numpy.random.get_state()),
        "matplotlib": dict(matplotlib.rcParams.copy()), "pillow": Image.MAX_IMAGE_PIXELS,
    }
before = look()
import fsbench
for module in pkgutil.walk_packages(fsbench.__path__, "fsbench."):
    if module.name != "fsbench.__main__":
        importlib.import_module(module.name)
after = look()
print([name for name in before if before[name] != after[name]])
"""
LIBRARIES = [  # imported first, because their own changes do not count
    "cyclopts", "filelock", "h5py", "matplotlib.figure", "matplotlib.font_manager", "numba", "orjson",
    "pandas", "PIL.Image", "platformdirs", "safetensors.torch", "rich.progress", "scipy.stats", "tabulate",
    "torch.distributed.nn.functional", "torchvision.datasets.utils", "torchvision.models",
]  # fmt: skip


@pytest.mark.slow
def test_importing_every_module_leaves_the_process_as_it_was():
    run = [sys.executable, "-c", IMPORTS, json.dumps(LIBRARIES)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_commands_tune_the_memory_of_the_process(make_call, monkeypatch, tmp_path: Path):
    tuned = []
    monkeypatch.setattr(precision, "keep_memory", lambda: tuned.append(1))
    for name in ("features", "module", "checkpoint", "extract", "train_backbone", "toy"):
        make_call(name)
    assert tuned == []
    assert Computing(device="cpu").session.device.type == "cpu"
    assert tuned == [1]


@pytest.mark.parametrize(("device", "kept"), [("cpu", True), ("mps", True), ("cuda", False)])
def test_commands_keep_compiled_code_where_heads_run_on_a_cpu(monkeypatch, device: str, kept: bool):
    calls = []
    monkeypatch.setattr(machine, "find_device", torch.device)
    monkeypatch.setattr(compiled, "keep_compiled_code", lambda folder: calls.append(folder))
    assert Computing(device=device).session.device.type == device
    assert bool(calls) == kept


@pytest.mark.parametrize(
    "line",
    [
        ["evaluate", "x"], ["train-backbone", "erm", "--dataset", "x"], ["extract", "x"], ["quickstart"],
        ["predict", "x", "--support", "x", "--query", "x"], ["diagnose", "x"], ["reproduce", "x"],
    ],
    ids=lambda line: line[0],
)  # fmt: skip
def test_every_command_that_computes_tunes_the_memory_of_its_process(monkeypatch, line: list[str]):
    class TunedError(Exception):
        pass

    def tune() -> None:
        raise TunedError

    monkeypatch.setattr(precision, "keep_memory", tune)
    monkeypatch.setattr(pretrained, "find", lambda *_: type("Backbone", (), {"dataset": "x"}))
    with pytest.raises(TunedError):
        main([*line, "--device", "cpu"])


def test_the_cpu_device_is_selected_without_a_tensor(monkeypatch):
    """torch reads its memory settings once, at its first tensor, so a command must set them before."""
    monkeypatch.setattr(torch, "empty", None)
    assert machine.find_device("cpu") == CPU
