"""One comparison group as a table of plain values, whatever the page that shows it."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fsbench.leaderboard.compare import adjusted_p, equals_of_best, ranks
from fsbench.leaderboard.rows import Family, Protocol, families, groups, protocols
from fsbench.leaderboard.wording import epochs, group_details, head, heading, line_details, notes, recipe
from fsbench.results import Result
from fsbench.stats import mean_and_half_width

NAMED = ("backbone", "recipe", "epochs", "train seed", "head")  # the columns before the protocols
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Cell:
    """An accuracy over tasks, and how it stands in its column."""

    result: Result
    half_width: float  # 0..1
    rank: int  # 1 + the number of rows that are better by the test
    best: bool  # the best of two or more, or does not differ from it


@dataclass(frozen=True)
class Spread:
    """An accuracy over training seeds."""

    mean: float  # 0..1
    std: float  # ddof 1


@dataclass(frozen=True)
class Line:
    """A line of a table: one checkpoint and head, or the mean over training seeds."""

    tried: Result
    n_seeds: int  # 1 for one checkpoint
    details: tuple[str, ...]  # what tells it from lines that else read the same
    cells: Mapping[Protocol, Cell | Spread]

    @property
    def named(self) -> dict[str, str]:
        """What was tried, a text for each name in NAMED."""
        tried, several = self.tried, self.n_seeds > 1
        return {
            "backbone": tried.backbone or "-",
            "recipe": recipe(tried),
            "epochs": epochs(replace(tried, epoch=None) if several else tried),
            "train seed": f"mean of {self.n_seeds} seeds" if several else _text(tried.train_seed),
            "head": head(tried),
        }

    @property
    def changes(self) -> str:
        """What was changed in the recipe, and what else tells this line from its like; may be empty."""
        return ", ".join(filter(None, [self.tried.overrides, *self.details]))


@dataclass(frozen=True, eq=False)
class Table:
    """A comparison group; `p` (m, m) is over the lines of a column that hold a `Cell`, in their order."""

    heading: str
    results: Sequence[Result]
    lines: Sequence[Line]
    p: Mapping[Protocol, NDArray[np.float64]]

    @property
    def columns(self) -> list[Protocol]:
        """The protocols, by ways and shots."""
        return list(self.p)

    @property
    def legend(self) -> str:
        """How to read the table; empty when it explains itself."""
        several_seeds = any(line.n_seeds > 1 for line in self.lines)
        return notes(self.results, several_rows=len(self.lines) > 1, several_seeds=several_seeds)

    @cached_property
    def n_tasks_differ(self) -> bool:
        """Whether some cells are over more tasks than others."""
        return len({result.n_tasks for result in self.results}) > 1

    def text(self, cell: Cell | Spread) -> str:
        """Mean and half width or standard deviation in %, with the number of tasks where that differs."""
        if isinstance(cell, Spread):
            return f"{100 * cell.mean:.2f} ± {100 * cell.std:.2f} std"
        number = f" ({cell.result.n_tasks:,})" if self.n_tasks_differ else ""
        return f"{100 * cell.result.accuracy:.2f} ± {100 * cell.half_width:.2f}{number}"


def tables(results: Iterable[Result]) -> list[Table]:
    """A table for each comparison group.

    Raises:
        FsbenchError: a result over a single task, or two results that differ in nothing but their outcome.
    """
    found = groups(results)
    headings = [heading(group[0]) for group in found]
    extras = told_apart(headings, [group_details(group[0]) for group in found])
    return [
        _table(group, ", ".join([text, *extra]))
        for group, text, extra in zip(found, headings, extras, strict=True)
    ]


def told_apart(labels: Sequence[T], details: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """For each label the details that tell it from its equals, in their order and no more than needed."""
    extras: list[tuple[str, ...]] = [()] * len(labels)
    for name in details[0] if details else ():
        keys = list(zip(labels, extras, strict=True))
        values = defaultdict(set)
        for key, detail in zip(keys, details, strict=True):
            values[key].add(detail[name])
        extras = [
            (*key[1], detail[name]) if len(values[key]) > 1 else key[1]
            for key, detail in zip(keys, details, strict=True)
        ]
    return extras


def _table(group: Sequence[Result], text: str) -> Table:
    found = families(group)
    rows = [row for family in found for row in family.rows]
    cells: dict[int, dict[Protocol, Cell]] = defaultdict(dict)
    p = {}
    for protocol in protocols(group):
        inside = [row for row in rows if protocol in row.results]
        p[protocol], column = _column([row.results[protocol] for row in inside])
        for row, cell in zip(inside, column, strict=True):
            cells[id(row)][protocol] = cell
    lines = []
    for family in found:
        if len(family.rows) > 1:
            lines.append(Line(family.rows[0].tried, len(family.rows), (), _spreads(family)))
        lines += [Line(row.tried, 1, (), cells[id(row)]) for row in family.rows]
    return Table(text, group, _with_details(lines), p)


def _column(results: Sequence[Result]) -> tuple[NDArray[np.float64], list[Cell]]:
    """The adjusted p-values and the cells of the results that stand below each other."""
    p = adjusted_p(results)
    best = equals_of_best(results, p) if len(results) > 1 else [False]
    return p, [
        Cell(result, mean_and_half_width(result.accuracies)[1], rank, wins)
        for result, rank, wins in zip(results, ranks(results, p), best, strict=True)
    ]


def _spreads(family: Family) -> dict[Protocol, Cell | Spread]:
    """Mean and standard deviation over training seeds of each protocol for which every seed has a result."""
    found = {protocol: family.accuracies(protocol) for row in family.rows for protocol in row.results}
    return {
        protocol: Spread(float(np.mean(seeds)), float(np.std(seeds, ddof=1)))
        for protocol, seeds in found.items()
        if len(seeds) == len(family.rows)
    }


def _with_details(lines: Sequence[Line]) -> list[Line]:
    """The lines, each with what tells it from those that else read the same."""
    labels = [(*line.named.values(), line.changes) for line in lines]
    extras = told_apart(labels, [line_details(line.tried) for line in lines])
    return [replace(line, details=extra) for line, extra in zip(lines, extras, strict=True)]


def _text(value: object) -> str:
    return "-" if value is None else str(value)
