"""How a step is computed: precision, compilation, micro-batches, as far as the device makes them pay."""

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch

from fsbench._util.errors import FsbenchError, unknown

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True)
class Engine:
    """How the steps of a run are computed."""

    precision: str = "float32"  # of convolutions and matrix products; weights and losses stay float32
    compile: bool = False  # blocks of the backbone, by torch.compile
    micro_batch: int | None = None  # images a forward, of all processes together; None: the whole batch

    def text(self) -> str:
        """The engine for people, a setting a line."""
        return "\n".join(f"{name:<13} {value}" for name, value in vars(self).items())

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which a step runs."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, PRECISIONS[self.precision])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """What keeps small gradients of fp16 from vanishing; it does nothing for other precisions."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def parts(self, count: int) -> list[slice]:
        """Where the micro-batches of a batch of `count` images lie, of nearly equal size."""
        number = 1 if self.micro_batch is None else -(-count // self.micro_batch)
        edges = [count * i // number for i in range(number + 1)]
        return [slice(*edge) for edge in pairwise(edges)]


def choose(
    device: torch.device, precision: str = "auto", compiled: str = "auto", micro_batch: int | None = None
) -> Engine:
    """The engine for a device; "auto" is what pays there.

    On GPUs that is bf16, fp16 where there is no bf16, and compiled blocks. On a CPU it is float32: without
    bf16 units autocast is many times slower there. With them (AVX-512 BF16 or AMX) bf16 pays: a Conv4 at
    32 px trains 1.4 times as fast.

    Raises:
        FsbenchError: unknown precision, or a micro-batch of fewer than 2 images.
    """
    if precision == "auto":
        precision = "float32"
        if device.type == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "fp16" and device.type == "cpu":
        raise FsbenchError("precision must be float32 or bf16 on a CPU, but is fp16")
    if micro_batch is not None and micro_batch < 2:
        raise FsbenchError(f"micro_batch must be at least 2, but is {micro_batch}")
    return Engine(precision, device.type == "cuda" if compiled == "auto" else compiled == "on", micro_batch)


def keep_memory() -> None:
    """Make memory cheap to come by on Linux; no number that is computed changes.

    It tunes the whole process, so only the command line calls it.

    glibc keeps what it has: it gives the large blocks of a step back to the system, and the page faults of
    the next step cost a quarter to a third of the time of a Conv4 on a CPU. Tensors that torch makes from
    its first one on lie on huge pages, unless the environment says otherwise: rows of features are then
    gathered with fewer look-ups of addresses, which saves heads 2 to 8 percent.
    """
    if sys.platform == "linux":
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
