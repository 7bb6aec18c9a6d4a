"""Tables for people: they fit on a terminal, with bold headings; elsewhere they are plain, of any width."""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def console(stream: TextIO) -> "Console":
    """Output to a stream: colours and tables that fit on a terminal, plain and wide enough elsewhere."""
    from rich.console import Console

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"  # no-color.org
    width = None if stream.isatty() else 10_000
    return Console(file=stream, color_system=colours, width=width, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> "Table":
    """A table without lines; cells may have markup, the columns named in `right` are aligned to the right."""
    from rich.table import Table

    result = Table(box=None, pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        result.add_row(*map(str, row))
    return result


def escaped(text: str) -> str:
    """Text whose brackets are not markup."""
    from rich.markup import escape

    return escape(text)


def as_text(part: "str | Text | Table", stream: TextIO | None = None) -> str:
    """A part of an answer as text for a stream; None: plain text."""
    if isinstance(part, str):
        return part
    out = console(stream or io.StringIO())
    with out.capture() as captured:
        out.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
