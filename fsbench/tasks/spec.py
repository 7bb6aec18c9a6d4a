"""Task specification: how many classes, support and query images tasks have, and how they are drawn."""

import hashlib
from dataclasses import dataclass

from fsbench._util.arguments import convert_fields
from fsbench._util.errors import FsbenchError


@dataclass(frozen=True)
class TaskSpec:
    """Specification of N-way K-shot tasks: everything that determines a task list over given images.

    Attributes:
        n_way: Classes per task, 2 or more.
        n_shot: Support images per class, 1 or more.
        n_query: Query images per class, 1 or more; None: all images of a class that are not support, as S2M2
            evaluates.
        n_tasks: Number of tasks, 2 or more; if `disjoint`, the largest number.
        seed: Seed of the list, 0 to 2**64 - 1.
        query_alpha: Imbalanced queries: the n_way * n_query queries of a task are divided among its classes
            by a Dirichlet(query_alpha) distribution, above 0; None: every class gets n_query.
        least_shot: Imbalanced support: each class gets least_shot to n_shot images, uniformly; None: n_shot.
        classes: Names of the classes that tasks are drawn from; empty: all classes.
        disjoint: Draw tasks that share no image, as many as the images give.

    Raises:
        FsbenchError: A value has another type or is out of range, or two settings exclude each other.

    Example:
        >>> TaskSpec(n_way=5, n_shot=1).name
        '5w1s15q'
        >>> TaskSpec(n_shot=5, least_shot=1, query_alpha=2.0).name
        '5w1-5s15q-dirichlet2'
    """

    n_way: int = 5
    n_shot: int = 1
    n_query: int | None = 15
    n_tasks: int = 10_000
    seed: int = 0
    query_alpha: int | float | None = None
    least_shot: int | None = None
    classes: tuple[str, ...] = ()
    disjoint: bool = False

    def __post_init__(self) -> None:
        """Refuse values of other types or out of range, and settings that exclude each other."""
        convert_fields(self)
        smallest = {"n_way": 2, "n_shot": 1, "n_query": 1, "n_tasks": 2, "seed": 0, "least_shot": 1}
        for name, least in smallest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise FsbenchError(f"{name} must be at least {least}, but is {value}")
        if self.seed >= 1 << 64:
            raise FsbenchError(f"seed must be below 2**64, but is {self.seed}")
        if self.least_shot is not None and self.least_shot > self.n_shot:
            raise FsbenchError(f"least_shot must be at most n_shot = {self.n_shot}, but is {self.least_shot}")
        if self.query_alpha is not None and not 0 < self.query_alpha < float("inf"):
            raise FsbenchError(f"query_alpha must be above 0, but is {self.query_alpha}")
        if self.n_query is None and (self.query_alpha is not None or self.disjoint):
            setting = "disjoint tasks" if self.disjoint else "query_alpha"
            raise FsbenchError(f"n_query must be a number with {setting}, but is 'all'")
        if self.disjoint and (self.query_alpha is not None or self.least_shot is not None):
            raise FsbenchError(
                "disjoint tasks must have the same shots and queries in every class; "
                "leave out query_alpha and least_shot"
            )
        if len(set(self.classes)) != len(self.classes):
            raise FsbenchError(f"classes must differ from each other, but are {', '.join(self.classes)}")

    @property
    def balanced(self) -> bool:
        """Whether the specification gives every class of a task the same number of queries.

        With `n_query` None it does not: a class then has as many queries as the images leave.
        """
        return self.n_query is not None and self.query_alpha is None

    @property
    def unusual(self) -> tuple[str, ...]:
        """Settings beyond ways, shots, queries and seed, in words."""
        texts = {
            f"queries by Dirichlet({self.query_alpha})": self.query_alpha,
            f"shots from {self.least_shot} up": self.least_shot,
            f"tasks of {len(self.classes)} chosen classes": self.classes,
            "disjoint tasks": self.disjoint,
        }
        return tuple(text for text, holds in texts.items() if holds)

    @property
    def protocol(self) -> str:
        """Ways, shots and unusual settings in words, such as "5-way 1-shot (all queries)"."""
        more = ", ".join(("all queries",) * (self.n_query is None) + self.unusual)
        return f"{self.n_way}-way {self.n_shot}-shot{f' ({more})' if more else ''}"

    @property
    def name(self) -> str:
        """Short name such as `5w1s15q`, followed by the settings that differ from the defaults."""
        shots = self.n_shot if self.least_shot is None else f"{self.least_shot}-{self.n_shot}"
        parts = [f"{self.n_way}w{shots}s{'all' if self.n_query is None else self.n_query}q"]
        if self.query_alpha is not None:
            parts.append(f"dirichlet{self.query_alpha:g}")
        if self.classes:
            parts.append(f"classes{hashlib.sha256(repr(self.classes).encode()).hexdigest()[:8]}")
        if self.disjoint:
            parts.append("disjoint")
        return "-".join(parts)
