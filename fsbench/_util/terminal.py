"""Tables as text: on a terminal they fit its width and have bold headings, elsewhere they are plain."""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def console(stream: TextIO) -> "Console":
    """Create the console of a stream: with colours and the width of a terminal, elsewhere plain and wide."""
    from rich.console import Console

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"  # no-color.org
    width = None if stream.isatty() else 10_000
    return Console(file=stream, color_system=colours, width=width, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> "Table":
    """Make a table without lines; cells may contain markup, columns named in `right` are right-aligned."""
    from rich.table import Table

    result = Table(box=None, pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        result.add_row(*map(str, row))
    return result


def escaped(text: str) -> str:
    """Escape brackets, which would be markup."""
    from rich.markup import escape

    return escape(text)


def as_text(part: "str | Text | Table", stream: TextIO | None = None) -> str:
    """Format a part of an answer as text for a stream; None: plain text."""
    if isinstance(part, str):
        return part
    out = console(stream or io.StringIO())
    with out.capture() as captured:
        out.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
