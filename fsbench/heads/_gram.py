"""Inner products of all points of a task."""

import torch
from torch import Tensor

from fsbench._util.threads import in_threads
from fsbench.heads._support import is_for_kernels
from fsbench.heads.batching import product


def inner_products(points: Tensor) -> Tensor:
    """Compute the inner products of points (tasks, n, d), (tasks, n, n).

    A mean of points is a mixture of them, so this matrix contains all that distances to means need: points by
    points instead of points by d.
    """
    by_kernel = is_for_kernels(points, dtypes=(torch.float32, torch.float64))
    return _by_kernel(points) if by_kernel else product(points, points.mT)


def _by_kernel(points: Tensor) -> Tensor:
    """Compute the same task by task, on as many threads as torch uses."""
    from fsbench.heads._gram_numba import fill_grams  # compiles on its first call

    grams = points.new_empty(len(points), points.shape[1], points.shape[1])
    in_threads(fill_grams, points.contiguous().numpy(), grams.numpy())
    return grams
