"""What is evaluated: heads with their settings, and the preprocessing of their features."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fsbench._util.settings import joined, split
from fsbench.evaluation.result import Result
from fsbench.evaluation.subjects import BaseNeed, base_need
from fsbench.heads import Head, find_head
from fsbench.heads.head import for_imbalanced_queries
from fsbench.heads.preprocess import find_preprocess
from fsbench.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Method:
    """A head with its settings, and the preprocessing of its features.

    Attributes:
        text: Name and settings of the head, as the user gave them or as `split` reads them.
        preprocess: Name of the preprocessing.
        head: The head, which follows from the text.
    """

    text: str
    preprocess: str
    head: Head = field(compare=False)

    @property
    def name(self) -> str:
        """Name of the head without settings."""
        return split(self.text)[0]

    @property
    def need(self) -> BaseNeed:
        """The base features that head and preprocessing use."""
        return base_need(self.head, self.preprocess)

    def __str__(self) -> str:
        """Name head and preprocessing for messages."""
        return f"head {self.text} ({self.preprocess})"

    def for_tasks(self, spec: TaskSpec) -> "Method":
        """Return the method with the settings that it has for these tasks, in the only spelling of them."""
        head = self.head if spec.balanced else for_imbalanced_queries(self.head, self.text)
        return replace(self, text=joined(self.name, head.settings), head=head)


def find_methods(heads: Sequence[str], preprocess: Sequence[str]) -> list[Method]:
    """Combine each head with each preprocessing; without one, with its own.

    Raises:
        FsbenchError: A head or preprocessing is unknown.
    """
    steps = dict.fromkeys(preprocess or ("",))
    return list(dict.fromkeys(_method(text, step) for text in dict.fromkeys(heads) for step in steps))


def _method(text: str, preprocess: str) -> Method:
    """Find a head by name and settings; an empty `preprocess` stands for the default of the head."""
    head = find_head(text)
    step = preprocess or head.preprocess
    find_preprocess(step)
    return Method(text, step, head)


def questions_of(methods: Sequence[Method], specs: Sequence[TaskSpec]) -> dict[Method, list[TaskSpec]]:
    """Combine methods and tasks, once each: the specifications of each method, with its settings for them."""
    pairs = dict.fromkeys((method.for_tasks(spec), spec) for method in methods for spec in specs)
    grouped: dict[Method, list[TaskSpec]] = {}
    for method, spec in pairs:
        grouped.setdefault(method, []).append(spec)
    return grouped


def automatic_settings(heads: Iterable[str], results: Iterable[Result]) -> list[str]:
    """Say which heads got settings for imbalanced queries without being told to, and why.

    Args:
        heads: Names and settings of heads, as the user gave them.
        results: The results of their evaluation.

    Returns:
        One line per head and reason.
    """
    automatic = {name for name, given in map(split, heads) if "balanced" not in given}
    lines = (
        f"{result.head.name}: settings for imbalanced queries (balanced=false), since {_reason(result.spec)}"
        for result in results
        if result.head.name in automatic
        and not result.spec.balanced
        and result.head.settings.get("balanced") is False
    )
    return list(dict.fromkeys(lines))


def _reason(spec: TaskSpec) -> str:
    """Say why the queries of a task are not balanced."""
    if spec.n_query is None:
        return "all other images of a class are queries, and classes can have different numbers of them"
    return "the queries of the tasks are imbalanced"
