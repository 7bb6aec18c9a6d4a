"""Compute every task alike: its bits depend on no other task, no place in memory and no number of threads.

A processor's matrix library chooses the order of its sums, and so the last bits, by where in a cache line
a matrix begins, by whether a batch has one matrix or more, and by how many threads share a product. On a
processor, every head therefore passes features through `widened` and multiplies by `product`, and whoever
asks a head shares the tasks among threads. On other devices these change nothing.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench._util.machine import free_memory
from fsbench._util.threads import map_single_threaded

LINE = 64  # bytes of a cache line, and of the longest vector register
WIDTH = LINE // 4  # float32 values in a cache line


def widened(points: Tensor) -> Tensor:
    """Points (..., d) with zeros up to a multiple of WIDTH values, which change no product, norm or mean."""
    if points.device.type != "cpu":
        return points
    missing = -points.shape[-1] % WIDTH
    return F.pad(points, (0, missing)) if missing else points.contiguous()


def product(
    left: Tensor, right: Tensor, plus: Tensor | None = None, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Compute alpha left @ right + beta plus for each task, (tasks, m, n).

    left (tasks, m, k), right (tasks, k, n), plus (tasks, m, n) or (tasks, m, 1). To save time, call `aligned`
    or, for `right`, `widened` once on a matrix that is used many times.
    """
    n_tasks, m, n = len(left), left.shape[1], right.shape[2]
    if left.device.type == "cpu":
        if m * n % WIDTH and n > 1 and right.stride(2) == 1:  # then the place of the answer matters, too
            right = widened(right)
            plus = widened(plus) if plus is not None and plus.shape[2] > 1 else plus
        left, right = aligned(left), aligned(right)
        if n_tasks == 1 and 1 in (m, n):  # a single product with a vector is another routine
            left, right = left.expand(2, -1, -1), right.expand(2, -1, -1)
    if plus is None:
        answer = torch.bmm(left, right)
    else:
        answer = torch.baddbmm(plus, left, right, beta=beta, alpha=alpha)
    return answer if answer.shape == (n_tasks, m, n) else answer[:n_tasks, :, :n]


def aligned(matrices: Tensor) -> Tensor:
    """Matrices (tasks, m, n) that all begin at the start of a cache line; copied only if they do not yet."""
    if matrices.device.type != "cpu":
        return matrices
    n_tasks, m, n = matrices.shape
    if matrices.stride(1) == 1 and matrices.stride(2) > 1:
        return aligned(matrices.mT).mT
    if matrices.stride(2) != 1 or matrices.stride(1) < n:
        matrices = matrices.contiguous()
    size = matrices.element_size()
    if matrices.data_ptr() % LINE == 0 and (n_tasks == 1 or matrices.stride(0) * size % LINE == 0):
        return matrices
    row = max(matrices.stride(1), n)  # kept, as the order of sums depends on it, too
    strides = m * row + -m * row % (LINE // size), row, 1
    return matrices.new_empty_strided(matrices.shape, strides).copy_(matrices)


def shared_among_threads(head: Callable[..., Tensor], bytes_a_task: int = 1) -> Callable[..., Tensor]:
    """Wrap a head: each of torch's threads, or of the fewer that memory allows, computes some tasks alone."""

    @wraps(head)
    def shared(support: Tensor, query: Tensor, **more: Any) -> Tensor:
        if query.device.type != "cpu" or torch.get_num_threads() == 1:
            return head(support, query, **more)
        of_memory = max(1, free_memory(query.device) // 2 // bytes_a_task)
        parts = min(len(query), torch.get_num_threads(), of_memory)
        of_tasks = {name: value for name, value in more.items() if isinstance(value, Tensor)}
        shares = zip(*(x.tensor_split(parts) for x in (support, query, *of_tasks.values())), strict=True)

        def answer(share: tuple[Tensor, ...]) -> Tensor:
            return head(*share[:2], **{**more, **dict(zip(of_tasks, share[2:], strict=True))})

        return torch.cat(map_single_threaded(answer, list(shares)))

    return shared
