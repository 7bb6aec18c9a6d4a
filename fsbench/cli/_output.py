"""Output of commands: tables with colours on a terminal, without colours in a pipe, or JSON."""

import sys
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING

from fsbench._util.terminal import as_text, console, escaped
from fsbench.cli._options import Common

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text


def answer(common: Common, value: object, *parts: "str | Text | Table | Group", width: int = 10_000) -> None:
    """Print the result of a command: `value` with `--json`, otherwise tables and lines of text.

    `width` is the number of characters per line if stdout is not a terminal.
    """
    if common.json:
        print_json(value)
        return
    for part in parts:
        print(as_text(part, sys.stdout, width))


def print_json(value: object) -> None:
    """Print a value as JSON on one line: dataclasses as objects, NaN as null, unknown types as text."""
    import orjson

    def plain(other: object) -> object:
        return asdict(other) if is_dataclass(other) and not isinstance(other, type) else str(other)

    # By default, orjson would also print the cached properties of dataclasses.
    options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_NON_STR_KEYS
    print(orjson.dumps(value, default=plain, option=options).decode())


def print_error(message: str) -> None:
    """Print one line on stderr, marked as an error of fsbench; plain if there is no memory to import rich."""
    try:
        console(sys.stderr).print(f"[red]fsbench:[/] {escaped(message)}", soft_wrap=True)
    except (MemoryError, ImportError):  # ImportError: the system cannot map an extension module
        print(f"fsbench: {message}", file=sys.stderr)
