"""Heads that read features by row number, where they are, instead of a copy of the rows of each task."""

from collections.abc import Callable

from torch import Tensor

from fsbench.heads import _bd_cspn, _laplacian_shot, _nearest_mean, _pt_map, _soft_kmeans
from fsbench.heads._rows import Rows as Rows
from fsbench.heads._support import is_for_kernels as is_for_kernels

# Function of a head -> function of rows and all settings of the head with the same logits, for
# features that `is_for_kernels` accepts.
BY_ROWS: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    _nearest_mean.nearest_mean: _nearest_mean.of_rows,
    _bd_cspn.bd_cspn: _bd_cspn.of_rows,
    _laplacian_shot.laplacian_shot: _laplacian_shot.of_rows,
    _pt_map.pt_map: _pt_map.of_rows,
    _soft_kmeans.soft_kmeans: _soft_kmeans.of_rows,
    _soft_kmeans.soft_kmeans_prior: _soft_kmeans.prior_of_rows,
}
