"""Compiled code on several threads at once: it does not hold the interpreter."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch


def in_threads(work: Callable[..., object], *arrays: np.ndarray[Any, Any]) -> None:
    """Call `work` with equal parts of arrays, cut along their first axis, on torch's number of threads."""
    threads = torch.get_num_threads()
    if threads == 1:
        work(*arrays)
    else:
        list(_pool(threads).map(work, *(np.array_split(array, threads) for array in arrays)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay, since a pool takes as long to start as a batch of small images to augment."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads, and would wait for them
    os.register_at_fork(after_in_child=_pool.cache_clear)
