"""Heads: few-shot classifiers that turn support and query features into logits, for all tasks in one batch.

A head is a function `(support, query) -> logits` on float32 tensors on one device: support
(tasks, n_way, n_shot, d), query (tasks, queries, d), logits (tasks, queries, n_way). It keeps no state, reads
no global random stream and treats every task by itself, so results do not depend on how tasks are batched: on
a CPU to the last bit (`batching.py`), elsewhere up to rounding. Features are preprocessed before they reach a
head (`preprocess.py`).

To add a head, write a file `_NAME.py` beside this one and an entry in `HEADS`. A head of your own needs no
change here: it is a function or a `Head`, named as `./mine.py:head` or `package.module:head`, or by an entry
point in the group `fsbench.heads` of an installed package.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from importlib.metadata import entry_points

import torch
from torch import Tensor

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, unknown
from fsbench.heads._bd_cspn import bd_cspn
from fsbench.heads._cosine_sgd import cosine_sgd
from fsbench.heads._distribution_calibration import BYTES_PER_TASK, distribution_calibration
from fsbench.heads._laplacian_shot import laplacian_shot
from fsbench.heads._linear_sgd import linear_sgd
from fsbench.heads._logistic import logistic
from fsbench.heads._nearest_mean import nearest_mean
from fsbench.heads._pt_map import pt_map
from fsbench.heads._ridge import ridge
from fsbench.heads._soft_kmeans import soft_kmeans
from fsbench.heads._svm import svm
from fsbench.heads._tim import alpha_tim, tim
from fsbench.heads.base import BaseStatistics, base_statistics
from fsbench.heads.batching import aligned, product, shared_among_threads, widened
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
    "svm",
    "tim",
    "tukey",
    "unchanged",
    "widened",
]


@dataclass(frozen=True)
class Head:
    """A few-shot classifier: its function, and what readers of its numbers must know.

    A head is called like its function. Beside support and query, the function may take these arguments, which
    are recognised by their names:

    * `shots`: Support images of each class, (tasks, n_way), for tasks whose classes have different numbers of
      them. Support rows beyond a class's shots are padding and must have no influence.
    * `keys`: One int64 number per task, (tasks,), for heads that draw random numbers. What is drawn for a
      task depends on its key alone.
    * `base`: `BaseStatistics` of the base features before preprocessing.

    Attributes:
        classify: Function of support (tasks, n_way, n_shot, d) and query (tasks, queries, d) that returns
            logits (tasks, queries, n_way).
        paper: Name and source of the method.
        preprocess: Preprocessing that the head is used with unless another one is chosen, a key of
            `PREPROCESS`.
        transductive: The head looks at the query images of a task together.
        class_prior: The head is given the number of query images of each class.
        bytes_per_task: Memory that a task needs beside its features; limits how many are computed at once.
        code: SHA-256 of the file that contains a user's head; None for the heads of fsbench.

    Example:
        >>> support = torch.tensor([[[[0.0, 0.0]], [[1.0, 1.0]]]])  # one task, two classes, one shot
        >>> query = torch.tensor([[[0.9, 0.8]]])
        >>> HEADS["nearest-mean"](support, query).argmax(dim=-1)
        tensor([[1]])
    """

    classify: Callable[..., Tensor]
    paper: str
    preprocess: str
    transductive: bool = False
    class_prior: bool = False
    bytes_per_task: int = 1
    code: str | None = None

    @cached_property
    def options(self) -> frozenset[str]:
        """Which of `shots`, `keys` and `base` the function takes."""
        try:
            names = list(inspect.signature(self.classify).parameters)[2:]
        except ValueError:  # a function without a signature, such as one written in C
            names = []
        return frozenset({"shots", "keys", "base"}.intersection(names))

    @property
    def uneven(self) -> bool:
        """Whether classes may have different numbers of shots."""
        return "shots" in self.options

    @property
    def random(self) -> bool:
        """Whether the head draws random numbers."""
        return "keys" in self.options

    @property
    def needs_base(self) -> bool:
        """Whether the head needs statistics of the base classes."""
        return "base" in self.options

    def __call__(
        self,
        support: Tensor,
        query: Tensor,
        *,
        shots: Tensor | None = None,
        keys: Tensor | None = None,
        base: BaseStatistics | None = None,
    ) -> Tensor:
        """Compute logits, (tasks, queries, n_way), passing on the options that the function takes.

        `shots` are passed on whenever they are given, `keys` are 0, 1, 2 ... by default. On a CPU, threads
        share the tasks of the heads of fsbench; a user's code is not called from several threads.
        """
        options: dict[str, Tensor | BaseStatistics | None] = {} if shots is None else {"shots": shots}
        if self.random:
            options["keys"] = torch.arange(len(query), device=query.device) if keys is None else keys
        if self.needs_base:
            options["base"] = base
        ours = self.code is None
        classify = shared_among_threads(self.classify, self.bytes_per_task) if ours else self.classify
        return classify(support, query, **options)


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
    "soft-kmeans": Head(soft_kmeans, "EASY, arXiv:2201.09699", "cl2n", transductive=True, class_prior=True),
}

# Names that papers and other projects use; they are suggested in the error, not accepted.
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
            `./mine.py:head` or `package.module:head` to a function or a `Head`.

    Returns:
        The head. The logits of a user's head are checked whenever it is called.

    Raises:
        FsbenchError: No head has that name (the error suggests the most similar one), or the code cannot be
            imported or is no head.

    Example:
        >>> find_head("ridge").paper
        'R2-D2, arXiv:1805.08136'
        >>> find_head("protonet")
        Traceback (most recent call last):
        fsbench._util.errors.FsbenchError: unknown head 'protonet'; did you mean 'nearest-mean'?
    """
    if name in HEADS:
        return HEADS[name]
    if user_code.is_reference(name):
        return _of_user(name, name)
    offered = entry_points(group="fsbench.heads")
    for entry in offered.select(name=name):
        return _of_user(name, entry.value)
    plain = name.lower().replace("_", "-").replace(" ", "-")
    suggestion = _OTHER_NAMES.get(plain, plain)
    if suggestion in HEADS:
        raise FsbenchError(f"unknown head {name!r}; did you mean {suggestion!r}?")
    raise unknown("head", name, {*HEADS, *offered.names})


def _of_user(name: str, reference: str) -> Head:
    """A head outside fsbench: a function, used on features without preprocessing, or a `Head`."""
    code = user_code.find(reference, "head")
    if isinstance(code.value, Head):
        head = code.value
    elif callable(code.value):
        head = Head(code.value, paper=name, preprocess="none")
    else:
        raise FsbenchError(f"head {name}: must be a function or a Head, but is {type(code.value).__name__}")
    return replace(head, classify=_checked(name, head.classify), code=code.digest)


def _checked(name: str, classify: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A user's function, with a check of what it returns: with NaN, no class has the largest logit."""

    @wraps(classify)
    def checked(support: Tensor, query: Tensor, **options: Tensor) -> Tensor:
        with user_code.one_line(f"head {name}"):
            logits: object = classify(support, query, **options)
        expected = (*query.shape[:2], support.shape[1])
        if not isinstance(logits, Tensor):
            returned = type(logits).__name__
        elif tuple(logits.shape) != expected or logits.isnan().any():
            returned = f"{tuple(logits.shape)}{' with NaN' if logits.isnan().any() else ''}"
        else:
            return logits
        raise FsbenchError(
            f"head {name}: must return logits (tasks, queries, n_way) {expected}, but returned {returned}"
        )

    return checked
