"""Compute settings of a training: precision, compilation and micro-batches."""

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Literal

import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError, unknown

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True)
class ComputeSettings:
    """Precision, compilation and micro-batches of a training.

    Attributes:
        precision: "float32", "bf16" or "fp16", of convolutions and matrix products. Weights and losses are
            always float32.
        compile: Compile the blocks of the backbone with torch.compile.
        micro_batch: Largest number of images per forward pass, of all processes together. Default: the whole
            batch.
    """

    precision: str = "float32"
    compile: bool = False
    micro_batch: int | None = None

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which a step runs."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, PRECISIONS[self.precision])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Return the scaler that keeps small fp16 gradients from vanishing, disabled for other precisions."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def micro_batches(self, count: int) -> list[slice]:
        """Divide a batch of `count` images into micro-batches of nearly equal size."""
        number = 1 if self.micro_batch is None else -(-count // self.micro_batch)
        edges = [count * i // number for i in range(number + 1)]
        return [slice(*edge) for edge in pairwise(edges)]


def choose_compute(
    device: torch.device,
    precision: str = "auto",
    compiled: Literal["auto", "on", "off"] = "auto",
    micro_batch: int | None = None,
) -> ComputeSettings:
    """Choose compute settings for a device.

    Args:
        device: Device of the training.
        precision: "float32", "bf16", "fp16" or "auto". "auto" is bf16 on processors with units for it: a GPU,
            or a CPU with AVX-512 BF16 or AMX. On other GPUs it is fp16, on other CPUs float32: without such
            units, bf16 makes a CPU many times slower.
        compiled: "on", "off", or "auto": on a GPU only, where triton is installed.
        micro_batch: Largest number of images per forward pass, at least 2. Default: the whole batch.

    Returns:
        The settings.

    Raises:
        FsbenchError: The precision is unknown, fp16 is combined with a CPU, or a micro-batch has fewer than 2
            images.
    """
    if precision == "auto":
        others = "fp16" if device.type == "cuda" else "float32"
        precision = "bf16" if device.type in ("cpu", "cuda") and machine.has_bf16(device) else others
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "fp16" and device.type == "cpu":
        raise FsbenchError("precision must be float32 or bf16 on a CPU, but is fp16")
    if micro_batch is not None and micro_batch < 2:
        raise FsbenchError(f"micro_batch must be at least 2, but is {micro_batch}")
    has_compiler = find_spec("triton") is not None  # not on Windows, unless it is installed by hand
    is_compiled = device.type == "cuda" and has_compiler if compiled == "auto" else compiled == "on"
    return ComputeSettings(precision, is_compiled, micro_batch)


def keep_memory() -> None:
    """Tune memory allocation of the whole process on Linux; only the command line calls this.

    Computed numbers do not change. By default, glibc returns the large memory blocks of a step to the system,
    and page faults in the next step take a quarter to a third of the time of a Conv4 on a CPU. This function
    makes glibc keep them. It also makes torch allocate huge pages, unless torch has already allocated memory
    or the environment variable is set. Gathering rows of features then needs fewer address look-ups, which
    saves heads 2 to 8 % of their time.
    """
    if sys.platform == "linux":
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
