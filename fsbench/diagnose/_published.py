"""Published numbers beside those of a section, with their sources in `published.csv`."""

import csv
from pathlib import Path

from fsbench.diagnose._section import TextTable


def published(section: str) -> TextTable | None:
    """Return the published numbers of a section, one column per method; None if there are none."""
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.pop("section") == section]
    if not rows:
        return None
    columns = [column for column in rows[0] if any(row[column] for row in rows)]
    return TextTable(tuple(columns), tuple(tuple(row[column] or "-" for column in columns) for row in rows))
