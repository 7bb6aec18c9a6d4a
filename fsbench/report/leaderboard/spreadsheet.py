"""The leaderboard as CSV, one line per result, for a spreadsheet or a data frame."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any

from fsbench._util.untrusted import escape_formula
from fsbench.evaluation.flat import as_row
from fsbench.report.leaderboard.tables import Cell, Table

FIRST_COLUMNS = "dataset,run,head,preprocess,n_way,n_shot,accuracy_percent,"  # mark the file as generated


def spreadsheet(tables: Sequence[Table]) -> str:
    """Write one line per result, in the order of the tables; columns are those of `as_row`."""
    cells = (cell for table in tables for line in table.lines for cell in line.cells.values())
    rows = [
        {**as_row(cell.result), "half_width_percent": 100 * cell.half_width}  # as the scores give it
        for cell in cells
        if isinstance(cell, Cell)
    ]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows([_text(name, value) for name, value in row.items()] for row in rows)
    return text.getvalue()


def _text(name: str, value: Any) -> Any:
    """Format a value: percentages to four decimals, and texts escaped so that no spreadsheet runs them."""
    if isinstance(value, float) and name.endswith("_percent"):
        return f"{value:.4f}"
    text = "; ".join(value) if isinstance(value, tuple) else value
    return escape_formula(text) if isinstance(text, str) else text
