"""The leaderboard as one static HTML page: the data that `page.js` builds the tables from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fsbench._util.html import render
from fsbench.report.leaderboard.published import Parts, Published, Quotation
from fsbench.report.leaderboard.tables import NAMED, Cell, Line, Spread, Table
from fsbench.report.leaderboard.wording import QUOTED, lead
from fsbench.stats.all_pairs import LEVEL, Compared

UNITS = 10_000  # p-values and differences are written as whole ten-thousandths


def page(tables: Sequence[Table], quotations: Sequence[Quotation]) -> str:
    """Return the page; its links are relative to the results folder."""
    data = {
        "level": round(LEVEL * UNITS),
        "quoted": QUOTED,
        "tables": [*map(_table, tables), *map(_quotation, quotations)],  # measured ones first
    }
    return render(Path(__file__).with_name("page.html"), data=data)


def _table(table: Table) -> dict[str, Any]:
    """Return one table of measured results."""
    return {
        "heading": table.heading,
        "published": False,
        "dataset": table.results[0].data.dataset,
        "lead": lead(table.results),
        "notes": table.legend,
        "named": NAMED,
        "columns": table.columns,
        "rows": [_row(table, line) for line in table.lines],
        "over": table.over,
        "checkpoints": [_pairs(compared) for compared in table.checkpoints.values()],
        "recipes": [_pairs(compared) for compared in table.recipes.values()],
    }


def _row(table: Table, line: Line) -> dict[str, Any]:
    """Return one row of measured results: a checkpoint, or a mean over training seeds."""
    named = line.named
    label = (named["recipe"], line.changes, named["head"], line.result.model.backbone, _seed(line))
    folder = quote(f"{line.result.path.parent.as_posix()}/") if line.n_seeds == 1 else ""
    return {
        "named": [_named([(text, folder if name == "recipe" else "")]) for name, text in named.items()],
        "backbone": named["backbone"],
        "changes": line.changes,
        "label": ", ".join(filter(None, label)),
        "recipe": line.result.model.recipe,
        "kind": "transductive" if line.result.head.transductive else "inductive",
        "memory": False,
        "cells": [_cell(table, line.cells.get(column)) for column in table.columns],
    }


def _cell(table: Table, cell: Cell | Spread | None) -> dict[str, Any] | None:
    """Return the accuracy of a row for one protocol."""
    if cell is None:
        return None
    shared = {"text": table.text(cell), "rank": cell.rank, "best": cell.best}
    if isinstance(cell, Spread):
        return {**shared, "mean": round(100 * cell.mean, 4), "kind": "recipes" if cell.compared else None}
    classes = cell.result.outcome.class_half_width
    return {
        **shared,
        "mean": round(100 * cell.result.outcome.accuracy, 4),
        "kind": "checkpoints",
        "half": round(100 * cell.half_width, 4),
        "tasks": cell.result.spec.n_tasks,
        "classes": None if classes is None else f"{100 * classes:.2f}",
        "href": quote(cell.result.path.as_posix()),
    }


def _quotation(quotation: Quotation) -> dict[str, Any]:
    """Return one table of published results."""
    return {
        "heading": quotation.heading,
        "published": True,
        "dataset": quotation.pair[1],
        "named": quotation.named,
        "columns": quotation.columns,
        "rows": [_quoted(row, quotation) for row in quotation.rows],
    }


def _quoted(row: Published, quotation: Quotation) -> dict[str, Any]:
    """Return one row of published results."""
    texts = [row.accuracies.get(column) for column in quotation.columns]
    return {
        "named": [_named(row.named[name]) for name in quotation.named],
        "backbone": row.backbone or "-",
        "changes": "",
        "label": "",
        "recipe": row.recipe,
        "kind": row.setting.partition(",")[0] or "not stated",
        "memory": row.source.from_memory,
        "cells": [text and {"text": text, "mean": float(text.split()[0])} for text in texts],
    }


def _named(parts: Parts) -> str | Parts:
    """Return pairs of text and address where there are links, else the text alone."""
    return parts if any(url for _, url in parts) else parts[0][0] if parts else "-"


def _pairs(compared: Compared) -> dict[str, list[int | None]]:
    """Return the lower triangles, row by row, of differences, half widths and p-values.

    P-values are rounded down, so that a value below the level stays below it. The added constant prevents
    that a p-value of 1 becomes 9999 because of rounding errors.
    """
    over = compared.pairs.over
    return {
        "difference": _triangle(np.round(UNITS * compared.pairs.difference)),
        "tasks": _triangle(np.round(UNITS * over["tasks"].half_width)),
        "classes": _triangle(np.round(UNITS * over["classes"].half_width)),
        "p": _triangle(np.floor(UNITS * compared.p + 1e-6)),
    }


def _triangle(whole: NDArray[np.float64]) -> list[int | None]:
    """Return the lower triangle row by row, with None for NaN."""
    lower = whole[np.tril_indices(len(whole), -1)]
    return [None if value != value else int(value) for value in lower.tolist()]


def _seed(line: Line) -> str:
    """Write the training seed, or how many seeds a mean is over."""
    seed = line.named["train seed"]
    return seed if line.n_seeds > 1 else f"seed {seed}" if seed != "-" else ""
