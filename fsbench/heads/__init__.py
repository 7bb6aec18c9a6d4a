"""Heads: from a few labelled features to logits of the query features, all tasks in one batch.

A head is a function `(support, query) -> logits` on float32 tensors of one device:
support (tasks, n_way, n_shot, d), query (tasks, queries, d), logits (tasks, queries, n_way).
It holds no state, reads no global random stream and treats every task by itself, so results do not
depend on how tasks are batched: on a CPU to the last bit (`alike.py`), elsewhere up to rounding. Features are
preprocessed before they reach it (`preprocess.py`). What else a head takes, by keyword, its
entry says: `keys`, `base`, `shots`.

A head of one's own is such a function, or a `Head` that says more of it: named as `./mine.py:head` or
`package.module:head`, or by the name of an entry point in the group `fsbench.heads` of an installed package.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from torch import Tensor

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, unknown
from fsbench.heads.batching import shared_among_threads
from fsbench.heads.bd_cspn import bd_cspn
from fsbench.heads.cosine_sgd import cosine_sgd
from fsbench.heads.distribution_calibration import BYTES_A_TASK, BaseStatistics, distribution_calibration
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
    bytes_a_task: int = 1  # of memory beside the features; bounds the tasks that are computed at once
    uneven: bool = False  # takes shots (tasks, n_way); support rows beyond a class's shots have no influence
    code: str | None = None  # SHA-256 of the file that a head of one's own is written in


HEADS: dict[str, Head] = {
    "nearest-mean": Head(nearest_mean, "SimpleShot, arXiv:1911.04623", preprocess="l2", uneven=True),
    "cosine-sgd": Head(
        cosine_sgd,
        "S2M2, arXiv:1907.12087; Baseline++, arXiv:1904.04232",
        preprocess="none",
        random=True,
        uneven=True,
    ),
    "linear-sgd": Head(linear_sgd, "Baseline, arXiv:1904.04232", preprocess="none", random=True, uneven=True),
    "logistic": Head(logistic, "RFS, arXiv:2003.11539", preprocess="l2", uneven=True),
    "ridge": Head(ridge, "R2-D2, arXiv:1805.08136", preprocess="l2", uneven=True),
    "svm": Head(svm, "LIBLINEAR, JMLR 9 (2008)", preprocess="l2", uneven=True),
    "distribution-calibration": Head(
        distribution_calibration,
        "Distribution calibration, arXiv:2101.06395",
        preprocess="tukey",
        random=True,
        needs_base=True,
        bytes_a_task=BYTES_A_TASK,
        uneven=True,
    ),
    "bd-cspn": Head(bd_cspn, "BD-CSPN, arXiv:1911.10713", preprocess="cl2n", transductive=True, uneven=True),
    "laplacian-shot": Head(
        laplacian_shot, "LaplacianShot, arXiv:2006.15486", preprocess="cl2n", transductive=True, uneven=True
    ),
    "tim": Head(tim, "TIM-GD, arXiv:2008.11297", preprocess="l2", transductive=True, uneven=True),
    "alpha-tim": Head(
        alpha_tim, "alpha-TIM, arXiv:2204.11181", preprocess="l2", transductive=True, uneven=True
    ),
    "pt-map": Head(
        pt_map, "PT-MAP, arXiv:2006.03806", preprocess="pt", transductive=True, class_prior=True, uneven=True
    ),
    "soft-kmeans": Head(
        soft_kmeans,
        "EASY, arXiv:2201.09699",
        preprocess="cl2n",
        transductive=True,
        class_prior=True,
        uneven=True,
    ),
}


def ask(
    head: Head,
    support: Tensor,
    query: Tensor,
    *,
    keys: Tensor,
    shots: Tensor | None = None,
    base: BaseStatistics | None = None,
) -> Tensor:
    """Logits of a head, which is given of the rest what its entry says; shapes as in this module's head.

    `shots` are given only where classes have different numbers of them. On a CPU, threads share the tasks of
    fsbench's own heads; code of a user is not called from several threads.
    """
    asked: dict[str, Tensor | BaseStatistics | None] = {}
    if shots is not None:
        asked["shots"] = shots
    if head.random:
        asked["keys"] = keys
    if head.needs_base:
        asked["base"] = base
    ours = head.code is None
    classify = shared_among_threads(head.classify, head.bytes_a_task) if ours else head.classify
    return classify(support, query, **asked)


def find_head(name: str) -> Head:
    """The head of that name: a shipped one, one of an installed package, or one in a user's file.

    Raises:
        FsbenchError: no head has that name, then the nearest one is named; or code that is no head.
    """
    if name in HEADS:
        return HEADS[name]
    if user_code.is_reference(name):
        return _of_user(name, name)
    offered = entry_points(group="fsbench.heads")
    for entry in offered.select(name=name):
        return _of_user(name, entry.value)
    raise unknown("head", name, {*HEADS, *offered.names})


def _of_user(name: str, reference: str) -> Head:
    """A head that is not fsbench's: a function, used on features as they are, or a `Head`."""
    found = user_code.load_reference(reference, "head")
    if isinstance(found.value, Head):
        head = found.value
    elif callable(found.value):
        head = Head(found.value, paper=name, preprocess="none")
    else:
        raise FsbenchError(f"head {name}: must be a function or a Head, but is {type(found.value).__name__}")
    return replace(head, classify=_checked(name, head.classify), code=found.digest)


def _checked(name: str, classify: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A user's function, whose answer must be one: no largest logit is a class where one is not a number."""

    def checked(support: Tensor, query: Tensor, **asked: Tensor) -> Tensor:
        with user_code.user_errors(f"head {name}"):
            logits = classify(support, query, **asked)
        wanted = (*query.shape[:2], support.shape[1])
        if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted or logits.isnan().any():
            what = type(logits).__name__
            if isinstance(logits, Tensor):
                what = f"{tuple(logits.shape)}{' with NaN' if logits.isnan().any() else ''}"
            raise FsbenchError(
                f"head {name}: must return logits (tasks, queries, n_way) {wanted}, but gave {what}"
            )
        return logits

    return checked
