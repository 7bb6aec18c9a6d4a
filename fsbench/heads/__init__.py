"""Heads: from a few labelled features to logits of the query features, all tasks in one batch.

A head is a function `(support, query) -> logits` on float32 tensors of one device:
support (tasks, n_way, n_shot, d), query (tasks, queries, d), logits (tasks, queries, n_way).
It holds no state, reads no global random stream and treats every task by itself, so results do not
depend on how tasks are batched. Features are preprocessed before they reach it (`preprocess.py`).
What else a head takes, by keyword, its entry says: `keys`, `base`, `shots`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fsbench.errors import unknown
from fsbench.heads.bd_cspn import bd_cspn
from fsbench.heads.cosine_sgd import cosine_sgd
from fsbench.heads.distribution_calibration import distribution_calibration
from fsbench.heads.laplacian_shot import laplacian_shot
from fsbench.heads.linear_sgd import linear_sgd
from fsbench.heads.logistic import logistic
from fsbench.heads.nearest_mean import nearest_mean
from fsbench.heads.pt_map import pt_map
from fsbench.heads.ridge import ridge
from fsbench.heads.soft_kmeans import soft_kmeans
from fsbench.heads.svm import svm
from fsbench.heads.tim import alpha_tim, tim


@dataclass(frozen=True)
class Head:
    """A head, what a reader of its numbers must know, and what it takes beside support and query."""

    classify: Callable[..., Tensor]
    paper: str
    preprocess: str  # the preprocessing it is used with unless another is asked for
    transductive: bool = False  # looks at the query images of a task together
    class_prior: bool = False  # is told how many query images each class has
    random: bool = False  # takes keys (tasks,) int64; what it draws for a task depends on its key alone
    needs_base: bool = False  # takes base, the BaseStatistics of raw base features
    uneven: bool = False  # takes shots (tasks, n_way); support rows beyond a class's shots have no influence


HEADS: dict[str, Head] = {
    "nearest-mean": Head(nearest_mean, "SimpleShot, arXiv:1911.04623", preprocess="l2", uneven=True),
    "cosine-sgd": Head(
        cosine_sgd, "S2M2, arXiv:1907.12087; Baseline++, arXiv:1904.04232", preprocess="none", random=True
    ),
    "linear-sgd": Head(linear_sgd, "Baseline, arXiv:1904.04232", preprocess="none", random=True),
    "logistic": Head(logistic, "RFS, arXiv:2003.11539", preprocess="l2", uneven=True),
    "ridge": Head(ridge, "R2-D2, arXiv:1805.08136", preprocess="l2", uneven=True),
    "svm": Head(svm, "LIBLINEAR, JMLR 9 (2008)", preprocess="l2"),
    "distribution-calibration": Head(
        distribution_calibration,
        "Distribution calibration, arXiv:2101.06395",
        preprocess="tukey",
        random=True,
        needs_base=True,
    ),
    "bd-cspn": Head(bd_cspn, "BD-CSPN, arXiv:1911.10713", preprocess="cl2n", transductive=True),
    "laplacian-shot": Head(
        laplacian_shot, "LaplacianShot, arXiv:2006.15486", preprocess="cl2n", transductive=True
    ),
    "tim": Head(tim, "TIM-GD, arXiv:2008.11297", preprocess="l2", transductive=True),
    "alpha-tim": Head(alpha_tim, "alpha-TIM, arXiv:2204.11181", preprocess="l2", transductive=True),
    "pt-map": Head(pt_map, "PT-MAP, arXiv:2006.03806", preprocess="pt", transductive=True, class_prior=True),
    "soft-kmeans": Head(
        soft_kmeans, "EASY, arXiv:2201.09699", preprocess="cl2n", transductive=True, class_prior=True
    ),
}


def find_head(name: str) -> Head:
    """The head of that name.

    Raises:
        FsbenchError: no head has that name; the nearest one is named.
    """
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    return HEADS[name]
