"""Tables as text: on a terminal they fit its width and have bold headings, elsewhere they are plain."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text


_PART = re.compile(r"[-_ ]|[^-_ ]+")  # of a name
_BREAK = re.compile(r"(?<=\w\w-)(?=\S)|(?<=\s)(?=\S)|(?<=\w[._])(?=[a-z])")  # after a word of a name
_SHARED = 12  # characters that names must share to be shortened


def console(stream: TextIO, width: int = 10_000) -> "Console":
    """Create the console of a stream: with colours and the width of a terminal, elsewhere plain.

    Args:
        stream: Where it prints.
        width: Characters per line if the stream is not a terminal.
    """
    from rich.console import Console

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"  # no-color.org
    columns = None if stream.isatty() else width
    return Console(file=stream, color_system=colours, width=columns, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> "Table":
    """Make a table without lines; cells may contain markup, columns named in `right` are right-aligned."""
    from rich.table import Table

    result = Table(box=None, pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        result.add_row(*(_Cell(str(cell)) for cell in row))
    return result


@dataclass(frozen=True)
class _Cell:
    """Markup that is broken between the words of a name; rich breaks words at any character."""

    markup: str

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        text = console.render_str(self.markup)
        yield text if options.no_wrap or "\n" in text.plain else _broken(text, options.max_width)

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        return console.measure(console.render_str(self.markup), options=options)


def _broken(text: "Text", width: int) -> "Text":
    """Break a text into lines of at most `width` characters, if its words are not longer."""
    from rich.cells import cell_len
    from rich.text import Text

    ends = [*(match.start() for match in _BREAK.finditer(text.plain)), len(text)]
    start, breaks = 0, []
    for end, following in pairwise(ends):
        if cell_len(text.plain[start:following].rstrip()) > width:
            breaks.append(end)
            start = end
    lines = text.divide(breaks)
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def escaped(text: str) -> str:
    """Escape brackets, which would be markup."""
    from rich.markup import escape

    return escape(text)


def shortened(names: Sequence[str]) -> tuple[list[str], str]:
    """Replace the longest sequence of words that all names share by "…".

    Args:
        names: Names, whose words are separated by "-", "_" or spaces.

    Returns:
        The short names, and what "…" stands for; the names as they are and "" if they share little, or if
        short names would be equal.

    Example:
        >>> shortened(["erm-fast-conv4-32px-s0", "mixup-fast-conv4-32px-s1"])
        (['erm-…-s0', 'mixup-…-s1'], 'fast-conv4-32px')
    """
    parts = _PART.findall(min(names, key=len, default=""))
    words = range(0, len(parts), 2)
    runs = ["".join(parts[first : last + 1]) for first in words for last in words if first <= last]
    for run in sorted(runs, key=len, reverse=True):
        whole_words = re.compile(rf"(?<![^-_ ]){re.escape(run)}(?![^-_ ])")
        if len(run) < _SHARED or len(set(names)) < 2:
            break
        short = [whole_words.sub("…", name, count=1) for name in names]
        if all("…" in name != "…" for name in short) and len(set(short)) == len(set(names)):
            return short, run
    return list(names), ""


def as_text(part: "str | Text | Table | Group", stream: TextIO | None = None, width: int = 10_000) -> str:
    """Format a part of an answer as text for a stream; None: plain text. Else as of `console`."""
    if isinstance(part, str):
        return part
    out = console(stream or io.StringIO(), width)
    with out.capture() as captured:
        out.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
