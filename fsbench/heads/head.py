"""`Head`: a few-shot classifier as a value."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fsbench.heads.base import BaseStatistics
from fsbench.heads.batching import shared_among_threads


@dataclass(frozen=True)
class Head:
    """A few-shot classifier: its function, and the properties that a result must state.

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
        transductive: The head uses the query images of a task together.
        class_prior: The head uses the number of query images of each class.
        bytes_per_task: Memory per task in addition to its features; it limits how many are computed at once.
        code: SHA-256 of the file that contains a user's head; None for the heads of fsbench.

    Example:
        >>> from fsbench.heads import HEADS
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
        """Compute logits, (tasks, queries, n_way), with those options that the function takes.

        `shots` are always passed on if given; `keys` default to 0, 1, 2 ... On a CPU, threads share the tasks
        of the heads of fsbench. A user's code is never called from several threads.
        """
        options: dict[str, Tensor | BaseStatistics | None] = {} if shots is None else {"shots": shots}
        if self.random:
            options["keys"] = torch.arange(len(query), device=query.device) if keys is None else keys
        if self.needs_base:
            options["base"] = base
        is_user_code = self.code is not None
        classify = self.classify if is_user_code else shared_among_threads(self.classify, self.bytes_per_task)
        return classify(support, query, **options)
