"""Run compiled code and torch in several threads; both release the global interpreter lock."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch

Result = TypeVar("Result")
Part = TypeVar("Part")
_threads_lock = threading.RLock()  # held while torch's number of threads is changed


def in_threads(
    work: Callable[..., object], *arrays: np.ndarray[Any, Any], threads: int | None = None
) -> None:
    """Split arrays along their first axis and call `work` on the parts, in as many threads as torch uses.

    Args:
        work: Function of the parts of all arrays.
        arrays: Arrays of the same length.
        threads: Another number of threads.
    """
    threads = threads or torch.get_num_threads()
    if threads == 1:
        work(*arrays)
    else:
        list(_pool(threads).map(work, *(np.array_split(array, threads) for array in arrays)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool that is kept: starting one takes as long as augmenting a batch of small images."""
    return ThreadPoolExecutor(threads)


def map_single_threaded(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Call `work` on each part in a separate thread, in which torch uses one thread.

    Meanwhile torch uses one thread in the whole process, because its number of threads is a global setting.
    The setting is restored at the end.
    """
    with _threads_lock:
        threads = torch.get_num_threads()
        if threads == 1:
            return [work(part) for part in parts]
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def work_in_thread(part: Part) -> Result:
            torch.set_num_threads(1)  # threads do not inherit the number of threads or the modes
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                return work(part)

        torch.set_num_threads(1)
        futures = [_pool(threads).submit(work_in_thread, part) for part in parts[1:]]
        try:
            return [work(parts[0]), *(future.result() for future in futures)]
        finally:
            wait(futures)
            torch.set_num_threads(threads)


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads and would wait for them
    os.register_at_fork(after_in_child=_pool.cache_clear)
