"""`Head`: a few-shot classifier as a value."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from fsbench._util.settings import Parameter, Setting, convert, parameters, split
from fsbench.heads.base import BaseStatistics
from fsbench.heads.batching import shared_among_threads

_OPTIONS = frozenset({"shots", "keys", "base"})


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

    Every other keyword parameter with a default is a setting of the head, if its type is bool, int, float or
    a Literal of texts. One that is named `balanced`, with the default True, means that the head assumes about
    the same number of queries in each class; evaluations set it to False where that is not known.

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
        settings: Values of settings that differ from their defaults, by name.

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
    settings: Mapping[str, Setting] = field(default_factory=dict, hash=False)

    @cached_property
    def options(self) -> frozenset[str]:
        """Which of `shots`, `keys` and `base` the function takes."""
        try:
            names = list(inspect.signature(self.classify).parameters)[2:]
        except ValueError:  # a function without a signature, such as one written in C
            names = []
        return _OPTIONS.intersection(names)

    @cached_property
    def defaults(self) -> Mapping[str, Setting]:
        """The settings of the head with their defaults, whatever values it has.

        Example:
            >>> from fsbench.heads import HEADS
            >>> HEADS["cosine-sgd"].defaults
            {'epochs': 301}
        """
        return {name: parameter.default for name, parameter in self._parameters.items()}

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        """The settings of the head with their types."""
        every = parameters(self.classify)
        return {name: parameter for name, parameter in every.items() if name not in _OPTIONS}

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
        """Compute logits, (tasks, queries, n_way), with the settings and the options that the function takes.

        `shots` are always passed on if given; `keys` default to 0, 1, 2 ... On a CPU, threads share the tasks
        of the heads of fsbench. A user's code is never called from several threads.
        """
        options: dict[str, Tensor | BaseStatistics | Setting | None] = {**self.settings}
        if shots is not None:
            options["shots"] = shots
        if self.random:
            options["keys"] = torch.arange(len(query), device=query.device) if keys is None else keys
        if self.needs_base:
            options["base"] = base
        is_user_code = self.code is not None
        classify = self.classify if is_user_code else shared_among_threads(self.classify, self.bytes_per_task)
        return classify(support, query, **options)


def with_settings(head: Head, values: Mapping[str, Setting], name: str) -> Head:
    """Return a head with other values of its settings.

    Args:
        head: The head.
        values: Values by name, which may be texts such as "false".
        name: Name of the head, for messages.

    Returns:
        The head; values equal to the default are left out of its `settings`.

    Raises:
        FsbenchError: A setting does not exist, or a value is not of its type.
    """
    values = {**head.settings, **convert(values, head._parameters, f"head {name}")}
    kept = {key: value for key, value in sorted(values.items()) if value != head.defaults[key]}
    return replace(head, settings=kept)


def for_imbalanced_queries(head: Head, name: str) -> Head:
    """Set `balanced` to False in a head that has this setting.

    Args:
        head: The head.
        name: Its name and settings as the user gave them, such as `tim` or `tim:balanced=true`.

    Returns:
        The head; unchanged if it has no such setting, or the user gave its value.
    """
    plain, given = split(name)
    if head.defaults.get("balanced") is not True or "balanced" in given:
        return head
    return with_settings(head, {"balanced": False}, plain)
