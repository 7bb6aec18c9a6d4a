"""The tables as Markdown, a section each."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from tabulate import tabulate

from fsbench.leaderboard.published import Quotation
from fsbench.leaderboard.rows import Protocol
from fsbench.leaderboard.tables import NAMED, Cell, Line, Spread, Table
from fsbench.leaderboard.wording import QUOTED, lead

ALIGN = {"epochs": "right", "train seed": "right"}  # of the columns before the protocols, else left


def sections(tables: Sequence[Table], link_prefix: str = "") -> str:
    """A section of level 3 for each table: heading, what its numbers are, table, notes.

    Recipes link to the folders of their results; `link_prefix` leads from the page to the results folder,
    such as "results/".
    """
    parts = [part for table in tables for part in _section(table, link_prefix)]
    return "\n\n".join(parts or ["There are no results yet."]) + "\n"


def quoted(quotations: Sequence[Quotation]) -> str:
    """A section of level 3 with the published numbers; empty when there are none."""
    if not quotations:
        return ""
    parts = ["### Published, not measured here", QUOTED]
    for quotation in quotations:
        heads = ["backbone", "method", *map(_column, quotation.columns), "read at"]
        align = ["left", "left", *["right"] * len(quotation.columns), "left"]
        cells = [
            [
                escape(row.backbone or "-"),
                escape(f"{row.method} {row.marks}".rstrip()),
                *(row.accuracies.get(protocol, "-") for protocol in quotation.columns),
                escape(row.where),
            ]
            for row in quotation.rows
        ]
        parts += [f"#### {escape(quotation.heading)}", _markdown(cells, heads, align)]
    return "\n" + "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line; underscores inside a word need no escape."""
    return re.sub(r"[\\`*|<>\[\]~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.split()))


def _section(table: Table, link_prefix: str) -> list[str]:
    heads = [*NAMED, *map(_column, table.columns)]
    cells = [_cells(table, line, link_prefix) for line in table.lines]
    align = [ALIGN.get(name, "left") for name in NAMED] + ["right"] * len(table.columns)
    parts = [
        f"### {escape(table.heading)}",
        escape(lead(table.results)),
        _markdown(cells, heads, align),
        table.legend,
    ]
    return [part for part in parts if part]


def _markdown(cells: Sequence[Sequence[str]], heads: Sequence[str], align: Sequence[str]) -> str:
    return tabulate(cells, heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def _column(protocol: Protocol) -> str:
    return "{}-way {}-shot".format(*protocol)


def _cells(table: Table, line: Line, link_prefix: str) -> list[str]:
    named = {name: escape(text) for name, text in line.named.items()}
    if line.n_seeds == 1:
        folder = quote(f"{link_prefix}{line.tried.path.parent.as_posix()}/")
        named["recipe"] = f"[{named['recipe']}]({folder})"
    if line.changes:
        named["recipe"] += f", {escape(line.changes)}"
    return [*named.values(), *(_accuracy(table, line.cells.get(protocol)) for protocol in table.columns)]


def _accuracy(table: Table, cell: Cell | Spread | None) -> str:
    if cell is None:
        return "-"
    text = table.text(cell)
    return f"**{text}**" if cell.best else text
