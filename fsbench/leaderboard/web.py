"""The tables as one static page that asks the network for nothing: `page.html`, filled."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fsbench.leaderboard.compare import LEVEL
from fsbench.leaderboard.published import Published, Quotation
from fsbench.leaderboard.rows import Protocol
from fsbench.leaderboard.tables import NAMED, Cell, Line, Spread, Table
from fsbench.leaderboard.wording import QUOTED, lead

UNITS = 10_000  # p-values are sent as whole ten-thousandths


def page(tables: Sequence[Table], quotations: Sequence[Quotation]) -> str:
    """The whole page; its links are relative to the results folder, in which it lies."""
    data = {
        "level": round(LEVEL * UNITS),
        "quoted": QUOTED,
        "tables": [*map(_table, tables), *map(_quotation, quotations)],
    }
    style, script = _part("page.css"), _part("page.js")
    filled = {
        "style": style,
        "style-hash": _hash(style),
        "script": script,
        "script-hash": _hash(script),
        "data": _for_script(data),
    }
    return re.sub(r"{{([a-z-]+)}}", lambda found: filled[found[1]], _part("page.html"))


def _table(table: Table) -> dict[str, Any]:
    return {
        "heading": table.heading,
        "published": False,
        "dataset": table.results[0].dataset,
        "lead": lead(table.results),
        "notes": table.legend,
        "named": NAMED,
        "columns": table.columns,
        "rows": [_row(table, line) for line in table.lines],
        "p": [_triangle(p) for p in table.p.values()],
    }


def _row(table: Table, line: Line) -> dict[str, Any]:
    named = line.named
    words = (named["recipe"], line.changes, named["head"], line.tried.backbone, _seed(line))
    return {
        "named": list(named.values()),
        "changes": line.changes,
        "label": ", ".join(filter(None, words)),
        "href": quote(f"{line.tried.path.parent.as_posix()}/") if line.n_seeds == 1 else None,
        "recipe": line.tried.recipe,
        "kind": _kind(line.tried.transductive),
        "memory": False,
        "cells": [_cell(table, line.cells.get(column)) for column in table.columns],
    }


def _cell(table: Table, cell: Cell | Spread | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    if isinstance(cell, Spread):
        return {"text": table.text(cell), "mean": round(100 * cell.mean, 4)}
    classes = cell.result.class_half_width
    return {
        "text": table.text(cell),
        "mean": round(100 * cell.result.accuracy, 4),
        "half": round(100 * cell.half_width, 4),
        "tasks": cell.result.n_tasks,
        "classes": None if classes is None else f"{100 * classes:.2f}",
        "rank": cell.rank,
        "best": cell.best,
        "href": quote(cell.result.path.as_posix()),
    }


def _quotation(quotation: Quotation) -> dict[str, Any]:
    return {
        "heading": quotation.heading,
        "published": True,
        "dataset": quotation.dataset,
        "named": ["backbone", "method", "read at"],
        "columns": quotation.columns,
        "rows": [_quoted(row, quotation.columns) for row in quotation.rows],
    }


def _quoted(row: Published, columns: Sequence[Protocol]) -> dict[str, Any]:
    texts = [row.accuracies.get(column) for column in columns]
    return {
        "named": [row.backbone or "-", f"{row.method} {row.marks}".rstrip(), row.where],
        "changes": "",
        "label": "",
        "recipe": row.recipe,
        "kind": _kind("†" in row.marks),
        "memory": not row.read,
        "cells": [text and {"text": text, "mean": float(text.split()[0])} for text in texts],
    }


def _triangle(p: NDArray[np.float64]) -> list[int]:
    """The lower triangle row by row, rounded down so that a p below the level stays below it.

    The summand keeps a p of exactly 1 from falling to 9999 where sums are ordered in another way.
    """
    lower = np.tril_indices(len(p), -1)
    return [int(unit) for unit in np.floor(p[lower] * UNITS + 1e-6)]


def _seed(line: Line) -> str:
    seed = line.named["train seed"]
    return seed if line.n_seeds > 1 else f"seed {seed}" if seed != "-" else ""


def _kind(transductive: bool) -> str:
    return "transductive" if transductive else "inductive"


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's content security policy admits a style or script by."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _for_script(data: Any) -> str:
    """JSON that can end neither a script element nor a line of it, whatever the names in it are."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
