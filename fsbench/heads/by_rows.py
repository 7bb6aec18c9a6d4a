"""Heads that read features by row number, where they are, instead of a copy of the rows of each task."""

from collections.abc import Callable

from torch import Tensor

from fsbench.heads import _bd_cspn, _nearest_mean
from fsbench.heads._rows import Rows as Rows
from fsbench.heads._support import is_for_kernels as is_for_kernels

# Function of a head -> function of rows with the same logits, for features that `is_for_kernels` accepts.
BY_ROWS: dict[Callable[..., Tensor], Callable[[Rows], Tensor]] = {
    _nearest_mean.nearest_mean: _nearest_mean.of_rows,
    _bd_cspn.bd_cspn: _bd_cspn.of_rows,
}
