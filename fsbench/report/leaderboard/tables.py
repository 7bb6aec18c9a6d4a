"""One comparison group as a table of plain values, whatever the page that shows it."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from fsbench.evaluation.results import Result
from fsbench.report.leaderboard.compare import Compared, compared
from fsbench.report.leaderboard.rows import Protocol, families, groups, protocols
from fsbench.report.leaderboard.wording import (
    epochs,
    group_details,
    head,
    heading,
    line_details,
    notes,
    recipe,
)
from fsbench.report.pairwise import Over, of_result, of_seeds
from fsbench.stats import mean_and_half_width

NAMED = ("backbone", "recipe", "epochs", "train seed", "head")  # the columns before the protocols
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Cell:
    """The accuracy of one checkpoint, and how it compares with the others of its column."""

    result: Result
    half_width: float  # over tasks, 0..1
    rank: int | None  # 1 + the number of significantly better checkpoints; None: nothing is claimed
    best: bool  # the highest of two or more, or not significantly different from it


@dataclass(frozen=True)
class Spread:
    """The mean accuracy of a recipe over training seeds; rank and best are among such means."""

    mean: float  # 0..1
    lowest: float
    highest: float
    compared: bool = False  # it has three or more seeds
    rank: int | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a table: one checkpoint and head, or the mean over training seeds."""

    tried: Result
    n_seeds: int  # 1 for one checkpoint
    details: tuple[str, ...]  # what tells it from lines that else read the same
    cells: Mapping[Protocol, Cell | Spread]
    in_mean: bool = False  # a line above it holds the mean over its training seed and others

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
    """A group of results that may be compared.

    `checkpoints` and `recipes` compare the lines of a column that hold a `Cell`, and those that hold a
    `Spread` over three or more seeds, in the order of the lines.
    """

    heading: str
    results: Sequence[Result]
    lines: Sequence[Line]
    over: Over
    checkpoints: Mapping[Protocol, Compared]
    recipes: Mapping[Protocol, Compared]

    @property
    def columns(self) -> list[Protocol]:
        """The protocols, by ways and shots."""
        return list(self.checkpoints)

    @property
    def legend(self) -> str:
        """How to read the table; empty when it explains itself."""
        return notes(
            self.results,
            self.over,
            several_rows=len(self.lines) > 1,
            unclaimed=any(None in compared.ranks for compared in self.checkpoints.values()),
            several_seeds=any(line.n_seeds > 1 for line in self.lines),
            recipes_compared=any(len(compared.p) > 1 for compared in self.recipes.values()),
        )

    @cached_property
    def n_tasks_differ(self) -> bool:
        """Whether some cells are over more tasks than others."""
        return len({result.n_tasks for result in self.results}) > 1

    def text(self, cell: Cell | Spread) -> str:
        """Accuracy and half width over tasks in %, or mean and range over seeds."""
        if isinstance(cell, Spread):
            return f"{100 * cell.mean:.2f} (seeds {100 * cell.lowest:.2f} to {100 * cell.highest:.2f})"
        number = f" ({cell.result.n_tasks:,})" if self.n_tasks_differ else ""
        return f"{100 * cell.result.accuracy:.2f} ± {100 * cell.half_width:.2f}{number}"


def tables(results: Iterable[Result], over: Over = "classes") -> list[Table]:
    """A table for each comparison group; `over` is what ranks and bold type are about.

    Raises:
        FsbenchError: a result over a single task, or two results that differ in nothing but their outcome.
    """
    found = groups(results)
    headings = [heading(group[0]) for group in found]
    extras = told_apart(headings, [group_details(group[0]) for group in found])
    return [
        _table(group, ", ".join([text, *extra]), over)
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


def _table(group: Sequence[Result], text: str, over: Over) -> Table:
    found = families(group)
    cells: dict[int, dict[Protocol, Cell | Spread]] = defaultdict(dict)  # by the id of the row or family
    checkpoints, recipes = {}, {}
    for protocol in protocols(group):
        rows = [row for family in found for row in family.rows if protocol in row.results]
        checkpoints[protocol] = compared([of_result(row.results[protocol]) for row in rows], over)
        standing = zip(rows, checkpoints[protocol].ranks, checkpoints[protocol].best, strict=True)
        for row, rank, best in standing:
            result = row.results[protocol]
            half_width = mean_and_half_width(result.accuracies)[1]
            cells[id(row)][protocol] = Cell(result, half_width, rank, best)

        of_family = {id(family): family.results(protocol) for family in found if family.has_seeds(protocol)}
        means = {key: mean for key, seeds in of_family.items() if (mean := of_seeds(seeds))}
        recipes[protocol] = compared(list(means.values()), over)
        for key, seeds in of_family.items():
            cells[key][protocol] = _spread(seeds)
        for key, rank, best in zip(means, recipes[protocol].ranks, recipes[protocol].best, strict=True):
            cells[key][protocol] = replace(_spread(of_family[key]), compared=True, rank=rank, best=best)
    lines = []
    for family in found:
        several = len(family.rows) > 1
        if several:
            lines.append(Line(family.rows[0].tried, len(family.rows), (), cells[id(family)]))
        lines += [Line(row.tried, 1, (), cells[id(row)], in_mean=several) for row in family.rows]
    return Table(text, group, _with_details(lines), over, checkpoints, recipes)


def _spread(seeds: Sequence[Result]) -> Spread:
    """The mean and the range of the accuracies of a recipe's training seeds."""
    accuracies = [result.accuracy for result in seeds]
    return Spread(float(np.mean(accuracies)), min(accuracies), max(accuracies))


def _with_details(lines: Sequence[Line]) -> list[Line]:
    """The lines, each with what tells it from those that else read the same."""
    labels = [(*line.named.values(), line.changes) for line in lines]
    extras = told_apart(labels, [line_details(line.tried) for line in lines])
    return [replace(line, details=extra) for line, extra in zip(lines, extras, strict=True)]


def _text(value: object) -> str:
    return "-" if value is None else str(value)
