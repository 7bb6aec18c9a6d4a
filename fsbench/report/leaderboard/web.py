"""The leaderboard as one static HTML page: the data from which the scripts in `page/` draw it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from fsbench._util import user_code
from fsbench._util.html import render
from fsbench.evaluation.flat import flatten
from fsbench.report.leaderboard import about
from fsbench.report.leaderboard.checkpoints import Committed
from fsbench.report.leaderboard.configurations import Accuracy, Configuration, configurations, identifiers
from fsbench.report.leaderboard.published import Quotation
from fsbench.report.leaderboard.rows import Protocol, family_key
from fsbench.report.leaderboard.tables import Cell, Line, Spread, Table
from fsbench.report.leaderboard.web_pairs import MOST_COMPARED, UNITS, pairs_data
from fsbench.report.leaderboard.web_published import quotation_data, source_list
from fsbench.report.leaderboard.wording import QUOTED, lead, recipe
from fsbench.stats.all_pairs import LEVEL

MOST_CLASSES = 100  # whose values the page contains


def page(
    tables: Sequence[Table],
    quotations: Sequence[Quotation],
    checkpoints: Mapping[str, Committed] | None = None,
) -> str:
    """Return the page; its links are relative to the results folder.

    Args:
        tables: The measured tables.
        quotations: The published tables.
        checkpoints: Checkpoints in the results folder by their SHA-256.

    Returns:
        The HTML text.
    """
    results = [result for table in tables for result in table.results]
    datasets = dict.fromkeys(result.data.dataset for result in results)
    why = {name: about.why_published_differ(name, tables, quotations) for name in datasets}
    used = {result.model.checkpoint for result in results}
    data = {
        "level": round(LEVEL * UNITS),
        "mostCompared": MOST_COMPARED,
        "quoted": QUOTED,
        "why": {name: text for name, text in why.items() if text},
        "papers": about.papers(results),
        "checkpoints": {
            digest: {"file": quote(committed.path.as_posix()), "curve": committed.curve}
            for digest, committed in (checkpoints or {}).items()
            if digest in used
        },
        "sources": source_list() if quotations else [],
        "tables": [*map(_table, tables), *map(quotation_data, quotations)],  # measured ones first
    }
    return render(
        Path(__file__).with_name("page.html"),
        data=data,
        citation=about.citation(results),
    )


def _table(table: Table) -> dict[str, Any]:
    """Return one table of measured results."""
    folded = configurations(table)
    labels = [_label(configuration) for configuration in folded]
    names = _names([configuration.line for configuration in folded])
    return {
        "heading": table.heading,
        "published": False,
        "dataset": table.results[0].data.dataset,
        "lead": lead(table.results),
        "notes": about.reading(table),
        "columns": table.columns,
        "rows": [
            _configuration(table, configuration, identifier, name)
            for configuration, identifier, name in zip(folded, identifiers(labels), names, strict=True)
        ],
        "over": table.over,
        "checkpoints": [pairs_data(compared) for compared in table.checkpoints.values()],
        "recipes": [pairs_data(compared) for compared in table.recipes.values()],
    }


def _label(configuration: Configuration) -> dict[str, str]:
    """Return the texts that identify a configuration, whatever seeds it has and whatever else is measured."""
    line = configuration.line
    family = flatten(family_key(line.result)).items()
    return {
        "recipe": recipe(line.result.model),
        "head": line.named["head"],
        # Without fields that are not set, a field that is added later changes no identifier.
        "family": repr(sorted((name, value) for name, value in family if value not in (None, {}))),
    }


def _names(lines: Sequence[Line]) -> list[str]:
    """Return the names of rows, without the digest of a weights file where they stay distinct."""
    full = [line.named["recipe"] for line in lines]
    short = {
        name: name.removesuffix(f"-{line.result.model.checkpoint:.8}")
        if line.result.model.checkpoint
        else name
        for name, line in zip(full, lines, strict=True)
    }
    uses = Counter(short.values())
    return [short[name] if uses[short[name]] == 1 else name for name in full]


def _configuration(table: Table, configuration: Configuration, identifier: str, name: str) -> dict[str, Any]:
    """Return one row of measured results; `cells` are means, and null for a single run."""
    line, runs = configuration.line, configuration.runs
    head, model = line.result.head, line.result.model
    accuracies = configuration.accuracies
    return {
        "id": identifier,
        "name": name,
        "changes": line.changes,
        "recipe": model.recipe or "",
        "backbone": line.named["backbone"],
        "epochs": line.named["epochs"],
        "head": head.name,
        "headText": line.named["head"],
        "setting": _setting(head.transductive, head.class_prior),
        "ownHead": user_code.is_reference(head.name),  # runs only if the command names it
        "repeatable": _is_repeatable(configuration),
        "cells": [_mean(accuracies.get(column)) for column in table.columns] if len(runs) > 1 else None,
        "classes": [_class_values(accuracies.get(column)) for column in table.columns],
        "runs": [_run(run, table.columns) for run in runs],
    }


def _setting(transductive: bool, class_prior: bool) -> str:
    """Describe what a head sees of the query images, as published rows do."""
    return ("transductive" if transductive else "inductive") + ", class counts given" * class_prior


def _is_repeatable(configuration: Configuration) -> bool:
    """Whether `fsbench reproduce` can repeat the training without its checkpoint."""
    model = configuration.line.result.model
    stated = None not in (model.recipe, model.preset, model.source, model.backbone, model.train_seed)
    return stated and not str(model.recipe).endswith(".py")


def _run(line: Line, columns: Sequence[Protocol]) -> dict[str, Any]:
    """Return one training seed of a configuration."""
    return {
        "seed": line.named["train seed"],
        "epochs": line.named["epochs"],
        "name": line.result.model.run,
        "checkpoint": line.result.model.checkpoint,
        "cells": [_cell(line, column) for column in columns],
    }


def _cell(line: Line, column: Protocol) -> dict[str, Any] | None:
    """Return the accuracy of a run for one protocol; numbers are in %."""
    cell = line.cells.get(column)
    if not isinstance(cell, Cell):
        return None
    outcome = cell.result.outcome
    return {
        "mean": _percent(outcome.accuracy),
        "tasks": _percent(cell.half_width),
        "classes": _percent(outcome.class_half_width),
        "rank": cell.rank,
        "best": cell.best,
        "n": cell.result.spec.n_tasks,
        "href": quote(cell.result.path.as_posix()),
    }


def _mean(accuracy: Accuracy | None) -> dict[str, Any] | None:
    """Return the mean accuracy over training seeds for one protocol; numbers are in %."""
    if accuracy is None:
        return None
    spread = accuracy.compared if isinstance(accuracy.compared, Spread) else None
    accuracies = accuracy.all_accuracies
    return {
        "mean": _percent(float(np.mean(accuracies))),
        "tasks": _percent(accuracy.over_tasks),
        "classes": _percent(accuracy.over_classes),
        "rank": spread and spread.rank,
        "best": bool(spread and spread.best),
        "compared": bool(spread and spread.compared),
        "n": accuracy.results[0].spec.n_tasks,
        "low": _percent(min(accuracies)),
        "high": _percent(max(accuracies)),
        "seeds": len(accuracies),
    }


def _class_values(accuracy: Accuracy | None) -> list[float] | None:
    """Return the value of each class in %; None also for more classes than a list can show."""
    values = None if accuracy is None else accuracy.class_values
    return (
        None
        if values is None or len(values) > MOST_CLASSES
        else [round(100 * value, 1) for value in values.tolist()]
    )


def _percent(value: float | None) -> float | None:
    """Return a share as a percentage; four decimals sort equal texts correctly."""
    return None if value is None else round(100 * value, 4)
