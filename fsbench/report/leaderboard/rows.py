"""Group results that may be compared with each other, and arrange them in rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
        """The results of all rows that have one for this protocol."""
        return [row.results[protocol] for row in self.rows if protocol in row.results]

    def has_seeds(self, protocol: Protocol) -> bool:
        """Whether there are several training seeds, and a result for each of them."""
        return len(self.rows) > 1 and all(protocol in row.results for row in self.rows)


def groups(results: Iterable[Result]) -> list[list[Result]]:
    """Group results that may be compared; photographs before synthetic images, in-domain results first."""

    def place(group: list[Result]) -> tuple[Any, ...]:
        first = group[0]
        in_domain = first.model.source == first.data.dataset
        images, spec, *rest = _group_key(first)
        return (first.data.synthetic, not in_domain, *_sortable([*images, *vars(spec).values(), *rest]))

    return sorted(group_by(results, _group_key).values(), key=place)


def _group_key(result: Result) -> tuple[Any, ...]:
    """Results that differ in one of these never share a table."""
    data, model = result.data, result.model
    images = (
        data.dataset, data.split,
        model.source, model.source_classes, model.per_class, model.image_size, result.head.class_prior,
    )  # fmt: skip
    spec = replace(_any_protocol(result.spec), seed=0)
    return images, spec, result.task.sampler, data.synthetic, data.fingerprint, model.source_fingerprint


def family_key(result: Result) -> Question:
    """The question without what protocols and training seeds change.

    All remaining fields distinguish families, so fields that are added later do so by themselves.
    """
    return Question(
        task=replace(result.task, spec=_any_protocol(result.spec)),
        data=replace(result.data, feature_digest=""),
        model=replace(
            result.model, run="", checkpoint=None, train_seed=None, epoch=None, best_epoch=None
        ),
        head=replace(result.head, base_digest=None),
    )  # fmt: skip


def _any_protocol(spec: TaskSpec) -> TaskSpec:
    """The specification without what differs between the columns of a table, and the number of tasks."""
    return replace(spec, n_way=2, n_shot=spec.least_shot or 1, n_tasks=2)


def protocols(group: Iterable[Result]) -> list[Protocol]:
    """The columns of a group's table."""
    return sorted({(result.spec.n_way, result.spec.n_shot) for result in group})


def families(group: Sequence[Result]) -> list[Family]:
    """Arrange a group in rows by backbone and falling accuracy in the first column, seeds side by side.

    Raises:
        FsbenchError: Two results that differ in nothing but their outcome.
    """
    columns = protocols(group)

    def place(family: Family) -> tuple[Any, ...]:
        means = [
            float(np.mean([result.outcome.accuracy for result in family.results(column)] or [-1.0]))
            for column in columns
        ]
        first = family.rows[0]
        return (*_sortable([first.result.model.backbone]), [-mean for mean in means], _fixed(first))

    alike = group_by(sorted(_rows(group), key=_fixed), lambda row: family_key(row.result)).values()
    return sorted((family for rows in alike for family in _families(rows)), key=place)


def _families(alike: Sequence[Row]) -> list[Family]:
    """One family where each row is another training seed, else one family per row."""
    seeds = {row.result.model.train_seed for row in alike}
    one_per_seed = None not in seeds and len(seeds) == len(alike)
    return [Family(alike)] if one_per_seed else [Family([row]) for row in alike]


def _rows(group: Iterable[Result]) -> list[Row]:
    """One row per checkpoint and head; more where a cell would hold two results, so that none is lost."""
    rows = []
    for same in group_by(group, _row_key).values():
        if len(same) == len(protocols(same)):
            rows.append(_row(same))
        else:
            lists = group_by(same, lambda result: (result.spec.n_tasks, result.data.feature_digest))
            rows += map(_row, lists.values())
    return rows


def _row_key(result: Result) -> tuple[Any, ...]:
    """Key of a row; features without a checkpoint stand for themselves."""
    model = result.model
    features = (result.data.feature_digest, result.head.base_digest)
    return family_key(result), model.train_seed, model.epoch, model.run, model.checkpoint or features


def _row(results: Iterable[Result]) -> Row:
    cells = group_by(results, lambda result: (result.spec.n_way, result.spec.n_shot))
    for path, *others in ([result.path for result in cell] for cell in cells.values()):
        if others:
            raise FsbenchError(f"{path}: {1 + len(others)} results differ in nothing but their outcome")
    return Row({protocol: cells[protocol][0] for protocol in sorted(cells)})


def _fixed(row: Row) -> tuple[Any, ...]:
    """A place for each row that does not depend on the order of files."""
    result, model = row.result, row.result.model
    seed = (model.train_seed, model.epoch, model.best_epoch, model.run, model.checkpoint)
    features = (result.data.feature_digest, result.head.base_digest, result.spec.n_tasks)
    return _sortable((*flatten(family_key(result)).values(), *seed, *features))


def _sortable(values: Iterable[Any]) -> tuple[tuple[bool, Any], ...]:
    """Values in an order in which None comes last."""
    return tuple((value is None, 0 if value is None else value) for value in values)
