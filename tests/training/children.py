"""Forked children of the jobs in this folder, which spare imports and compiling."""

import os
import signal
import sys
import traceback
from collections.abc import Callable

import numpy as np
import torch

from fsbench.data.augment import Augment, train_augment
from fsbench.training.losses import all_rotations


def prepare() -> None:
    """Import and compile what a training uses. No gradient: torch computes none after a fork then."""
    torch.set_num_threads(1)
    all_rotations(
        train_augment(torch.zeros(2, 16, 16, 3, dtype=torch.uint8), 16, np.random.default_rng(0), Augment())
    )
    torch.optim.SGD([torch.zeros(1)], lr=1)  # the first optimiser imports the compilers of torch


def start(do: Callable[[], object]) -> int:
    """Call `do` in a child; return its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


def end(pid: int) -> int:
    """Wait for a child; return the signal that ended it, or 0."""
    _, status = os.waitpid(pid, 0)
    if status not in (0, signal.SIGKILL, signal.SIGPROF):
        sys.exit(f"a child failed with status {status}")
    return status
