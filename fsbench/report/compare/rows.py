"""The rows of a comparison: checkpoints, or recipes whose training seeds are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsbench._util.settings import in_words
from fsbench.evaluation.result import Result
from fsbench.report.grouping import distinguishing, group_by, without_digests
from fsbench.report.leaderboard.rows import family_key
from fsbench.report.leaderboard.wording import line_details, marks, or_dash
from fsbench.report.measured import of_result, of_seeds
from fsbench.stats.all_pairs import Measured

Group = Mapping[Path, Result]  # results of one question, by their files


@dataclass(frozen=True, eq=False)
class Row:
    """Results of one checkpoint and head, or of one recipe and head with several training seeds.

    Attributes:
        results: The results by their files, one per seed.
        measured: The accuracy that is compared; None: a recipe with too few seeds.
        label: Name that distinguishes the row from the other rows of its question.
    """

    results: Group
    measured: Measured | None
    label: str = ""

    @property
    def first(self) -> Result:
        """The first result; its question is that of all, apart from the seed."""
        return next(iter(self.results.values()))

    @property
    def accuracy(self) -> float:
        """Accuracy, 0 to 1; the mean over seeds."""
        return float(np.mean([result.outcome.accuracy for result in self.results.values()]))


def rows_of(group: Group, each_seed: bool) -> list[Row]:
    """Arrange the results of one question in rows, in the order of the results.

    Training seeds of a recipe are one row if two or more recipes have enough seeds to be compared, unless
    `each_seed` is set. Otherwise each result is a row.
    """
    if not each_seed:
        families = group_by(group, lambda path: family_key(group[path])).values()
        rows = [
            row
            for paths in families
            for row in _family({path: group[path] for path in paths})
        ]  # fmt: skip
        if sum(row.measured is not None for row in rows) >= 2:
            return rows
    return [Row({path: result}, of_result(result)) for path, result in group.items()]


def _family(results: Group) -> list[Row]:
    """Return one row for results of different seeds, otherwise one row per result; none is compared alone."""
    seeds = {result.model.train_seed for result in results.values()}
    if None in seeds or len(seeds) < len(results):
        return [Row({path: result}, None) for path, result in results.items()]
    return [Row(results, of_seeds(list(results.values())))]


def labels_of(rows: Sequence[Row], questions: Sequence[str]) -> list[str]:
    """Name each row by the details that distinguish it within its question, or else by its path."""
    folded = any(len(row.results) > 1 for row in rows)
    runs = without_digests([row.first.model.run for row in rows])
    details = [
        _recipe_details(row.first, run) if folded else _details(row.first, run)
        for row, run in zip(rows, runs, strict=True)
    ]
    labels = [" ".join(texts) for texts in distinguishing(questions, details)]
    if len(set(zip(questions, labels, strict=True))) == len(rows):
        return labels
    return [str(next(iter(row.results))) for row in rows]


def _details(result: Result, run: str) -> dict[str, str]:
    """Return texts that can distinguish single results, the most informative first."""
    model = result.model
    return {
        "run": run,
        "head": _head(result),
        "preprocess": f"({result.head.preprocess})",
        "train_seed": f"train seed {_text(model.train_seed)}",
        "seed": f"task seed {result.spec.seed}",
        "n_tasks": f"{result.spec.n_tasks:,} tasks",
        "epoch": f"epoch {_text(model.epoch)}",
        "stored_size": f"stored at {_text(result.data.stored_size)} px",
        "checkpoint": f"checkpoint {_text(model.checkpoint):.8}",
        "feature_digest": f"features {result.data.feature_digest:.8}",
    }


def _recipe_details(result: Result, run: str) -> dict[str, str]:
    """Return texts that can distinguish recipes, the most informative first."""
    model = result.model
    first = {
        "recipe": model.recipe or run,
        "head": _head(result),
        "preprocess": f"({result.head.preprocess})",
        "preset": or_dash(model.preset),
        "backbone": or_dash(model.backbone),
        "epochs": f"{or_dash(model.epochs)} epochs",
        "per_class": f"{or_dash(model.per_class)} images per class",
        "overrides": or_dash(model.overrides),
    }
    return {**first, **{name: text for name, text in line_details(result).items() if name not in first}}


def _head(result: Result) -> str:
    """Name the head of a result, with its marks and the settings that differ from their defaults."""
    settings = f"({', '.join(in_words(result.head.settings))})" if result.head.settings else ""
    return " ".join(filter(None, [result.head.name, marks(result), settings]))


def _text(value: object) -> str:
    return "unknown" if value is None else str(value)
