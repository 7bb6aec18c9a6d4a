"""Fold the training seeds of a table: one row per configuration, which contains its runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import Cell, Line, Spread, Table
from fsbench.stats import mean_and_half_width


@dataclass(frozen=True, eq=False)
class Configuration:
    """A recipe with a backbone and a head: everything but the training seed.

    Attributes:
        line: The mean over training seeds, or the only run.
        runs: One line per training seed.
    """

    line: Line
    runs: Sequence[Line]

    @property
    def accuracies(self) -> dict[Protocol, "Accuracy"]:
        """The accuracy for each protocol that one of the runs has."""
        protocols = dict.fromkeys(protocol for run in self.runs for protocol in run.cells)
        return {protocol: self._accuracy(protocol) for protocol in protocols}

    def _accuracy(self, protocol: Protocol) -> "Accuracy":
        """Return the accuracy for one protocol."""
        cells = [cell for run in self.runs if isinstance(cell := run.cells.get(protocol), Cell)]
        return Accuracy([cell.result for cell in cells], self.line.cells.get(protocol))


@dataclass(frozen=True, eq=False)
class Accuracy:
    """The accuracy of a configuration for one protocol.

    Attributes:
        results: One result for each training seed that has one.
        compared: The cell of the table with rank and best; None if some seeds have no result.
    """

    results: Sequence[Result]
    compared: Cell | Spread | None

    @property
    def all_accuracies(self) -> list[float]:
        """The accuracy of each training seed, 0 to 1."""
        return [result.outcome.accuracy for result in self.results]

    @property
    def over_tasks(self) -> float | None:
        """95 % half width of the mean over other tasks; None if the seeds have different tasks."""
        if len({(result.task_identity, result.spec.n_tasks) for result in self.results}) > 1:
            return None
        return mean_and_half_width(np.mean([result.accuracies for result in self.results], axis=0))[1]

    @property
    def over_classes(self) -> float | None:
        """95 % half width of the mean over new classes and their images; None if it is unknown."""
        if len(self.results) == 1:  # a file may state it without the values
            return self.results[0].outcome.class_half_width
        values = self.class_values
        return None if values is None else mean_and_half_width(values)[1]

    @property
    def class_values(self) -> NDArray[np.float64] | None:
        """The value of each class, averaged over the seeds, (classes,); None if it is unknown."""
        values = [result.outcome.class_values for result in self.results]
        present = [value for value in values if value is not None]
        images = {result.image_identity for result in self.results}
        if len(present) < len(values) or len({len(value) for value in present}) > 1 or len(images) > 1:
            return None
        mean: NDArray[np.float64] = np.mean(present, axis=0)
        return mean


def configurations(table: Table) -> list[Configuration]:
    """Fold the training seeds of a table.

    Args:
        table: The table; a mean over n seeds is followed by the lines of its n runs.

    Returns:
        One configuration per mean or single run, in the order of the table.
    """
    lines = table.lines
    return [
        Configuration(line, lines[place + 1 :][: line.n_seeds] if line.n_seeds > 1 else [line])
        for place, line in enumerate(lines)
        if not line.in_mean
    ]


def identifiers(labels: Iterable[Mapping[str, str]]) -> list[str]:
    """Make one short identifier per row, for links to it.

    An identifier depends on the texts of its row alone, so that a link still works after other results were
    added. Rows with equal texts are numbered.

    Args:
        labels: The texts of each row; the first two are the readable part of the identifier.

    Returns:
        Identifiers of letters, digits and hyphens.
    """
    seen: dict[str, int] = {}
    result = []
    for label in labels:
        digest = sha256("\n".join(label.values()).encode()).hexdigest()[:8]
        identifier = "-".join([*map(_slug, list(label.values())[:2]), digest]).strip("-")
        seen[identifier] = seen.get(identifier, 0) + 1
        result.append(identifier if seen[identifier] == 1 else f"{identifier}-{seen[identifier]}")
    return result


def _slug(text: str) -> str:
    """Keep letters and digits of at most 30 characters of a text, joined by hyphens."""
    plain = "".join(c if c.isascii() and c.isalnum() else " " for c in text[:30].lower())
    return "-".join(plain.split()) or "row"
