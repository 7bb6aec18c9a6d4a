"""Heads: few-shot classifiers that turn support and query features into logits, for all tasks in one batch.

A head is a function `(support, query) -> logits` on float32 tensors on one device: support
(tasks, n_way, n_shot, d), query (tasks, queries, d), logits (tasks, queries, n_way). It keeps no state, reads
no global random stream and treats every task independently. So results do not depend on how tasks are
batched: on a CPU to the last bit (`batching.py`), elsewhere up to rounding. Features are preprocessed before
they reach a head (`preprocess.py`).

To add a head to fsbench, write a file `_NAME.py` beside this one and an entry in `HEADS`. Your own head needs
no change here: pass a function or a `Head` as `./mine.py:head` or `package.module:head`, or install a package
with an entry point in the group `fsbench.heads`.
"""

from importlib.metadata import entry_points

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.settings import split
from fsbench.heads._bd_cspn import bd_cspn
from fsbench.heads._cosine_sgd import cosine_sgd
from fsbench.heads._distribution_calibration import BYTES_PER_TASK, distribution_calibration
from fsbench.heads._laplacian_shot import laplacian_shot
from fsbench.heads._linear_sgd import linear_sgd
from fsbench.heads._logistic import logistic
from fsbench.heads._nearest_mean import nearest_mean
from fsbench.heads._pt_map import pt_map
from fsbench.heads._ridge import ridge
from fsbench.heads._soft_kmeans import soft_kmeans, soft_kmeans_prior
from fsbench.heads._svm import svm
from fsbench.heads._tim import alpha_tim, tim
from fsbench.heads._user import user_head
from fsbench.heads.base import BaseStatistics, base_statistics
from fsbench.heads.batching import aligned, product, shared_among_threads, widened
from fsbench.heads.head import Head, with_settings
from fsbench.heads.preprocess import (
    NEEDS_BASE_MEAN,
    PREPROCESS,
    cl2n,
    find_preprocess,
    l2,
    pt,
    tukey,
    unchanged,
)

__all__ = [  # noqa: RUF022 - in plain order, as in the other rooms
    "BaseStatistics",
    "HEADS",
    "Head",
    "NEEDS_BASE_MEAN",
    "PREPROCESS",
    "aligned",
    "alpha_tim",
    "base_statistics",
    "bd_cspn",
    "cl2n",
    "cosine_sgd",
    "distribution_calibration",
    "find_head",
    "find_preprocess",
    "l2",
    "laplacian_shot",
    "linear_sgd",
    "logistic",
    "nearest_mean",
    "product",
    "pt",
    "pt_map",
    "ridge",
    "shared_among_threads",
    "soft_kmeans",
    "soft_kmeans_prior",
    "svm",
    "tim",
    "tukey",
    "unchanged",
    "widened",
]


# The heads that fsbench ships, by name.
HEADS: dict[str, Head] = {
    "nearest-mean": Head(nearest_mean, "SimpleShot, arXiv:1911.04623", "l2"),
    "cosine-sgd": Head(cosine_sgd, "S2M2, arXiv:1907.12087; Baseline++, arXiv:1904.04232", "none"),
    "linear-sgd": Head(linear_sgd, "Baseline, arXiv:1904.04232", "none"),
    "logistic": Head(logistic, "RFS, arXiv:2003.11539", "l2"),
    "ridge": Head(ridge, "R2-D2, arXiv:1805.08136", "l2"),
    "svm": Head(svm, "LIBLINEAR, JMLR 9 (2008)", "l2"),
    "distribution-calibration": Head(
        distribution_calibration,
        "Distribution calibration, arXiv:2101.06395",
        "tukey",
        bytes_per_task=BYTES_PER_TASK,
    ),
    "bd-cspn": Head(bd_cspn, "BD-CSPN, arXiv:1911.10713", "cl2n", transductive=True),
    "laplacian-shot": Head(laplacian_shot, "LaplacianShot, arXiv:2006.15486", "cl2n", transductive=True),
    "tim": Head(tim, "TIM-GD, arXiv:2008.11297", "l2", transductive=True),
    "alpha-tim": Head(alpha_tim, "alpha-TIM, arXiv:2204.11181", "l2", transductive=True),
    "pt-map": Head(pt_map, "PT-MAP, arXiv:2006.03806", "pt", transductive=True, class_prior=True),
    "soft-kmeans": Head(soft_kmeans, "EASY, arXiv:2201.09699", "none", transductive=True),
    "soft-kmeans-prior": Head(
        soft_kmeans_prior, "EASY, arXiv:2201.09699", "cl2n", transductive=True, class_prior=True
    ),
}

# Names in papers and other projects; the error for an unknown head suggests the name in fsbench.
_OTHER_NAMES = {
    **dict.fromkeys(("protonet", "prototypical", "prototypical-networks", "simpleshot"), "nearest-mean"),
    **dict.fromkeys(("ncm", "nearest-class-mean", "nearest-centroid"), "nearest-mean"),
    **dict.fromkeys(("baseline++", "s2m2", "cosine"), "cosine-sgd"),
    **dict.fromkeys(("baseline", "linear"), "linear-sgd"),
    "lr": "logistic",
    "r2-d2": "ridge",
    "r2d2": "ridge",
    "metaoptnet": "svm",
    "dc": "distribution-calibration",
    "easy": "soft-kmeans",
    "kmeans": "soft-kmeans",
}


def find_head(name: str) -> Head:
    """Find a head by its name: a shipped one, one of an installed package, or one in a user's file.

    Args:
        name: Key of `HEADS`, name of an entry point in the group `fsbench.heads`, or a reference such as
            `./mine.py:head` or `package.module:head` to a function or a `Head`. Settings may follow it, as in
            `cosine-sgd:epochs=100` or `./mine.py:head:k=3,centred=false`.

    Returns:
        The head with its settings. The logits of a user's head are checked whenever it is called.

    Raises:
        FsbenchError: No head has that name, it has no such setting or value (the error suggests the most
            similar name), or the code cannot be imported or is not a head.

    Example:
        >>> find_head("ridge").paper
        'R2-D2, arXiv:1805.08136'
        >>> find_head("protonet")
        Traceback (most recent call last):
        fsbench._util.errors.FsbenchError: unknown head 'protonet'; did you mean 'nearest-mean'?
        >>> find_head("cosine-sgd:epochs=1e2").settings
        {'epochs': 100}
    """
    plain, values = split(name)
    head = _by_name(plain)
    return with_settings(head, values, plain) if values else head


def _by_name(name: str) -> Head:
    """Find a head by its name without settings."""
    if name in HEADS:
        return HEADS[name]
    head, _, setting = name.rpartition(":")
    if setting and (head in HEADS or user_code.is_reference(head)):
        raise FsbenchError(f"head {head}: setting {setting} needs a value, as in {head}:{setting}=VALUE")
    if user_code.is_reference(name):
        return user_head(name, name)
    if user_code.is_reference(head):
        raise FsbenchError(f"head {name}: settings must be NAME=VALUE, separated by commas, as in {head}:k=3")
    if name.endswith(".py"):
        raise FsbenchError(f"head {name}: name the function in the file, as in {name}:head")
    offered = entry_points(group="fsbench.heads")
    for entry in offered.select(name=name):
        return user_head(name, entry.value)
    plain = name.lower().replace("_", "-").replace(" ", "-")
    suggestion = _OTHER_NAMES.get(plain, plain)
    if suggestion in HEADS:
        raise FsbenchError(f"unknown head {name!r}; did you mean {suggestion!r}?")
    raise unknown("head", name, {*HEADS, *offered.names})


def __dir__() -> list[str]:
    return __all__
