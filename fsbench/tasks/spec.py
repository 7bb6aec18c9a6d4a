"""Task specification: how many classes, support images and query images the tasks have."""

import hashlib
from dataclasses import dataclass

from fsbench._util.errors import FsbenchError


@dataclass(frozen=True)
class TaskSpec:
    """What is asked: tasks of `n_way` classes with `n_shot` support and `n_query` query images a class."""

    n_way: int = 5
    n_shot: int = 1
    n_query: int | None = 15  # None: all images of a class that are not its support, as S2M2 evaluates
    n_tasks: int = 10_000  # at most, when disjoint
    seed: int = 0
    query_alpha: float | None = (
        None  # classes share n_way * n_query queries by Dirichlet(alpha); None: evenly
    )
    least_shot: int | None = None  # each class has least_shot to n_shot support images; None: n_shot
    classes: tuple[str, ...] = ()  # the classes that tasks are made of; empty: all
    disjoint: bool = False  # no image is in two tasks; as many tasks as the images give

    def __post_init__(self) -> None:
        """Refuse what no data set could satisfy."""
        for name, least in (
            ("n_way", 2),
            ("n_shot", 1),
            ("n_query", 1),
            ("n_tasks", 2),
            ("seed", 0),
            ("least_shot", 1),
        ):
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
            what = "disjoint tasks" if self.disjoint else "query_alpha"
            raise FsbenchError(f"n_query must be a number with {what}, but is all")
        if self.disjoint and (self.query_alpha is not None or self.least_shot is not None):
            raise FsbenchError("disjoint tasks must have the same shots and queries in every class")
        if len(set(self.classes)) != len(self.classes):
            raise FsbenchError(f"classes must differ, but are {', '.join(self.classes)}")

    @property
    def name(self) -> str:
        """The field's short form, such as `5w1s15q`, and behind it what is not usual."""
        shots = self.n_shot if self.least_shot is None else f"{self.least_shot}-{self.n_shot}"
        parts = [f"{self.n_way}w{shots}s{'all' if self.n_query is None else self.n_query}q"]
        if self.query_alpha is not None:
            parts.append(f"dirichlet{self.query_alpha:g}")
        if self.classes:
            parts.append(f"classes{hashlib.sha256(repr(self.classes).encode()).hexdigest()[:8]}")
        if self.disjoint:
            parts.append("disjoint")
        return "-".join(parts)
