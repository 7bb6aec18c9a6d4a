"""Every result on one line of a CSV file, for a spreadsheet or a data frame."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from io import StringIO
from typing import Any

from fsbench._util.validation import escape_formula
from fsbench.evaluation.results import Result
from fsbench.report.leaderboard.tables import Cell, Table

MEASURED = ("accuracy", "half_width", "class_half_width")  # in the file as, for example, accuracy_percent
OTHERWISE = (*MEASURED, "class_values", "correct", "queries", "versions")
KEYS = tuple(field.name for field in fields(Result) if field.name not in OTHERWISE)


def listing(tables: Sequence[Table]) -> str:
    """A line a result, in the tables' order: file, accuracy and 95 % half widths in %, then all keys."""
    text = StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["file", *(f"{name}_percent" for name in MEASURED), *KEYS])
    for table in tables:
        for cell in (cell for line in table.lines for cell in line.cells.values() if isinstance(cell, Cell)):
            found = cell.result.accuracy, cell.half_width, cell.result.class_half_width
            percent = ["" if value is None else f"{100 * value:.4f}" for value in found]
            write(
                [
                    _text(cell.result.path.as_posix()),
                    *percent,
                    *(_text(getattr(cell.result, key)) for key in KEYS),
                ]
            )
    return text.getvalue()


def _text(value: Any) -> Any:
    text = "; ".join(value) if isinstance(value, tuple) else value
    return escape_formula(text) if isinstance(text, str) else text
