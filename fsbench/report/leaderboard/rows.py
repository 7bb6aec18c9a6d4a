"""Results that may be compared with each other, and the rows that they make."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import numpy as np

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.results import OPEN, Result

Protocol = tuple[int, int]  # n_way, n_shot
T = TypeVar("T")


def _is_plain(kind: Any) -> bool:
    """Whether a field of this type holds one word, number or truth value, or None."""
    kinds = set(get_args(kind)) if get_origin(kind) is UnionType else {kind}
    return kinds <= {str, int, float, bool, NoneType}


PLAIN = tuple(field.name for field in fields(Result) if _is_plain(field.type))
GROUP = (  # results that differ in one of these never share a table
    "synthetic", "dataset", "split", "source", "source_classes", "per_class", "image_size", "class_prior",
    "n_query", "query_alpha", "least_shot", "classes", "disjoint", "sampler", "fingerprint",
    "source_fingerprint",
)  # fmt: skip
CELL = ("n_way", "n_shot", "n_tasks", "task_digest", "interval")  # what the cells of a row may differ in
TRAINED = (  # what a training seed changes
    "train_seed", "epoch", "best_epoch", "run", "checkpoint", "feature_digest", "base_digest",
)  # fmt: skip
# Every other key tells rows apart, so that a key which a later version adds does so by itself.
FAMILY = tuple(name for name in PLAIN if name not in {*GROUP, *CELL, *TRAINED, *OPEN})


@dataclass(frozen=True)
class Row:
    """What was tried, and its result for each protocol."""

    results: Mapping[Protocol, Result]

    @property
    def tried(self) -> Result:
        """Any of the results: they agree on what was tried."""
        return next(iter(self.results.values()))


@dataclass(frozen=True)
class Family:
    """Rows that differ in what a training seed changes, by ascending seed; or a single row."""

    rows: Sequence[Row]

    def results(self, protocol: Protocol) -> list[Result]:
        """The result of each row that has one."""
        return [row.results[protocol] for row in self.rows if protocol in row.results]

    def has_seeds(self, protocol: Protocol) -> bool:
        """Whether there are several training seeds, and a result for each of them."""
        return len(self.rows) > 1 and all(protocol in row.results for row in self.rows)


def groups(results: Iterable[Result]) -> list[list[Result]]:
    """Results that may be compared with each other; photographs first, then in-domain ones.

    Raises:
        FsbenchError: a result over a single task, which has no interval.
    """
    found = list(results)
    for result in found:
        if result.n_tasks < 2:
            raise FsbenchError(f"{result.path}: n_tasks must be at least 2, but is {result.n_tasks}")

    def place(group: list[Result]) -> tuple[Any, ...]:
        first = group[0]
        return (first.synthetic, first.source != first.dataset, *_sortable(_values(first, GROUP)))

    return sorted(_by(found, lambda result: _values(result, GROUP)).values(), key=place)


def protocols(group: Iterable[Result]) -> list[Protocol]:
    """The columns of a group's table."""
    return sorted({(result.n_way, result.n_shot) for result in group})


def families(group: Sequence[Result]) -> list[Family]:
    """The rows of a group, by backbone and by falling accuracy in the first column, seeds side by side.

    Raises:
        FsbenchError: two results that differ in nothing but their outcome.
    """
    columns = protocols(group)

    def place(family: Family) -> tuple[Any, ...]:
        means = [
            float(np.mean([result.accuracy for result in family.results(column)] or [-1.0]))
            for column in columns
        ]
        return (
            *_sortable([family.rows[0].tried.backbone]),
            [-mean for mean in means],
            _fixed(family.rows[0]),
        )

    alike = _by(sorted(_rows(group), key=_fixed), lambda row: _values(row.tried, FAMILY)).values()
    return sorted((family for rows in alike for family in _families(rows)), key=place)


def _families(alike: Sequence[Row]) -> list[Family]:
    """One family when the rows are one run a training seed, else one a row."""
    seeds = {row.tried.train_seed for row in alike}
    one_a_seed = None not in seeds and len(seeds) == len(alike)
    return [Family(alike)] if one_a_seed else [Family([row]) for row in alike]


def _rows(group: Iterable[Result]) -> list[Row]:
    """One row a checkpoint and head; more where a cell would hold two results, so that none is lost."""
    rows = []
    for same in _by(group, _tried).values():
        if len(same) == len(protocols(same)):
            rows.append(_row(same))
        else:
            rows += map(_row, _by(same, lambda result: (result.n_tasks, result.feature_digest)).values())
    return rows


def _tried(result: Result) -> tuple[Any, ...]:
    """What tells rows apart; features without a checkpoint stand for themselves."""
    trained = _values(result, ("train_seed", "epoch", "run"))
    features = (result.feature_digest, result.base_digest)
    return (*_values(result, FAMILY), *trained, result.checkpoint or features)


def _row(results: Iterable[Result]) -> Row:
    cells = _by(results, lambda result: (result.n_way, result.n_shot))
    for path, *others in ([result.path for result in cell] for cell in cells.values()):
        if others:
            raise FsbenchError(f"{path}: {1 + len(others)} results differ in nothing but their outcome")
    return Row({protocol: cells[protocol][0] for protocol in sorted(cells)})


def _fixed(row: Row) -> tuple[Any, ...]:
    """A place for each row that no order of files changes."""
    return _sortable(_values(row.tried, (*FAMILY, *TRAINED, "n_tasks")))


def _values(result: Result, names: Iterable[str]) -> tuple[Any, ...]:
    found: tuple[Any, ...] = attrgetter(*names)(result)
    return found


def _sortable(values: Iterable[Any]) -> tuple[tuple[bool, Any], ...]:
    """Values in an order in which None comes last."""
    return tuple((value is None, 0 if value is None else value) for value in values)


def _by(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Any, list[T]]:
    """Items by their key, keys in the order of their first item."""
    found: dict[Any, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found
