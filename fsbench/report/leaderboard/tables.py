"""Tables of comparable results, as values from which every kind of page is made."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fsbench.evaluation.result import Result
from fsbench.report.grouping import distinguishing, with_most_tasks
from fsbench.report.leaderboard.rows import Protocol, families, groups, protocols
from fsbench.report.leaderboard.wording import (
    epochs,
    group_details,
    head,
    heading,
    line_details,
    notes,
    or_dash,
    recipe,
)
from fsbench.report.measured import of_result
from fsbench.stats import mean_and_half_width
from fsbench.stats.all_pairs import Compared, Over, compared, mean_over_seeds

NAMED = ("backbone", "recipe", "epochs", "train seed", "head")  # the columns before the protocols


@dataclass(frozen=True)
class Cell:
    """The accuracy of one checkpoint, compared with the others of its column.

    Attributes:
        result: The result.
        half_width: Half width over tasks, 0 to 1.
        rank: 1 + the number of significantly better checkpoints; None: it is not compared.
        best: Whether it is the highest of two or more, or not significantly different from the highest.
    """

    result: Result
    half_width: float
    rank: int | None
    best: bool

    @property
    def mean(self) -> float:
        """Accuracy, 0 to 1, as that of a `Spread`."""
        return self.result.outcome.accuracy


@dataclass(frozen=True)
class Spread:
    """The mean accuracy of a recipe over training seeds.

    Attributes:
        mean: Mean accuracy, 0 to 1.
        lowest: Accuracy of the lowest seed.
        highest: Accuracy of the highest seed.
        compared: Whether it has three or more seeds and so is compared with other recipes.
        rank: The same as in `Cell`, among recipes.
        best: The same as in `Cell`, among recipes.
    """

    mean: float
    lowest: float
    highest: float
    compared: bool = False
    rank: int | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a table: one checkpoint and head, or the mean over training seeds.

    Attributes:
        result: One of its results.
        n_seeds: Number of training seeds; 1 for one checkpoint.
        details: Suffixes that distinguish it from otherwise identical lines.
        cells: Accuracies by protocol.
        in_mean: Whether its training seed is part of the mean in a line above.
    """

    result: Result
    n_seeds: int
    details: tuple[str, ...]
    cells: Mapping[Protocol, Cell | Spread]
    in_mean: bool = False

    @property
    def named(self) -> dict[str, str]:
        """A text for each column in NAMED."""
        model, several = self.result.model, self.n_seeds > 1
        return {
            "backbone": model.backbone or "-",
            "recipe": recipe(model),
            "epochs": epochs(replace(model, epoch=None) if several else model),
            "train seed": f"mean of {self.n_seeds} seeds" if several else or_dash(model.train_seed),
            "head": head(self.result),
        }

    @property
    def changes(self) -> str:
        """Changes of the recipe, and details that distinguish this line from similar ones; may be empty."""
        return ", ".join(filter(None, [self.result.model.overrides, *self.details]))


@dataclass(frozen=True, eq=False)
class Table:
    """A group of comparable results.

    Attributes:
        heading: Description of the properties that all results share.
        results: The results.
        lines: The lines of the table.
        over: Whether ranks and bold type are over classes or over tasks.
        checkpoints: Comparison of the `Cell`s of each column, in the order of the lines.
        recipes: Comparison of the `Spread`s of each column with three or more seeds, in the order of the
            lines.
        fewer_tasks: Number of results left out because another one differs only in a larger number of tasks.
    """

    heading: str
    results: Sequence[Result]
    lines: Sequence[Line]
    over: Over
    checkpoints: Mapping[Protocol, Compared]
    recipes: Mapping[Protocol, Compared]
    fewer_tasks: int = 0

    @property
    def columns(self) -> list[Protocol]:
        """The protocols, ordered by ways and shots."""
        return list(self.checkpoints)

    @property
    def checkpoint_lines(self) -> list[Line]:
        """The lines of single checkpoints, without means over training seeds."""
        return [line for line in self.lines if line.n_seeds == 1]

    @property
    def legend(self) -> str:
        """Notes on how to read the table; may be empty."""
        return notes(
            self.results,
            self.over,
            several_rows=len(self.lines) > 1,
            unclaimed=any(None in compared.ranks for compared in self.checkpoints.values()),
            several_seeds=any(line.n_seeds > 1 for line in self.lines),
            recipes_compared=any(len(compared.p) > 1 for compared in self.recipes.values()),
            fewer_tasks=self.fewer_tasks,
        )

    @cached_property
    def n_tasks_differ(self) -> bool:
        """Whether some cells are over more tasks than others."""
        return len({result.spec.n_tasks for result in self.results}) > 1

    def text(self, cell: Cell | Spread) -> str:
        """Format accuracy and half width over tasks in %, or mean and range over seeds."""
        if isinstance(cell, Spread):
            return f"{100 * cell.mean:.2f} (seeds {100 * cell.lowest:.2f} to {100 * cell.highest:.2f})"
        number = f" ({cell.result.spec.n_tasks:,})" if self.n_tasks_differ else ""
        return f"{100 * cell.result.outcome.accuracy:.2f} ± {100 * cell.half_width:.2f}{number}"


def tables(results: Iterable[Result], over: Over = "classes") -> list[Table]:
    """Make a table for each group of comparable results.

    Args:
        results: Results in any order.
        over: Whether ranks and bold type are over classes or over tasks.

    Returns:
        The tables: photographs before synthetic images, in-domain results first.

    Raises:
        FsbenchError: Two results have the same question.
    """
    comparable = groups(results)
    headings = [heading(group[0]) for group in comparable]
    extras = distinguishing(headings, [group_details(group[0]) for group in comparable])
    return [
        _table(group, ", ".join([text, *extra]), over)
        for group, text, extra in zip(comparable, headings, extras, strict=True)
    ]


def _table(every: Sequence[Result], text: str, over: Over) -> Table:
    """Make the table of one group with the heading `text`."""
    group = with_most_tasks(every, lambda result: result)
    in_order = families(group)
    cells: dict[int, dict[Protocol, Cell | Spread]] = defaultdict(dict)  # by the id of the row or family
    checkpoints, recipes = {}, {}
    for protocol in protocols(group):
        rows = [row for family in in_order for row in family.rows if protocol in row.results]
        measured = {id(row): of_result(row.results[protocol]) for row in rows}
        checkpoints[protocol] = compared(list(measured.values()), over)
        for row, rank, best in zip(
            rows, checkpoints[protocol].ranks, checkpoints[protocol].best, strict=True
        ):
            half_width = mean_and_half_width(measured[id(row)].scores)[1]
            cells[id(row)][protocol] = Cell(row.results[protocol], half_width, rank, best)

        seeds = {id(family): family for family in in_order if family.has_seeds(protocol)}
        spreads = {key: spread(family.results(protocol)) for key, family in seeds.items()}
        means = {
            key: mean
            for key, family in seeds.items()
            if (mean := mean_over_seeds([measured[id(row)] for row in family.rows]))
        }
        recipes[protocol] = compared(list(means.values()), over)
        for key, rank, best in zip(means, recipes[protocol].ranks, recipes[protocol].best, strict=True):
            spreads[key] = replace(spreads[key], compared=True, rank=rank, best=best)
        for key, cell in spreads.items():
            cells[key][protocol] = cell
    lines = []
    for family in in_order:
        several = len(family.rows) > 1
        if several:
            lines.append(Line(family.rows[0].result, len(family.rows), (), cells[id(family)]))
        lines += [Line(row.result, 1, (), cells[id(row)], in_mean=several) for row in family.rows]
    return Table(text, group, _with_details(lines), over, checkpoints, recipes, len(every) - len(group))


def spread(seeds: Sequence[Result]) -> Spread:
    """Compute the mean and the range of the accuracies over the training seeds of a recipe.

    Args:
        seeds: One result per seed.

    Returns:
        The mean and the range, not compared with other recipes.
    """
    accuracies = [result.outcome.accuracy for result in seeds]
    return Spread(float(np.mean(accuracies)), min(accuracies), max(accuracies))


def _with_details(lines: Sequence[Line]) -> list[Line]:
    """Add suffixes that distinguish otherwise identical lines."""
    labels = [(*line.named.values(), line.changes) for line in lines]
    extras = distinguishing(labels, [line_details(line.result) for line in lines])
    return [replace(line, details=extra) for line, extra in zip(lines, extras, strict=True)]
