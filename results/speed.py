"""Images per second of training steps on this device, written as each is measured.

    python -m results.speed results/bench/gpu.json

A case that the file holds is not measured again. Each is the trainer's own loop with the recipe `erm` on
random pixels: with the input pipeline (gathering, augmentation), without it (one fixed batch), and as a share
of the measured speed of a large matrix product. `figures` has images per second, `cases` has all values.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

from fsbench._util import machine
from fsbench._util.files import write_text
from fsbench._util.progress import Bar
from fsbench.models.backbones import build
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network, assemble
from fsbench.training import loop
from fsbench.training.overrides import resolve
from fsbench.training.precision import PRECISIONS, choose_compute
from fsbench.training.recipe import load_recipe
from fsbench.training.run import Run

CLASSES = 64
MOST_STEPS = 40  # of one measurement
SIDE = {"cuda": 8192, "cpu": 512}  # of the square matrices that give the peak


@dataclass(frozen=True)
class Case:
    """What is measured."""

    backbone: str
    image_size: int
    batch_size: int
    compiled: bool = False

    def name(self, precision: str) -> str:
        """As the keys of figures begin."""
        compiled = ", compiled" if self.compiled else ""
        return f"{self.backbone}, {self.image_size} px, batch {self.batch_size}, {precision}{compiled}"


REHEARSAL = (Case("conv4", 16, 4), Case("resnet12", 16, 4), Case("conv4", 16, 4, compiled=True))


def cases() -> list[Case]:
    """All cases, most valuable first: compiling takes long, so one batch size comes before the others."""
    every = [
        Case(*values)
        for values in product(("resnet12", "wrn28-10"), (32, 84), (64, 128, 256, 512), (False, True))
    ]
    return sorted(
        every, key=lambda case: (case.compiled and case.batch_size != 256, case.image_size, case.compiled)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the file does not hold yet; 1 when a case failed."""
    parser = argparse.ArgumentParser(
        prog="python -m results.speed", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement, beside warming up")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rehearse", action="store_true", help="a few tiny cases")
    chosen = parser.parse_args(arguments)
    wanted = REHEARSAL if chosen.rehearse else cases()
    return 0 if fill(chosen.file, wanted, machine.find_device(chosen.device), chosen.seconds) else 1


def fill(path: Path, wanted: Sequence[Case], device: torch.device, seconds: float) -> bool:
    """Add the figures of cases to a file, each as it is measured; whether all could be."""
    found = read(path, device)
    precision = choose_compute(device).precision
    peak_name = f"{precision} matrix product, {SIDE[device.type]} x {SIDE[device.type]}: Tflop/s"
    if peak_name not in found["figures"]:
        found["figures"][peak_name] = rounded(matmul_peak(device) / 1e12)
    good = True
    for case in wanted:
        name = case.name(precision)
        if name in found["cases"]:
            continue
        try:
            rates = measure(case, device, seconds)
        except Exception as error:
            # whatever a device answers, the next case may work
            line = str(error).partition("\n")[0]
            print(f"{name}: failed: {type(error).__name__}: {line}", flush=True)
            if "out of memory" in line:  # it would be so again
                found["cases"][name] = {"failed": line}
                write(path, found)
            else:
                traceback.print_exc()
                good = False
            continue
        used = flops(case) / 1e12 / found["figures"][peak_name]
        rates["share_of_matrix_product"] = used * rates["images_per_second"]
        rates["share_of_matrix_product_without_pipeline"] = used * rates["images_per_second_without_pipeline"]
        found["cases"][name] = {what: rounded(value) for what, value in rates.items()}
        found["figures"][f"{name}: images/s"] = rounded(rates["images_per_second"])
        write(path, found)
        print(
            f"{name}: {rates['images_per_second']:,.0f} images/s, "
            f"{rates['images_per_second_without_pipeline']:,.0f} without the input pipeline, "
            f"{100 * rates['share_of_matrix_product']:.0f} % of the matrix product",
            flush=True,
        )
    write(path, found)
    return good


def read(path: Path, device: torch.device) -> dict[str, Any]:
    """What a file holds of this device and these versions; an empty table if it is of others, or absent."""
    about = {"device": machine.device_name(device), "versions": machine.versions()}
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {name: found.get(name) for name in about} == about:
            return found
    return {**about, "commit": machine.commit(), "figures": {}, "cases": {}}


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all."""
    write_text(path, json.dumps(found, indent=2) + "\n")


def rounded(value: float) -> float:
    """To four digits."""
    return float(f"{value:.4g}")


def measure(case: Case, device: torch.device, seconds: float) -> dict[str, float]:
    """Images per second with and without the input pipeline, seconds to the first two steps, memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.compiler.reset()  # graphs of the case before
    began = time.perf_counter()
    epoch = _epochs(case, device)
    epoch(2)
    rates = {"seconds_to_start": time.perf_counter() - began}
    rates["images_per_second"] = _median_rate(epoch, case, seconds)
    size = case.image_size
    fixed = torch.randn(case.batch_size, 3, size, size, device=device).contiguous(
        memory_format=torch.channels_last
    )
    with patch.object(loop, "train_augment", lambda *_: fixed):
        rates["images_per_second_without_pipeline"] = _median_rate(epoch, case, seconds)
    if device.type == "cuda":
        rates["gibibytes"] = torch.cuda.max_memory_allocated(device) / 2**30
    return rates


def _median_rate(epoch: Callable[[int], float], case: Case, seconds: float) -> float:
    """Median images per second of short epochs within some seconds, at least one after warming up."""
    steps = min(MOST_STEPS, max(2, int(seconds * epoch(2) / case.batch_size)))
    rates: list[float] = []
    began = time.perf_counter()
    while not rates or time.perf_counter() - began < seconds:
        rates.append(epoch(steps))
    return statistics.median(rates)


def _epochs(case: Case, device: torch.device) -> Callable[[int], float]:
    """A function that trains so many steps by the trainer's own loop and returns images per second."""
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=case.batch_size)
    compute = choose_compute(device, compiled="on" if case.compiled else "off")
    network = assemble(build(case.backbone, case.image_size), CLASSES, recipe.settings())
    network = network.to(device).to(memory_format=torch.channels_last)
    if compute.compile:
        for block in network.backbone.blocks:
            block.compile()
    count, size = case.batch_size * MOST_STEPS, case.image_size
    run = Run(
        folder=Path("unused"),
        recipe=recipe,
        network=network,
        pixels=torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device=device),
        labels=torch.arange(count, device=device) % CLASSES,
        val=None,
        compute=compute,
        provenance=cast(Provenance, SimpleNamespace(train_seed=0)),
        tensorboard=False,
    )
    optimiser, scaler = recipe.optimiser.build(network.parameters()), compute.scaler(device)

    def epoch(steps: int) -> float:
        part = replace(run, labels=run.labels[: steps * case.batch_size])
        row = loop._train_epoch(part, recipe.stages[0], 0, optimiser, scaler, Bar("train", None, "images"))
        return row["images_per_second"]

    return epoch


def flops(case: Case) -> int:
    """Operations of a training step for one image, forward and backward."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = Network(build(case.backbone, case.image_size), CLASSES, "cosine", None, {})
        network(torch.empty(2, 3, case.image_size, case.image_size)).sum().backward()
    return int(counter.get_total_flops()) // 2


def matmul_peak(device: torch.device) -> float:
    """Operations per second of a large matrix product in the precision that training uses: median of 20."""
    side = SIDE[device.type]
    dtype = PRECISIONS[choose_compute(device).precision]
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(20):
        _wait(device)
        began = time.perf_counter()
        matrix @ matrix
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
