"""Speed of training as ratios within one run, medians; `make bench`.

$FSBENCH_BENCH names a folder for the figures, as results/bench/train.json was made:

    FSBENCH_BENCH=results/bench pytest tests/bench/bench_train.py -m bench --benchmark-enable --benchmark-only
"""

import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from fsbench._util.progress import Bar
from fsbench.data.augment import Augment, train_augment
from fsbench.models.backbones import build
from fsbench.models.classifiers import Network
from fsbench.training import loop
from fsbench.training.loop import _train_epoch
from fsbench.training.losses import all_rotations
from fsbench.training.overrides import resolve
from fsbench.training.precision import ComputeSettings, choose_compute, keep_memory
from fsbench.training.recipe import load_recipe
from fsbench.training.run import Run

pytestmark = pytest.mark.bench

USUAL = Path(__file__).with_name("usual_loop.py")
TRANSFORM = runpy.run_path(str(USUAL))["TRANSFORM"]
CLASSES, PER_CLASS, BATCH_SIZE = 64, 40, 64
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ROUNDS = 7

Seconds = Callable[[Callable[[], object], Callable[[], object]], tuple[float, float]]


@pytest.fixture
def in_turns(benchmark) -> Seconds:
    """Measure two functions in turns; return the median seconds of each."""

    def measure(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
        seconds: list[float] = []

        def other_first() -> None:
            began = time.perf_counter()
            second()
            seconds.append(time.perf_counter() - began)

        benchmark.pedantic(first, setup=other_first, rounds=ROUNDS, warmup_rounds=1)
        return benchmark.stats.stats.median, statistics.median(seconds[1:])

    return measure


def repeated(times: int, function: Callable[[], object]) -> Callable[[], None]:
    """Call `function` several times and free each return value at once, as in training."""

    def run() -> None:
        for _ in range(times):
            function()

    return run


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (CLASSES * PER_CLASS, 32, 32, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def epochs(
    recipe: str,
    pixels: torch.Tensor,
    backbone: str = "conv4",
    device: torch.device = CPU,
    compute: ComputeSettings = ComputeSettings(),
) -> Callable[[], dict[str, float]]:
    """A function that trains one epoch in the trainer's loop and returns its row of the log."""
    preset = "cosine" if recipe == "erm" else "paper"  # the presets of the committed figures
    settings = resolve(load_recipe(recipe, preset), epochs=[1], batch_size=BATCH_SIZE)
    size = pixels.shape[1]
    network = Network(
        build(backbone, size), CLASSES, settings.classifier, settings.scale, settings.auxiliary_classifiers
    )
    network = network.to(device).to(memory_format=torch.channels_last)
    if compute.compile:
        for block in network.backbone.blocks:
            block.compile()
    run = Run(
        folder=Path("unused"),
        recipe=settings,
        network=network,
        pixels=pixels.to(device),
        labels=torch.arange(len(pixels), device=device) % CLASSES,
        val=None,
        compute=compute,
        provenance=SimpleNamespace(train_seed=0),
        tensorboard=False,
    )
    optimiser, scaler = settings.optimiser.build(network.parameters()), compute.scaler(device)
    bar = Bar("train", None, "images")
    return lambda: _train_epoch(run, settings.stages[0], 0, optimiser, scaler, bar)


def test_an_epoch_end_to_end(benchmark, figures, pixels, tmp_path):
    """Compare with the usual loop on two cores, with or without worker processes, whichever is faster.

    The usual loop has a process of its own, as this one keeps its memory.
    """
    torch.set_num_threads(2)
    keep_memory()
    for i, image in enumerate(pixels.numpy()):
        folder = tmp_path / f"{i % CLASSES:02d}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    loop_rates: dict[int, list[float]] = {0: [], 2: []}

    def usual_loop() -> None:
        for workers, rates in loop_rates.items():
            command = [sys.executable, str(USUAL), str(tmp_path), "1", "2", str(workers)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rates.extend(map(float, done.stdout.split()))

    benchmark.pedantic(epochs("erm", pixels), setup=usual_loop, rounds=3, warmup_rounds=0, iterations=1)
    ours = len(pixels) / benchmark.stats.stats.median
    theirs = max(map(statistics.median, loop_rates.values()))
    figures["conv4, 32 px, 2 threads: images/s"] = ours
    figures["conv4, 32 px, 2 threads: images/s of the usual PyTorch loop"] = theirs
    assert ours >= 1.8 * theirs


def test_augmentation_on_one_core(in_turns, figures, pixels):
    torch.set_num_threads(1)
    keep_memory()
    batch, pictures = pixels[:BATCH_SIZE], pil_images(pixels[:BATCH_SIZE])
    rng = np.random.default_rng(0)
    ours, theirs = in_turns(
        repeated(20, lambda: train_augment(batch, 32, rng, Augment())),
        lambda: [TRANSFORM(picture) for picture in pictures],
    )
    figures["augmentation, 32 px, 1 thread: images/s"] = 20 * BATCH_SIZE / ours
    figures["augmentation, 32 px, 1 thread: speed relative to torchvision on PIL images"] = 20 * theirs / ours
    assert 20 * theirs >= 15 * ours


def test_augmentation_is_a_small_part_of_an_epoch(in_turns, figures, pixels):
    torch.set_num_threads(2)
    keep_memory()
    rng = np.random.default_rng(0)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(pixels)))
    augment, epoch = in_turns(
        lambda: [train_augment(pixels[rows], 32, rng, Augment()) for rows in order.split(BATCH_SIZE)],
        epochs("erm", pixels),
    )
    figures["conv4, 32 px, 2 threads: fraction of an epoch spent on augmentation"] = augment / epoch
    assert augment <= 0.05 * epoch


def test_the_fourfold_batch_of_rotation(in_turns, figures, pixels):
    """From stored images to the input of the network, including augmentation."""
    torch.set_num_threads(1)
    keep_memory()
    batch, pictures = pixels[:BATCH_SIZE], pil_images(pixels[:BATCH_SIZE])
    rng = np.random.default_rng(0)
    ours, theirs = in_turns(
        repeated(20, lambda: all_rotations(train_augment(batch, 32, rng, Augment()))),
        lambda: turned_one_by_one([TRANSFORM(picture) for picture in pictures]),
    )
    figures["fourfold batch of 64 images, 32 px, 1 thread: speed relative to a loop over images"] = (
        20 * theirs / ours
    )
    assert 20 * theirs >= 20 * ours


def test_turning_alone(in_turns, figures, pixels):
    """Most of the time is for moving memory, which a loop must do, too."""
    torch.set_num_threads(1)
    keep_memory()
    images = train_augment(pixels[:BATCH_SIZE], 32, np.random.default_rng(0), Augment())
    contiguous = images.contiguous()
    ours, theirs = in_turns(
        repeated(50, lambda: all_rotations(images)), lambda: turned_one_by_one(contiguous)
    )
    figures["turning 64 images, 32 px, 1 thread: speed relative to a loop over images"] = 50 * theirs / ours
    assert 50 * theirs >= 4 * ours


def pil_images(pixels: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(image) for image in pixels.numpy()]


def turned_one_by_one(images: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate a batch as in S2M2's reference code: a list of images, each with three rotations, and labels."""
    rows, turns = [], []
    for image in images:
        quarter = image.transpose(2, 1).flip(1)
        half = quarter.transpose(2, 1).flip(1)
        rows += [image, quarter, half, half.transpose(2, 1).flip(1)]
        turns += [torch.tensor(turn) for turn in range(4)]
    return torch.stack(rows), torch.stack(turns)


def test_manifold_mixup_costs_little(in_turns, figures, pixels):
    torch.set_num_threads(2)
    keep_memory()
    mixed, plain = in_turns(epochs("manifold-mixup", pixels), epochs("erm", pixels))
    figures["conv4, 32 px, 2 threads: time of manifold mixup relative to ERM"] = mixed / plain
    assert mixed <= 1.05 * plain


@pytest.mark.gpu
@pytest.mark.parametrize("size", [32, 80])
def test_wide_resnet_on_a_gpu(in_turns, figures, monkeypatch, size):
    """Images per second, the share of the measured bf16 matmul peak, and the cost of the input pipeline."""
    images = torch.randint(0, 256, (40 * BATCH_SIZE, size, size, 3), dtype=torch.uint8)
    epoch = epochs("erm", images, "wrn28-10", CUDA, choose_compute(CUDA))
    fed = torch.randn(BATCH_SIZE, 3, size, size, device=CUDA).contiguous(memory_format=torch.channels_last)

    def without_pipeline() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "train_augment", lambda *_: fed)
            epoch()

    whole, network_alone = in_turns(epoch, without_pipeline)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = Network(build("wrn28-10", size), CLASSES, "cosine", None, {})
        network(torch.empty(1, 3, size, size)).sum().backward()
    used = len(images) / whole * counter.get_total_flops() / matmul_peak()
    name = f"wrn28-10, {size} px, bf16"
    figures[f"{name}: images/s"] = len(images) / whole
    figures[f"{name}: share of the matmul peak"] = used
    figures[f"{name}: time with the input pipeline to without"] = whole / network_alone
    assert whole <= 1.03 * network_alone
    assert used >= 0.4


def matmul_peak() -> float:
    """Operations per second of a large bf16 matrix product."""
    side = 8192
    matrix = torch.randn(side, side, device=CUDA, dtype=torch.bfloat16)
    seconds = []
    for _ in range(20):
        torch.cuda.synchronize()
        began = time.perf_counter()
        matrix @ matrix
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(seconds)
