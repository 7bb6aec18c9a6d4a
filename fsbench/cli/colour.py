"""Colour where a person looks: on a terminal, and not where NO_COLOR is set (no-color.org)."""

import os
from typing import Literal, TextIO

_CODES = {"bold": 1, "red": 31, "green": 32, "yellow": 33}


def paint(text: str, colour: Literal["bold", "red", "green", "yellow"], stream: TextIO) -> str:
    """The text in a colour, or as it is where `stream` goes to no terminal or to one without colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
