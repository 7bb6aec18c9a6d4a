"""Published numbers to hold a section against, read in their papers; `published.csv` holds them."""

import csv
from pathlib import Path

from fsbench.diagnose.section import Table


def published(section: str) -> Table | None:
    """The quoted rows of a section, a method a column; None when there are none."""
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line.pop("section") == section]
    if not lines:
        return None
    heads = [head for head in lines[0] if any(line[head] for line in lines)]
    return Table(tuple(heads), tuple(tuple(line[head] or "-" for head in heads) for line in lines))
