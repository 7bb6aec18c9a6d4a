"""Text in whatever script on images: each character in the first installed font that has it."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont, features

Font = ImageFont.FreeTypeFont
Fits = Callable[[str], bool]
NO_GLYPH = "\N{WHITE SQUARE}"  # in the place of a character that no font here has


def readable(text: str) -> bool:
    """Whether fonts here have all characters of a text."""
    return all(_file_of(character) is not None for character in text)


def width_of(text: str, size: int) -> float:
    """How wide a text is, in pixels."""
    return sum(_length(font, run) for font, run in _runs(text, size))


def write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: str) -> None:
    """Write a line of text from `at` on, the left end of its base line, `size` pixels high."""
    x, y = at
    for font, run in _runs(text, size):
        draw.text((x, y), run, colour, font, anchor="ls", direction=_direction())
        x += _length(font, run)


@cache
def cut(text: str, width: float, size: int) -> str:
    """The text, or as much of both its ends as fits into a width in pixels: names often differ in the end."""
    short = text
    for kept in range(len(text) - 1, -1, -1):
        if width_of(short, size) <= width:
            break
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return short


def wrap(text: str, width: float, size: int) -> list[str]:
    """The text in lines of a width in pixels: broken at spaces, or anywhere in a word that is longer."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".lstrip()
        if width_of(joined, size) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for character in word:
            if width_of(lines[-1] + character, size) > width:
                lines.append("")
            lines[-1] += character
    return [line for line in lines if line]


def _runs(text: str, size: int) -> Iterator[tuple[Font, str]]:
    """Parts of a text that one font writes; shaping and direction are right within each."""
    known = "".join(character if _file_of(character) else NO_GLYPH for character in text)
    for path, run in groupby(known, _file_of):
        assert path is not None
        yield _font(path, size), "".join(run)


def _length(font: Font, run: str) -> float:
    return font.getlength(run, direction=_direction())


@cache
def _direction() -> str | None:
    """Lines run from left to right, whatever is in them, where Pillow has the library that can do so."""
    return "ltr" if features.check("raqm") else None


@cache
def _file_of(character: str) -> Path | None:
    """The first font file that has a character."""
    return next((path for path in _files() if _has(path, character)), None)


@cache
def _files() -> tuple[Path, ...]:
    """Font files: DejaVu Sans, which Matplotlib brings, then upright ones of normal weight, then others."""
    own = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    others = sorted(fontManager.ttflist, key=_oddness)
    return (own, *(Path(entry.fname) for entry in others if not entry.name.startswith("Last Resort")))


def _oddness(entry: FontEntry) -> tuple[bool, bool, str]:
    return entry.style != "normal", entry.weight not in (400, "normal", "regular"), entry.fname


@cache
def _has(path: Path, character: str) -> bool:
    opened = _opened(path)
    return opened is not None and opened.get_char_index(ord(character)) != 0


@cache
def _opened(path: Path) -> FT2Font | None:
    """The font's table of characters; None of a file that is gone, or of pictures in one size."""
    try:
        _font(path, 12)
        return FT2Font(str(path))
    except (OSError, RuntimeError):
        return None


@cache
def _font(path: Path, size: int) -> Font:
    return ImageFont.truetype(str(path), size)
