"""Measure images per second of training on this device, and write each measurement at once.

    python -m results.speed results/bench/gpu.json

Cases that the file has are not measured again. Each case is the loop of `fsbench.training` with the recipe
`erm` on random pixels: with the input pipeline (gathering, augmentation), without it (one fixed batch), and
as a share of the measured speed of a large matrix product. `figures` has images per second; `cases` has all
values and the commit.
"""

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
from fsbench.cli._app import call, command_line
from fsbench.models.backbones import build
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network, assemble
from fsbench.training import loop
from fsbench.training.overrides import resolve
from fsbench.training.precision import PRECISIONS, choose_compute
from fsbench.training.recipe import load_recipe
from fsbench.training.run import Run
from results.campaign import guarded

CLASSES = 64
MOST_STEPS = 40  # in one measurement
SIDE = {"cuda": 8192, "cpu": 512}  # of the square matrices whose product gives the peak


@dataclass(frozen=True)
class Case:
    """One configuration of training."""

    backbone: str
    image_size: int
    batch_size: int
    compiled: bool = False

    def name(self, precision: str) -> str:
        """Return the key of the case."""
        compiled = ", compiled" if self.compiled else ""
        return f"{self.backbone}, {self.image_size} px, batch {self.batch_size}, {precision}{compiled}"


REHEARSAL = (Case("conv4", 16, 4), Case("resnet12", 16, 4), Case("conv4", 16, 4, compiled=True))


def cases() -> list[Case]:
    """List all cases, most valuable first: compiling takes long, so most compiled cases come last."""
    every = [
        Case(*values)
        for values in product(("resnet12", "wrn28-10"), (32, 84), (64, 128, 256, 512), (False, True))
    ]
    return sorted(
        every, key=lambda case: (case.compiled and case.batch_size != 256, case.image_size, case.compiled)
    )


app = command_line("python -m results.speed", (__doc__ or "").partition("\n")[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 on success, 1 if a case failed, 2 for a wrong argument."""
    return guarded(lambda: int(call(app, sys.argv[1:] if arguments is None else arguments) or 0))


@app.default
def measure_cases(
    file: Path, /, *, seconds: float = 1.0, device: str = "auto", rehearse: bool = False
) -> int:
    """Measure the speed of training on this device.

    Args:
        file: JSON file of the measurements.
        seconds: Time of each measurement, without warming up.
        device: Where to compute: auto, cpu, cuda, cuda:1 or mps.
        rehearse: Measure a few tiny cases.
    """
    return 0 if fill(file, REHEARSAL if rehearse else cases(), machine.find_device(device), seconds) else 1


def fill(path: Path, missing: Sequence[Case], device: torch.device, seconds: float) -> bool:
    """Measure the cases that a file does not have, and write each at once; return whether none failed."""
    record = read(path, device)
    precision = choose_compute(device).precision
    peak_name = f"{precision} matrix product, {SIDE[device.type]} x {SIDE[device.type]}: Tflop/s"
    if peak_name not in record["figures"]:
        record["figures"][peak_name] = rounded(matmul_peak(device) / 1e12)
    success = True
    for case in missing:
        name = case.name(precision)
        if name in record["cases"]:
            continue
        try:
            rates = measure(case, device, seconds)
        except Exception as error:  # of any kind: it depends on the device, and the next case may work
            line = str(error).partition("\n")[0]
            print(f"{name}: failed: {type(error).__name__}: {line}", flush=True)
            if "out of memory" in line:  # now and in the next attempt
                record["cases"][name] = {"failed": line}
                write(path, record)
            else:
                traceback.print_exc()
                success = False
            continue
        used = flops(case) / 1e12 / record["figures"][peak_name]
        rates["share_of_matrix_product"] = used * rates["images_per_second"]
        rates["share_of_matrix_product_without_pipeline"] = used * rates["images_per_second_without_pipeline"]
        record["cases"][name] = {
            **{key: rounded(value) for key, value in rates.items()},
            "commit": machine.commit(),
        }
        record["figures"][f"{name}: images/s"] = rounded(rates["images_per_second"])
        write(path, record)
        print(
            f"{name}: {rates['images_per_second']:,.0f} images/s, "
            f"{rates['images_per_second_without_pipeline']:,.0f} without the input pipeline, "
            f"{100 * rates['share_of_matrix_product']:.0f} % of the matrix product",
            flush=True,
        )
    write(path, record)
    return success


def read(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a file; return an empty record if it is absent, or of another device or other versions."""
    about = {"device": machine.device_name(device), "versions": machine.versions()}
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {name: record.get(name) for name in about} == about:
            return record
    return {**about, "figures": {}, "cases": {}}


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record, completely or not at all."""
    write_text(path, json.dumps(record, indent=2) + "\n")


def rounded(value: float) -> float:
    """Round to four digits."""
    return float(f"{value:.4g}")


def measure(case: Case, device: torch.device, seconds: float) -> dict[str, float]:
    """Measure images per second with and without the input pipeline, start-up time, and memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.compiler.reset()  # forget the graphs of the previous case
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
    """Return the median images per second of short epochs within some seconds, at least one."""
    steps = min(MOST_STEPS, max(2, int(seconds * epoch(2) / case.batch_size)))
    rates: list[float] = []
    began = time.perf_counter()
    while not rates or time.perf_counter() - began < seconds:
        rates.append(epoch(steps))
    return statistics.median(rates)


def _epochs(case: Case, device: torch.device) -> Callable[[int], float]:
    """Return a function that trains a number of steps with the real loop and returns images per second."""
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
    """Count the operations of a training step for one image, forward and backward."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = Network(build(case.backbone, case.image_size), CLASSES, "cosine", None, {})
        network(torch.empty(2, 3, case.image_size, case.image_size)).sum().backward()
    return int(counter.get_total_flops()) // 2


def matmul_peak(device: torch.device) -> float:
    """Measure operations per second of a large matrix product in the precision of training: median of 20."""
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
