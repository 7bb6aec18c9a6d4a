"""Compiled code and torch on several threads at once: neither holds the interpreter."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")
P = TypeVar("P")
_one_at_a_time = threading.RLock()


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


def each_alone(work: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Results of `work` on parts, each on one of torch's threads that no other thread helps.

    For as long as that takes, torch has one thread: it knows no number of threads for a part alone.
    """
    with _one_at_a_time:
        threads = torch.get_num_threads()
        if threads == 1:
            return [work(part) for part in parts]
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def alone(part: P) -> T:
            torch.set_num_threads(1)  # a thread has its own number and its own modes
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                return work(part)

        torch.set_num_threads(1)
        others = [_pool(threads).submit(alone, part) for part in parts[1:]]
        try:
            return [work(parts[0]), *(other.result() for other in others)]
        finally:
            wait(others)
            torch.set_num_threads(threads)


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads, and would wait for them
    os.register_at_fork(after_in_child=_pool.cache_clear)
