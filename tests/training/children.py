"""Forked children that kill_job.py and distributed_job.py train in. Forking spares imports and compiling."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection

import numpy as np
import torch

from fsbench.data.augment import Augment, train_augment
from fsbench.heads import nearest_mean
from fsbench.training.losses import all_rotations


def prepare() -> None:
    """Import and compile what a training uses.

    It computes no gradients: torch cannot compute any in a child if the parent has.
    """
    torch.set_num_threads(1)
    all_rotations(
        train_augment(torch.zeros(2, 16, 16, 3, dtype=torch.uint8), 16, np.random.default_rng(0), Augment())
    )
    nearest_mean(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1))
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


def wait_for(pids: Collection[int], signals: Collection[int] = ()) -> int:
    """Wait until all children have ended; return the last status.

    If one fails, the others are killed and this process exits. To end by one of `signals` is no failure.
    """
    left, status = set(pids), 0
    while left:
        pid, status = os.waitpid(-1, 0)
        left.discard(pid)
        if status not in (0, *signals):
            for other in left:
                os.kill(other, signal.SIGKILL)
            sys.exit(f"a child failed with status {status}")
    return status
