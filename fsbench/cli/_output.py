"""How commands print: tables and colours on a terminal, the same text without colours in a pipe, or JSON."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from fsbench.cli._options import Common

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def answer(common: Common, value: object, *parts: "str | Text | Table") -> None:
    """Print what a command found: the value with `--json`, else tables and lines for people."""
    if common.json:
        print_json(value)
        return
    for part in parts:
        if isinstance(part, str):
            print(part)
        else:
            out = console(sys.stdout)
            with out.capture() as captured:
                out.print(part)
            print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_json(value: object) -> None:
    """Print a value on one line: dataclasses as objects, NaN as null, anything unknown as text."""
    import orjson

    def plain(other: object) -> object:
        return asdict(other) if is_dataclass(other) and not isinstance(other, type) else str(other)

    # orjson by itself would also print what a dataclass has cached
    options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS
    print(orjson.dumps(value, default=plain, option=options).decode())


def print_error(message: str) -> None:
    """Print one line on stderr, marked as an error of fsbench."""
    console(sys.stderr).print(f"[red]fsbench:[/] {escaped(message)}", soft_wrap=True)


def console(stream: TextIO) -> "Console":
    """Output to a stream: colours and tables that fit on a terminal, plain and wide enough elsewhere."""
    from rich.console import Console

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"  # no-color.org
    width = None if stream.isatty() else 10_000
    return Console(file=stream, color_system=colours, width=width, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> "Table":
    """A table without lines; cells may have markup, the columns named in `right` are aligned to the right."""
    from rich.table import Table

    result = Table(box=None, pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def escaped(text: str) -> str:
    """Text whose brackets are not markup."""
    from rich.markup import escape

    return escape(text)
