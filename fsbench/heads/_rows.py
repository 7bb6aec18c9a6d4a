"""Tasks as row numbers of features, for compiled heads that read features where they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.threads import in_threads
from fsbench.heads._support import shots_of
from fsbench.heads.batching import threads_in_memory


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
    """Number the rows of support (tasks, n_way, n_shot, d) and query (tasks, queries, d).

    Raises:
        FsbenchError: Tasks or widths differ, or a class has no shot or more than n_shot. Compiled code would
            read other memory.
    """
    shots = shots_of(support, shots)
    if not len(support) == len(query) == len(shots) or support.shape[3] != query.shape[2]:
        sizes = [tuple(x.shape) for x in (support, query, shots)]
        raise FsbenchError(f"support, query and shots must be of the same tasks and width, but are {sizes}")
    if shots.shape != support.shape[:2] or ((shots < 1) | (shots > support.shape[2])).any():
        raise FsbenchError(f"shots must be 1 to {support.shape[2]} for each class")
    d = query.shape[2]
    points, queries = support.reshape(-1, d).contiguous(), query.reshape(-1, d).contiguous()
    return Rows(
        points,
        torch.arange(len(points)).view(support.shape[:3]),
        shots.contiguous(),
        queries,
        torch.arange(len(queries)).view(query.shape[:2]),
    )


def logits_by(
    fill: Callable[..., None], rows: Rows, *settings: Any, with_inner_products: bool = False
) -> Tensor:
    """Compute logits (tasks, queries, n_way) with compiled code, on as many threads as torch uses.

    Args:
        fill: Function of points, support, shots, queries and query, as arrays, that fills logits
            (tasks, n_way, queries), its sixth argument.
        rows: The tasks.
        settings: Further arguments of `fill`.
        with_inner_products: Each thread needs memory for the points of a task and their inner products. It
            limits the number of threads.

    Returns:
        Logits, (tasks, queries, n_way).
    """
    points, queries = rows.points.numpy(), rows.queries.numpy()
    threads = torch.get_num_threads()
    if with_inner_products:
        n = rows.support.shape[1] * rows.support.shape[2] + rows.query.shape[1]
        threads = threads_in_memory(4 * n * (n + 2 * points.shape[1]))
    logits = rows.points.new_empty(*rows.support.shape[:2], rows.query.shape[1])
    in_threads(
        lambda support, shots, query, logits: fill(points, support, shots, queries, query, logits, *settings),
        *(tensor.numpy() for tensor in (rows.support, rows.shots, rows.query, logits)),
        threads=threads,
    )
    return logits.mT
