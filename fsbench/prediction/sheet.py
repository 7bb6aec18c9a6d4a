"""A contact sheet: the query images grouped by the class they are given, the least sure ones marked."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fsbench._util.errors import FsbenchError
from fsbench._util.files import atomic_write
from fsbench.data.decode import thumbnails
from fsbench.prediction.lettering import cut, readable, wrap, write
from fsbench.prediction.outcome import Prediction
from fsbench.prediction.text import meaning, percent

COLUMNS, SIDE, GAP, MARGIN = 8, 128, 14, 24  # thumbnails in a row; pixels
WIDTH = 2 * MARGIN + COLUMNS * (SIDE + GAP) - GAP
TITLE, PLAIN, SMALL = 22, 14, 12  # heights of text, pixels
LINE = 1.35  # from one base line to the next, in heights of text
CELL = SIDE + GAP + round(LINE * (PLAIN + 2 * SMALL)) + 4  # a thumbnail and three lines
MOST = 1000  # thumbnails, in equal parts for all classes, but a row at least
LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"  # else 1.png in a folder with an Arabic name would stand before it
BLACK, GREY, MARK, WRONG = "#1a1a1a", "#666666", "#d55e00", "#b2182b"


def check_name(path: Path) -> None:
    """Refuse another name than that of a PNG, before hours pass.

    Raises:
        FsbenchError: the suffix is another one.
    """
    if path.suffix.lower() != ".png":
        raise FsbenchError(f"--sheet {path}: must end in .png, but ends in {path.suffix or 'nothing'}")


def save(found: Prediction, query: Path, path: Path) -> None:
    """Write the contact sheet of the images in a query folder, whole or not at all.

    Raises:
        FsbenchError: an image cannot be read any more, or the file cannot be written.
    """
    image = sheet(found, query)
    with atomic_write(path) as part:
        image.save(part, format="PNG")


def sheet(found: Prediction, query: Path) -> Image.Image:
    """The contact sheet, WIDTH pixels wide."""
    names = [shown_as(name, row) for row, name in enumerate(found.class_names)]
    groups = [_rows_of(found, row) for row in range(len(names))]
    most = max(COLUMNS, MOST // len(names))
    head = _head(found)
    headings = [
        wrap(name if shown == name else f"{shown} ({name})", WIDTH - 2 * MARGIN, TITLE)
        for name, shown in zip(found.class_names, names, strict=True)
    ]
    heights = [
        _heading_height(lines) + CELL * -(-min(len(group), most) // COLUMNS)
        for lines, group in zip(headings, groups, strict=True)
    ]
    y = MARGIN + _lines_height(head[:1], TITLE) + _lines_height(head[1:], PLAIN) + GAP
    image = Image.new("RGB", (WIDTH, y + sum(heights) + MARGIN), "white")
    draw = ImageDraw.Draw(image)
    _write_lines(draw, MARGIN, head[:1], TITLE, BLACK)
    _write_lines(draw, MARGIN + _lines_height(head[:1], TITLE), head[1:], PLAIN, GREY)
    for lines, group, height in zip(headings, groups, heights, strict=True):
        draw.line((MARGIN, y, WIDTH - MARGIN, y), "#cccccc")
        _write_lines(draw, y + 4, lines, TITLE, BLACK)
        below = y + _lines_height(lines, TITLE)
        _write_lines(draw, below - 4, [_count(len(group), most)], PLAIN, GREY)
        _draw_group(image, found, query, names, group[:most], y + _heading_height(lines))
        y += height
    return image


def shown_as(name: str, row: int) -> str:
    """A class as the sheet names it: by its place where no font here has its characters."""
    return name if readable(name) else f"class {row + 1}"


def unwritable(found: Prediction) -> list[str]:
    """Classes whose names the sheet cannot show, a line each."""
    shown = {name: shown_as(name, row) for row, name in enumerate(found.class_names)}
    return [
        f"sheet: no font here has all characters of {name}, which it calls {short}; install one (Noto Sans)"
        for name, short in shown.items()
        if short != name
    ]


def _head(found: Prediction) -> list[str]:
    """Title, then what percentages and marks are."""
    marked = f"Orange and ?: the {len(found.least_sure)} least sure."
    if len(found.least_sure) == 1:
        marked = "Orange and ?: the least sure one."
    wrong = " Red: the folder names another class." if found.accuracy is not None else ""
    text = f"{meaning(found.head)} In each class the least sure image comes first. {marked}{wrong}"
    title = f"{len(found.images)} images, {len(found.class_names)} classes: {found.head} on {found.run}"
    return [cut(title, WIDTH - 2 * MARGIN, TITLE), *wrap(text, WIDTH - 2 * MARGIN, PLAIN)]


def _count(count: int, most: int) -> str:
    """How many images are given a class."""
    number = "no image" if count == 0 else "1 image" if count == 1 else f"{count} images"
    return f"{number}, the {most} least sure are shown" if count > most else number


def _rows_of(found: Prediction, class_row: int) -> NDArray[np.intp]:
    """The images that are given a class, the least sure first."""
    rows = np.flatnonzero(found.given == class_row)
    return rows[np.argsort(found.sureness[rows], kind="stable")]


def _draw_group(
    image: Image.Image, found: Prediction, query: Path, names: list[str], rows: NDArray[np.intp], top: int
) -> None:
    draw, unsure = ImageDraw.Draw(image), set(found.least_sure.tolist())
    pictures = thumbnails([query / found.images[row] for row in rows], SIDE)
    for place, (row, picture) in enumerate(zip(rows.tolist(), pictures, strict=True)):
        x, y = MARGIN + place % COLUMNS * (SIDE + GAP), top + place // COLUMNS * CELL
        corner = x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2
        image.paste(picture, corner)
        frame, thick = (MARK, 4) if row in unsure else ("#cccccc", 1)
        draw.rectangle((x - thick, y - thick, x + SIDE + thick - 1, y + SIDE + thick - 1), None, frame, thick)
        _caption(draw, (x, y + SIDE + 4), found, names, row, unsure=row in unsure)


def _caption(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    found: Prediction,
    names: list[str],
    row: int,
    *,
    unsure: bool,
) -> None:
    """Three lines: class and probability; the next one, or the actual one where it is another; the file."""
    (first, second), chances, actual = found.order[row, :2], found.probabilities[row], found.actual[row]
    lead = f"{'? ' if unsure else ''}{percent(chances[first])} {names[first]}"
    wrong = actual not in (-1, first)
    below = f"is {names[actual]}" if wrong else f"{percent(chances[second])} {names[second]}"
    x, y = corner
    for text, size, colour in (
        (lead, PLAIN, MARK if unsure else BLACK),
        (below, SMALL, WRONG if wrong else GREY),
        (found.images[row].replace("/", f"/{LEFT_TO_RIGHT}"), SMALL, GREY),
    ):
        y += round(LINE * size)
        write(draw, (x, y), cut(text, SIDE, size), size, colour)


def _write_lines(draw: ImageDraw.ImageDraw, top: int, lines: list[str], size: int, colour: str) -> None:
    for number, line in enumerate(lines, start=1):
        write(draw, (MARGIN, top + number * round(LINE * size)), line, size, colour)


def _heading_height(lines: list[str]) -> int:
    """Of the name of a class and the line below it."""
    return _lines_height(lines, TITLE) + _lines_height([""], PLAIN) + GAP


def _lines_height(lines: list[str], size: int) -> int:
    return len(lines) * round(LINE * size) + 8
