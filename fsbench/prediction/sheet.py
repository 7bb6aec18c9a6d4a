"""A contact sheet: one HTML page with the support images and the query images of each predicted class."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench._util.files import write_text
from fsbench._util.html import data_uri, render
from fsbench.data.decode import thumbnails
from fsbench.prediction.outcome import NONE, Prediction
from fsbench.prediction.sentences import choices, count, estimate, meaning

SIDE = 128  # pixels of a thumbnail
MOST, FEWEST = 1000, 8  # largest number of query images on a page; smallest limit per class


def check_name(path: Path) -> None:
    """Refuse a file name without the suffix of an HTML page, before any image is read."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise FsbenchError(f"--sheet {path}: must end in .html, since contact sheets are HTML pages")


def write_sheet(prediction: Prediction, support: Path, query: Path, path: Path) -> None:
    """Write a contact sheet as one self-contained HTML page, whole or not at all.

    The accuracy to expect comes first. Query images are grouped by predicted class, below the support images
    of the class: first those that are not sure, with two choices and the least confident first, then those
    that are sure. Images that match none of the classes are a group of their own. Images in the folder of
    another class are marked. A page shows at most 1000 query images, with the same limit for each class.

    Args:
        prediction: The prediction.
        support: The support folder that the prediction was made from.
        query: The query folder that the prediction was made from.
        path: The page to write, whose name ends in `.html`.

    Raises:
        FsbenchError: The name has another ending, an image can no longer be read, or the file cannot be
            written.
    """
    check_name(path)
    write_text(path, _page(prediction, support, query))


@dataclass(frozen=True)
class _Tile:
    """One image on the page; a support image has only a file name."""

    path: Path
    file: str
    choices: tuple[str, ...] = ()  # the first one, and the second one unless the image is sure
    actual: str | None = None  # class of the folder, if it differs from the predicted class


@dataclass(frozen=True)
class _Tiles:
    """Images under a heading."""

    heading: str
    tiles: tuple[_Tile, ...]
    kind: str = ""  # class in the style sheet


@dataclass(frozen=True)
class _Group:
    """One class of the page, or the images that match none."""

    name: str
    query_text: str
    parts: tuple[_Tiles, ...]


def _page(prediction: Prediction, support: Path, query: Path) -> str:
    """Return the contact sheet as HTML."""
    most = max(FEWEST, MOST // len(prediction.class_names))
    groups = []
    for class_row, (name, files) in enumerate(prediction.support.items()):
        shown = tuple(_Tile(support / name / file, file) for file in files[:most])
        heading = _number(len(files), "labelled image", most, f"the first {most}")
        groups.append(_group(prediction, query, class_row, most, (_Tiles(heading, shown, "support"),)))
    if prediction.rejection is not None:
        groups.append(_group(prediction, query, -1, most, ()))
    paths = [tile.path for group in groups for part in group.parts for tile in part.tiles]
    return render(
        Path(__file__).with_name("sheet.html"),
        title=f"{count(len(prediction.images), 'image')}, {len(prediction.shots)} classes",
        prediction=prediction,
        estimate=estimate(prediction),
        meaning=meaning(prediction),
        groups=groups,
        addresses=dict(zip(paths, map(_address, thumbnails(paths, SIDE)), strict=True)),
    )


def _group(
    prediction: Prediction, query: Path, class_row: int, most: int, parts: tuple[_Tiles, ...]
) -> _Group:
    """Return the query images that were answered with a class (-1: none), the doubtful ones first."""
    rows = np.flatnonzero(prediction.predicted == class_row)
    rows = rows[np.argsort(prediction.confidence[rows], kind="stable")]
    query_text = _number(len(rows), "image", most, f"the {most} least confident")
    sure = np.zeros(len(rows), dtype=bool) if prediction.sure is None else prediction.sure[rows]
    for heading, kind, members in (
        ("please check", "unsure", rows[:most][~sure[:most]]),
        ("sure", "", rows[:most][sure[:most]]),
    ):
        tiles = tuple(_tile(prediction, query, row) for row in members.tolist())
        if class_row < 0 or prediction.sure is None:
            heading, kind = "", ""  # there is no difference to point out
        if tiles:
            parts = (*parts, _Tiles(heading and f"{count(len(tiles), 'image')}, {heading}", tiles, kind))
    return _Group((*prediction.class_names, NONE)[class_row], query_text, parts)


def _tile(prediction: Prediction, query: Path, row: int) -> _Tile:
    """Return the tile of one query image."""
    names, actual, answer = prediction.class_names, prediction.actual[row], prediction.predicted[row]
    shown = choices(prediction, row)
    if answer < 0:
        shown = [f"most like {names[prediction.ranking[row, 0]]}"]
    elif prediction.sure is not None and prediction.sure[row]:
        shown = shown[:1]
    return _Tile(
        query / prediction.images[row],
        prediction.images[row],
        tuple(shown),
        actual=names[actual] if actual not in (-1, answer) else None,
    )


def _address(thumbnail: Image.Image) -> str:
    """Return a thumbnail as a data URI."""
    content = io.BytesIO()
    thumbnail.save(content, format="JPEG", quality=90)
    return data_uri(content.getvalue(), "image/jpeg")


def _number(number: int, noun: str, most: int, shown: str) -> str:
    """Format how many images a class has and, if there are too many, which ones the page shows."""
    return f"{count(number, noun)}; the page shows {shown}" if number > most else count(number, noun)
