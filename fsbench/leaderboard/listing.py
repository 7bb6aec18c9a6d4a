"""Every result on one line of a CSV file, for a spreadsheet or a data frame."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from io import StringIO
from typing import Any

from fsbench.leaderboard.tables import Cell, Table
from fsbench.results import Result

OUTCOME = ("accuracy", "half_width", "correct", "queries", "versions")  # what has no column as it is
KEYS = tuple(field.name for field in fields(Result) if field.name not in OUTCOME)


def listing(tables: Sequence[Table]) -> str:
    """A line a result, in the order of the tables: file, accuracy and 95 % half width in %, then all keys."""
    text = StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["file", "accuracy_percent", "half_width_percent", *KEYS])
    for table in tables:
        for cell in (cell for line in table.lines for cell in line.cells.values() if isinstance(cell, Cell)):
            percent = f"{100 * cell.result.accuracy:.4f}", f"{100 * cell.half_width:.4f}"
            write(
                [cell.result.path.as_posix(), *percent, *(_text(getattr(cell.result, key)) for key in KEYS)]
            )
    return text.getvalue()


def _text(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, tuple) else value
