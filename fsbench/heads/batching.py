"""Matrix products whose bits do not depend on other tasks, memory addresses or the number of threads.

On a CPU, the matrix library chooses the order of its sums, and so the last bits, by the alignment of a matrix
to cache lines, by whether a batch has one matrix or more, and by how many threads share a product. Every head
therefore passes features through `widened` and multiplies by `product`, and the caller of a head shares the
tasks among threads. On other devices these functions change nothing.
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
    """Pad features with zeros to a multiple of 16 values, which changes no product, norm or mean.

    Args:
        points: Features, (..., d).

    Returns:
        Features, (..., d') with d' >= d, contiguous; on other devices than a CPU, `points`.

    Example:
        >>> widened(torch.ones(2, 20)).shape
        torch.Size([2, 32])
    """
    if points.device.type != "cpu":
        return points
    missing = -points.shape[-1] % WIDTH
    return F.pad(points, (0, missing)) if missing else points.contiguous()


def product(
    left: Tensor, right: Tensor, plus: Tensor | None = None, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Compute alpha left @ right + beta plus for each task, with the same bits in any batch.

    To save time, call `aligned` (or `widened`, for `right`) once on a matrix that is used many times.

    Args:
        left: Matrices, (tasks, m, k).
        right: Matrices, (tasks, k, n).
        plus: What is added, (tasks, m, n) or (tasks, m, 1); None: nothing.
        beta: Factor of `plus`.
        alpha: Factor of the product.

    Returns:
        Matrices, (tasks, m, n).

    Example:
        >>> product(torch.ones(1, 2, 3), torch.ones(1, 3, 1), torch.ones(1, 2, 1), alpha=2)
        tensor([[[7.],
                 [7.]]])
    """
    n_tasks, m, n = len(left), left.shape[1], right.shape[2]
    if left.device.type == "cpu":
        if m * n % WIDTH and n > 1 and right.stride(2) == 1:  # the alignment of the answer matters as well
            right = widened(right)
            plus = widened(plus) if plus is not None and plus.shape[2] > 1 else plus
        left, right = aligned(left), aligned(right)
        if n_tasks == 1 and 1 in (m, n):  # a single product with a vector uses another routine
            left, right = left.expand(2, -1, -1), right.expand(2, -1, -1)
    if plus is None:
        answer = torch.bmm(left, right)
    else:
        answer = torch.baddbmm(plus, left, right, beta=beta, alpha=alpha)
    return answer if answer.shape == (n_tasks, m, n) else answer[:n_tasks, :, :n]


def aligned(matrices: Tensor) -> Tensor:
    """Make every matrix begin at the start of a cache line.

    Args:
        matrices: Matrices, (tasks, m, n).

    Returns:
        The same matrices, copied only if they are not aligned yet; on other devices than a CPU, `matrices`.
    """
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
    row = max(matrices.stride(1), n)  # kept, since the order of sums depends on it as well
    strides = m * row + -m * row % (LINE // size), row, 1
    return matrices.new_empty_strided(matrices.shape, strides).copy_(matrices)


def threads_in_memory(bytes_each: int) -> int:
    """As many threads as torch uses, or as many as find `bytes_each` of a CPU's memory, at least one."""
    return min(torch.get_num_threads(), max(1, free_memory(torch.device("cpu")) // 2 // bytes_each))


def shared_among_threads(head: Callable[..., Tensor], bytes_per_task: int = 1) -> Callable[..., Tensor]:
    """Share the tasks of a head among threads, each of which computes its tasks alone.

    It uses as many threads as torch, or fewer if memory is short. On devices other than the CPU, the head is
    called directly.

    Args:
        head: Function of support, query and further tensors, all with one entry per task.
        bytes_per_task: Memory that a task needs.

    Returns:
        Function with the arguments and results of `head`.

    Example:
        >>> means = shared_among_threads(lambda support, query: query @ support.mean(dim=2).mT)
        >>> means(torch.ones(4, 5, 1, 8), torch.ones(4, 15, 8)).shape
        torch.Size([4, 15, 5])
    """

    @wraps(head)
    def shared(support: Tensor, query: Tensor, **options: Any) -> Tensor:
        if query.device.type != "cpu" or torch.get_num_threads() == 1:
            return head(support, query, **options)
        parts = min(len(query), threads_in_memory(bytes_per_task))
        tensors = {name: value for name, value in options.items() if isinstance(value, Tensor)}
        shares = zip(*(x.tensor_split(parts) for x in (support, query, *tensors.values())), strict=True)

        def answer(share: tuple[Tensor, ...]) -> Tensor:
            return head(*share[:2], **{**options, **dict(zip(tensors, share[2:], strict=True))})

        return torch.cat(map_single_threaded(answer, list(shares)))

    return shared
