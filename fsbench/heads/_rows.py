"""Tasks as row numbers of features, for compiled heads that read features where they are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fsbench.heads._support import shots_of


@dataclass(frozen=True, eq=False)
class Rows:
    """The images of tasks as rows of features on a CPU, in single precision.

    Attributes:
        points: Features that contain the support, (n, d).
        support: Rows of points, (tasks, n_way, n_shot), int64.
        shots: Support images of each class, (tasks, n_way), int64; rows of support beyond them are padding.
        queries: Features that contain the queries, (m, d).
        query: Rows of queries, (tasks, queries), int64.
    """

    points: Tensor
    support: Tensor
    shots: Tensor
    queries: Tensor
    query: Tensor


def rows_of(support: Tensor, query: Tensor, shots: Tensor | None) -> Rows:
    """Number the rows of support (tasks, n_way, n_shot, d) and query (tasks, queries, d)."""
    d = query.shape[2]
    points, queries = support.reshape(-1, d).contiguous(), query.reshape(-1, d).contiguous()
    return Rows(
        points,
        torch.arange(len(points)).view(support.shape[:3]),
        shots_of(support, shots).contiguous(),
        queries,
        torch.arange(len(queries)).view(query.shape[:2]),
    )
