"""The tables as Markdown, one section per table."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tabulate import tabulate

from fsbench.report.leaderboard.published import Parts, Quotation
from fsbench.report.leaderboard.rows import Protocol
from fsbench.report.leaderboard.tables import NAMED, Cell, Line, Spread, Table
from fsbench.report.leaderboard.wording import ALL_PUBLISHED, QUOTED, lead

ALIGN = {"epochs": "right", "train seed": "right"}  # other columns before the protocols are aligned left


def sections(
    tables: Sequence[Table], link_prefix: str = "", beside: Mapping[str, Quotation] | None = None
) -> str:
    """Write one section (heading of level 3) per table: heading, description, table, notes.

    Args:
        tables: The tables.
        link_prefix: Path from the page to the results folder, such as `results/`, for links to results.
        beside: Published rows by the heading of the table below which they appear, as a block quotation;
            None for a page without published rows.

    Returns:
        The text of the page.
    """
    parts, addresses = [], _Addresses()
    for table in tables:
        parts += _section(table, link_prefix)
        if beside and (quotation := beside.get(table.heading)):
            title = f"#### Published, not measured here: {escape(quotation.heading)}"
            quoted = [title, QUOTED, _published(quotation, addresses)]
            parts.append("\n".join(f"> {line}".rstrip() for line in "\n\n".join(quoted).splitlines()))
    parts = parts or ["There are no results yet."]
    if beside is not None:
        parts += ["### Published numbers", ALL_PUBLISHED.format(link_prefix)]
    return "\n\n".join([*parts, *addresses.definitions]) + "\n"


def published(quotations: Sequence[Quotation]) -> str:
    """Write a page of published rows: their sources, then one section (heading of level 2) per table."""
    addresses = _Addresses()
    counts = Counter(row.source for quotation in quotations for row in quotation.rows)
    sources = [
        f"* {addresses.link(source.name, source.url)}: {n} row{'s' * (n > 1)}"
        + (source.note and f", {source.note}")
        for source, n in counts.most_common()
    ]
    parts = ["# Published numbers, not measured here", QUOTED, "Sources:", "\n".join(sources)]
    for quotation in quotations:
        parts += [f"## {escape(quotation.heading)}", _published(quotation, addresses)]
    return "\n\n".join([*parts, *addresses.definitions]) + "\n"


class _Addresses:
    """Link addresses of a page, each written once at its end."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def link(self, text: str, url: str) -> str:
        """Return the text as a link, or without one if there is no address."""
        label = self._labels.setdefault(url, f"p{len(self._labels) + 1}") if url else ""
        return f"[{escape(text)}][{label}]" if label else escape(text)

    @property
    def definitions(self) -> list[str]:
        """One block of Markdown with all addresses, or no block."""
        return ["\n".join(f"[{label}]: {url}" for url, label in self._labels.items())] if self._labels else []


def escape(text: str) -> str:
    """Escape text for Markdown, on one line; underscores inside a word need no escape."""
    return re.sub(r"[\\`*|<>\[\]~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.split()))


def _section(table: Table, link_prefix: str) -> list[str]:
    """Write heading, description, table and notes of one table."""
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


def _published(quotation: Quotation, addresses: _Addresses) -> str:
    """Write a table of published rows."""

    def text(parts: Parts) -> str:
        return ", ".join(addresses.link(*part) for part in parts) or "-"

    *before, last = quotation.named  # the source is the last column
    heads = [*before, *map(_column, quotation.columns), last]
    align = [*["left"] * len(before), *["right"] * len(quotation.columns), "left"]
    cells = [
        [
            *(text(row.named[name]) for name in before),
            *(row.accuracies.get(protocol, "-") for protocol in quotation.columns),
            text(row.named[last]),
        ]
        for row in quotation.rows
    ]
    return _markdown(cells, heads, align)


def _markdown(cells: Sequence[Sequence[str]], heads: Sequence[str], align: Sequence[str]) -> str:
    return tabulate(cells, heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def _column(protocol: Protocol) -> str:
    return "{}-way {}-shot".format(*protocol)


def _cells(table: Table, line: Line, link_prefix: str) -> list[str]:
    """Format one line as the cells of a row."""
    named = {name: escape(text) for name, text in line.named.items()}
    if line.n_seeds == 1:
        folder = quote(f"{link_prefix}{line.result.path.parent.as_posix()}/")
        named["recipe"] = f"[{named['recipe']}]({folder})"
    if line.changes:
        named["recipe"] += f", {escape(line.changes)}"
    accuracies = (_accuracy(table, line.cells.get(protocol)) for protocol in table.columns)
    return [*named.values(), *accuracies]


def _accuracy(table: Table, cell: Cell | Spread | None) -> str:
    """Format the accuracy of a cell, in bold if it is among the best."""
    if cell is None:
        return "-"
    text = table.text(cell)
    return f"**{text}**" if cell.best else text
