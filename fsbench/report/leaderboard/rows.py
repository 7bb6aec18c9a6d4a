"""Group comparable results, and arrange each group in rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.result import Question, Result
from fsbench.report.grouping import group_by
from fsbench.tasks.spec import TaskSpec

Protocol = tuple[int, int]  # n_way, n_shot


@dataclass(frozen=True)
class Row:
    """Results of one checkpoint and head.

    Attributes:
        results: A result for each protocol.
    """

    results: Mapping[Protocol, Result]

    @property
    def result(self) -> Result:
        """Any of the results: they have the same model and head."""
        return next(iter(self.results.values()))


@dataclass(frozen=True)
class Family:
    """Rows of one recipe and head with different training seeds, or a single row.

    Attributes:
        rows: The rows, by ascending seed.
    """

    rows: Sequence[Row]

    def results(self, protocol: Protocol) -> list[Result]:
        """Return the results of all rows that have one for this protocol."""
        return [row.results[protocol] for row in self.rows if protocol in row.results]

    def has_seeds(self, protocol: Protocol) -> bool:
        """Whether there are several training seeds, and a result for each of them."""
        return len(self.rows) > 1 and all(protocol in row.results for row in self.rows)


def groups(results: Iterable[Result]) -> list[list[Result]]:
    """Group comparable results; photographs come before synthetic images, in-domain results first."""

    def sort_key(group: list[Result]) -> tuple[Any, ...]:
        first = group[0]
        in_domain = first.model.source == first.data.dataset
        images, spec, *rest = _group_key(first)
        return (first.data.synthetic, not in_domain, *_sortable([*images, *vars(spec).values(), *rest]))

    return sorted(group_by(results, _group_key).values(), key=sort_key)


def _group_key(result: Result) -> tuple[Any, ...]:
    """Return the values that are equal for all results of a table."""
    data, model = result.data, result.model
    images = (
        data.dataset, data.split,
        model.source, model.source_classes, model.per_class, model.image_size, result.head.class_prior,
    )  # fmt: skip
    return (
        images,
        _any_seed(_any_protocol(result.spec)),
        result.task.sampler,
        data.synthetic,
        data.fingerprint,
        model.source_fingerprint,
    )


def family_key(result: Result) -> Question:
    """Return the question without the values that depend on protocol or training seed.

    All other fields distinguish families, including fields that are added later.
    """
    return Question(
        task=replace(result.task, spec=_any_protocol(result.spec)),
        data=replace(result.data, feature_digest=""),
        model=replace(
            result.model, run="", checkpoint=None, train_seed=None, epoch=None, best_epoch=None
        ),
        head=replace(result.head, base_digest=None),
    )  # fmt: skip


@cache  # many results share few specifications, and making one checks its values
def _any_protocol(spec: TaskSpec) -> TaskSpec:
    """Return the specification without ways, shots and number of tasks."""
    return replace(spec, n_way=2, n_shot=spec.least_shot or 1, n_tasks=2)


@cache
def _any_seed(spec: TaskSpec) -> TaskSpec:
    """Return the specification without its seed."""
    return replace(spec, seed=0)


def protocols(group: Iterable[Result]) -> list[Protocol]:
    """List the columns of a group's table."""
    return sorted({(result.spec.n_way, result.spec.n_shot) for result in group})


def families(group: Sequence[Result]) -> list[Family]:
    """Arrange a group in rows by backbone and falling accuracy in the first column, one family per recipe.

    Raises:
        FsbenchError: Two results have the same question.
    """
    columns = protocols(group)

    def sort_key(family: Family) -> tuple[Any, ...]:
        means = [
            float(np.mean([result.outcome.accuracy for result in family.results(column)] or [-1.0]))
            for column in columns
        ]
        first = family.rows[0]
        return (*_sortable([first.result.model.backbone]), [-mean for mean in means], _row_order(first))

    rows_by_key = group_by(sorted(_rows(group), key=_row_order), lambda row: family_key(row.result))
    return sorted((family for rows in rows_by_key.values() for family in _families(rows)), key=sort_key)


def _families(rows: Sequence[Row]) -> list[Family]:
    """Return one family if every row has another training seed, otherwise one family per row."""
    seeds = {row.result.model.train_seed for row in rows}
    one_per_seed = None not in seeds and len(seeds) == len(rows)
    return [Family(rows)] if one_per_seed else [Family([row]) for row in rows]


def _rows(group: Iterable[Result]) -> list[Row]:
    """Make one row per checkpoint and head, or several if a cell would contain two results."""
    rows = []
    for same in group_by(group, _row_key).values():
        if len(same) == len(protocols(same)):
            rows.append(_row(same))
        else:
            lists = group_by(same, lambda result: (result.spec.n_tasks, result.data.feature_digest))
            rows += map(_row, lists.values())
    return rows


def _row_key(result: Result) -> tuple[Any, ...]:
    """Return the key of a row; without a checkpoint, the digest of the features replaces it."""
    model = result.model
    features = (result.data.feature_digest, result.head.base_digest)
    return family_key(result), model.train_seed, model.epoch, model.run, model.checkpoint or features


def _row(results: Iterable[Result]) -> Row:
    """Make a row of one result per protocol; refuse two results in one cell."""
    cells = group_by(results, lambda result: (result.spec.n_way, result.spec.n_shot))
    for path, *others in ([result.path for result in cell] for cell in cells.values()):
        if others:
            raise FsbenchError(f"{path}: {1 + len(others)} results have the same question; keep one of them")
    return Row({protocol: cells[protocol][0] for protocol in sorted(cells)})


def _row_order(row: Row) -> tuple[Any, ...]:
    """Return a sort key that does not depend on the order of files."""
    result, model = row.result, row.result.model
    seed = (model.train_seed, model.epoch, model.best_epoch, model.run, model.checkpoint)
    features = (result.data.feature_digest, result.head.base_digest, result.spec.n_tasks)
    family = {**flatten(family_key(result)), "head_settings": result.head.text}
    return _sortable((*family.values(), *seed, *features))


def _sortable(values: Iterable[Any]) -> tuple[tuple[bool, Any], ...]:
    """Make values sortable, with None last."""
    return tuple((value is None, 0 if value is None else value) for value in values)
