"""Heads: from a few labelled features to logits of the query features, all tasks in one batch.

A head is a function `(support, query) -> logits` on float32 tensors of one device:
support (tasks, n_way, n_shot, d), query (tasks, queries, d), logits (tasks, queries, n_way).
It holds no state, draws no random number of its own and treats every task by itself, so results do not
depend on how tasks are batched. Features are preprocessed before they reach it (`preprocess.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fsbench.errors import unknown
from fsbench.heads.nearest_mean import nearest_mean


@dataclass(frozen=True)
class Head:
    """A head and what a reader of its numbers must know."""

    classify: Callable[[Tensor, Tensor], Tensor]
    paper: str
    preprocess: str  # the preprocessing it is used with unless another is asked for
    transductive: bool = False  # looks at the query images of a task together
    class_prior: bool = False  # is told how many query images each class has


HEADS: dict[str, Head] = {
    "nearest-mean": Head(nearest_mean, "SimpleShot, arXiv:1911.04623", preprocess="l2"),
}


def find_head(name: str) -> Head:
    """The head of that name.

    Raises:
        FsbenchError: no head has that name; the nearest one is named.
    """
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    return HEADS[name]
