"""Precision, compilation and micro-batches: their permitted effects on training."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.models import checkpoint
from fsbench.models.backbones import build
from fsbench.models.classifiers import Network
from fsbench.training import precision
from fsbench.training.loop import _backward, train_backbone
from fsbench.training.losses import exemplar, mixing
from fsbench.training.overrides import resolve
from fsbench.training.precision import PRECISIONS, ComputeSettings, choose_compute, keep_memory
from fsbench.training.recipe import load_recipe
from fsbench.training.run import Run, TrainingSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLACE = ("a stage", 0, 0)  # stage, epoch and step of an error


def train(
    out: Path,
    cache: Path,
    compute: ComputeSettings,
    device: torch.device = CPU,
    epochs: int = 2,
    preset: str = "fast",
) -> pd.DataFrame:
    """The log of a short run of ERM."""
    recipe = resolve(load_recipe("erm", preset), epochs=[epochs], batch_size=16)
    train_backbone(
        recipe, TrainingSpec("tiny"), out=out, compute=compute, session=Session(cache, device, quiet=True)
    )
    return pd.read_csv(out / "log.csv")


class TestChoice:
    @pytest.mark.parametrize(
        ("flags", "precision"),
        [
            ("avx512f avx512_bf16", "bf16"),
            ("amx_bf16 amx_tile", "bf16"),
            ("avx2 avx512f avx512_vnni", "float32"),
            ("", "float32"),
        ],
    )
    def test_on_a_cpu_the_default_follows_its_flags(self, monkeypatch, flags, precision):
        monkeypatch.setattr(machine, "cpu_description", lambda: f"model name: a CPU\nflags: fpu {flags}\n")
        assert choose_compute(CPU) == ComputeSettings(precision, compile=False, micro_batch=None)

    @pytest.mark.parametrize(("supported", "precision"), [(True, "bf16"), (False, "fp16")])
    def test_on_a_gpu_the_default_follows_its_hardware(self, monkeypatch, supported, precision):
        monkeypatch.setattr(machine, "has_bf16", lambda _: supported)
        assert choose_compute(CUDA) == ComputeSettings(precision, compile=True, micro_batch=None)

    def test_on_mps_the_default_is_float32(self, monkeypatch):
        monkeypatch.setattr(machine, "has_bf16", lambda _: True)
        assert choose_compute(torch.device("mps")).precision == "float32"

    def test_on_a_gpu_without_triton_networks_are_not_compiled(self, monkeypatch):
        monkeypatch.setattr(machine, "has_bf16", lambda _: True)
        monkeypatch.setattr(precision, "find_spec", lambda _: None)
        assert choose_compute(CUDA) == ComputeSettings("bf16", compile=False)
        assert choose_compute(CUDA, compiled="on").compile

    def test_a_requested_precision_is_used(self):
        assert choose_compute(CPU, "bf16", "on", 8) == ComputeSettings("bf16", compile=True, micro_batch=8)
        assert choose_compute(CUDA, "float32", "off") == ComputeSettings("float32", compile=False)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"precision": "bf61"}, "unknown precision 'bf61'; did you mean 'bf16'"),
            ({"precision": "fp16"}, "precision must be float32 or bf16 on a CPU, but is fp16"),
            ({"micro_batch": 1}, "micro_batch must be at least 2, but is 1"),
        ],
    )
    def test_an_unsupported_precision_is_refused(self, options, message):
        with pytest.raises(FsbenchError, match=message):
            choose_compute(CPU, **options)


class TestPrecision:
    def test_bf16_trains_like_float32_up_to_rounding(self, cache: Path, tmp_path: Path):
        """bf16 has 8 significant bits, 0.4 %; the loss is a mean over many such numbers."""
        log = train(tmp_path / "run", cache, ComputeSettings("bf16"), preset="cosine")
        expected = train(tmp_path / "wanted", cache, ComputeSettings(), preset="cosine")
        np.testing.assert_allclose(log["loss_class"], expected["loss_class"], rtol=0.01)
        assert (log["loss_class"] != expected["loss_class"]).all()
        tensors, about = checkpoint.read(tmp_path / "run" / "last.safetensors")
        assert about["precision"] == "bf16"
        assert {t.dtype for t in tensors.values()} == {torch.float32, torch.int64}

    @pytest.mark.parametrize(
        "name", ["erm", "mixup", "manifold-mixup", "rotation", "exemplar", "s2m2-r", "s2m2-e"]
    )
    def test_losses_are_float32_in_every_recipe(self, name):
        recipe = load_recipe(name)
        network = Network(
            build("conv4", 16), 4, recipe.classifier, recipe.scale, recipe.auxiliary_classifiers
        )
        for stage in recipe.stages:
            images = torch.randn(8 * stage.views, 3, 16, 16, generator=torch.Generator().manual_seed(0))
            with ComputeSettings("bf16").autocast(CPU):
                terms = stage.step(network, images, torch.arange(8) % 4, np.random.default_rng(0))
            assert {term.dtype for term in terms.values()} == {torch.float32}

    def test_only_fp16_scales_its_loss(self):
        enabled = {name: ComputeSettings(name).scaler(CPU).is_enabled() for name in PRECISIONS}
        assert enabled == {"float32": False, "bf16": False, "fp16": True}


class TestMicroBatches:
    @pytest.mark.parametrize(
        ("count", "micro_batch"), [(10, None), (10, 10), (10, 4), (7, 2), (3, 2), (64, 16)]
    )
    def test_parts_are_whole_and_nearly_equal(self, count, micro_batch):
        sizes = [
            len(range(count)[part]) for part in ComputeSettings(micro_batch=micro_batch).micro_batches(count)
        ]
        assert sum(sizes) == count
        assert max(sizes) <= (micro_batch or count)
        assert max(sizes) - min(sizes) <= 1

    @pytest.mark.parametrize("name", ["erm", "rotation"])
    def test_with_independent_images_the_gradient_is_that_of_the_batch(self, name):
        """Batch norm uses running statistics; ten images in one part, and as 4 + 3 + 3."""
        whole, parts = (backward(name, micro_batch, training=False) for micro_batch in (None, 4))
        for key, value in whole.items():
            torch.testing.assert_close(parts[key], value, rtol=1e-4, atol=1e-6, msg=key)

    def test_batch_norm_sees_only_its_micro_batch(self):
        """The gradient is the mean over the micro-batches, which differs from that of the batch."""
        whole, parts = (backward("erm", micro_batch, training=True) for micro_batch in (None, 5))
        halves = [backward("erm", None, training=True, rows=rows) for rows in (range(5), range(5, 10))]
        for key, value in parts.items():
            torch.testing.assert_close(value, (halves[0][key] + halves[1][key]) / 2, rtol=1e-4, atol=1e-6)
        assert (whole["classifier.direction"] - parts["classifier.direction"]).abs().max() > 1e-4

    def test_depth_and_weight_are_drawn_once_per_batch(self, monkeypatch):
        drawn = []
        monkeypatch.setattr(
            mixing,
            "mix",
            lambda hidden, permutation, weight: drawn.append((hidden.shape[1:], weight)) or hidden,
        )
        backward("manifold-mixup", 3, training=True)
        assert len(drawn) == 4
        assert len(set(drawn)) == 1

    def test_exemplar_mines_within_its_micro_batch(self, monkeypatch):
        seen = []
        mine = exemplar.hardest_triplet_loss
        monkeypatch.setattr(
            exemplar,
            "hardest_triplet_loss",
            lambda features: seen.append(features.shape[:2]) or mine(features),
        )
        backward("exemplar", 5, training=True)
        assert seen == [(4, 5), (4, 5)]


def backward(name, micro_batch, *, training, rows=range(10)) -> dict[str, torch.Tensor]:
    """The gradient of one batch of plain images in a recipe's first stage, from the trainer's code."""
    recipe = resolve(load_recipe(name, "cosine" if name == "erm" else "paper"), augment=False)
    torch.manual_seed(0)
    network = Network(
        build("conv4", 16, seed=0), 6, recipe.classifier, recipe.scale, recipe.auxiliary_classifiers
    )
    pixels = torch.randint(
        0, 256, (10, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    run = Run(
        folder=Path("unused"),
        recipe=recipe,
        network=network.train(training),
        pixels=pixels,
        labels=torch.arange(10) % 6,
        val=None,
        compute=ComputeSettings(micro_batch=micro_batch),
        provenance=SimpleNamespace(train_seed=0),
        tensorboard=False,
    )
    compute = run.compute
    _backward(run, recipe.stages[0], torch.tensor(list(rows)), PLACE, compute.scaler(CPU))
    return {name: p.grad for name, p in network.named_parameters()}


def stored_bytes(images: int, size: int, dtype: torch.dtype) -> int:
    """Bytes that a forward of WRN-28-10 keeps for its backward, measured on meta tensors."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with torch.device("meta"):
        backbone = build("wrn28-10", size).to(dtype)
        batch = torch.empty(images, 3, size, size, dtype=dtype)
    weights = {p.untyped_storage()._cdata for p in backbone.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = backbone(batch)
    assert features.requires_grad
    return sum(storage.nbytes() for key, storage in kept.items() if key not in weights)


def test_wide_resnet_with_fourfold_batches_of_64_fits_24_gigabytes_in_micro_batches():
    """At 80 px in bf16, a batch keeps 20.6 GiB, too near to 24; micro-batches of 32 keep half of that."""
    gib = 2**30
    assert stored_bytes(4 * 64, 80, torch.bfloat16) / gib == pytest.approx(20.6, abs=0.1)
    assert stored_bytes(4 * 32, 80, torch.bfloat16) / gib == pytest.approx(10.3, abs=0.1)
    assert stored_bytes(4 * 16, 80, torch.float32) / gib == pytest.approx(10.3, abs=0.1)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.slow
def test_memory_is_kept_from_step_to_step():
    """Each of 20 tensors of 64 MiB could cause 16384 page faults; only the first few do."""
    code = (
        "import resource, torch; from fsbench.training.precision import keep_memory\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "keep_memory()\n"
        "for _ in range(20):\n"
        "    before = faults(); torch.ones(16 << 20); print(faults() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sum(map(int, done.stdout.split()[-10:])) < 16384  # the kernel may add some of its own


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's huge pages")
@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_huge_pages_are_requested_unless_the_environment_forbids_them(monkeypatch, before, after):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")  # so that monkeypatch restores it
    if before is None:
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    keep_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == after


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # raised by the compiler
def test_compiled_blocks_train_equally_and_write_the_same_checkpoint(
    cache: Path, trained: Path, tmp_path: Path
):
    log = train(tmp_path / "tiny-erm", cache, ComputeSettings(compile=True))
    expected = pd.read_csv(trained / "log.csv")
    np.testing.assert_allclose(log["loss_class"], expected["loss_class"], rtol=1e-4)
    (eager, about_eager), (compiled, about_compiled) = (
        checkpoint.read(folder / "last.safetensors") for folder in (trained, tmp_path / "tiny-erm")
    )
    assert eager.keys() == compiled.keys()
    assert about_eager.keys() == about_compiled.keys()
    checkpoint.read_backbone(tmp_path / "tiny-erm" / "best.safetensors")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_trains_like_a_cpu_up_to_rounding(
    cache: Path, trained: Path, tmp_path: Path, precision, compiled
):
    """Augmentation draws other numbers on a GPU, so the curves are only close."""
    log = train(tmp_path / "run", cache, ComputeSettings(precision, compiled), CUDA, epochs=6)
    assert log["loss_class"].iloc[-1] < log["loss_class"].iloc[0] - 0.1
    expected = pd.read_csv(trained / "log.csv")
    np.testing.assert_allclose(log["loss_class"][:2], expected["loss_class"], rtol=0.1)


@pytest.mark.gpu
def test_fourfold_batches_of_64_stay_below_24_gigabytes_on_a_gpu():
    """WRN-28-10, 80 px, bf16, micro-batches of 32, including the memory of Adam and cuDNN."""
    recipe = load_recipe("rotation")
    network = Network(build("wrn28-10", 80), 64, "cosine", None, recipe.auxiliary_classifiers).to(CUDA)
    run = Run(
        folder=Path("unused"),
        recipe=recipe,
        network=network.to(memory_format=torch.channels_last).train(),
        pixels=torch.zeros(64, 84, 84, 3, dtype=torch.uint8, device=CUDA),
        labels=torch.arange(64, device=CUDA),
        val=None,
        compute=ComputeSettings("bf16", micro_batch=32),
        provenance=SimpleNamespace(train_seed=0),
        tensorboard=False,
    )
    adam = recipe.optimiser.build(network.parameters())
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        _backward(run, recipe.stages[0], torch.arange(64, device=CUDA), PLACE, run.compute.scaler(CUDA))
        adam.step()
    assert torch.cuda.max_memory_reserved() < 22 * 2**30
