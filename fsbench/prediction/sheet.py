"""A contact sheet: one HTML page with the support images and the query images of each predicted class."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench._util.files import write_text
from fsbench._util.html import data_uri, render
from fsbench.data.decode import thumbnails
from fsbench.prediction.outcome import Prediction
from fsbench.prediction.text import count, meaning, percent

SIDE = 128  # pixels of a thumbnail
MOST, FEWEST = 1000, 8  # largest number of query images on a page; smallest limit per class


def check_name(path: Path) -> None:
    """Refuse a file name without the suffix of an HTML page, before any image is read."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise FsbenchError(f"--sheet {path}: must end in .html, since contact sheets are HTML pages")


def write_sheet(prediction: Prediction, support: Path, query: Path, path: Path) -> None:
    """Write a contact sheet as one self-contained HTML page, whole or not at all.

    Query images are grouped by predicted class, the least confident first, below the support images of the
    class. The least confident tenth of all images is marked, as are images in the folder of another class. A
    page shows at most 1000 query images, with the same limit for each class.

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
    likely: tuple[tuple[str, str], ...] = ()  # probability and name of the two most likely classes
    uncertain: bool = False  # among the least confident tenth
    actual: str | None = None  # class of the folder, if it differs from the predicted class


def _page(prediction: Prediction, support: Path, query: Path) -> str:
    """Return the contact sheet as HTML."""
    most = max(FEWEST, MOST // len(prediction.class_names))
    groups: list[dict[str, Any]] = []
    for class_row, (name, files) in enumerate(prediction.support.items()):
        rows = np.flatnonzero(prediction.predicted == class_row)
        rows = rows[np.argsort(prediction.confidence[rows], kind="stable")]
        groups.append(
            {
                "name": name,
                "support": [_Tile(support / name / file, file) for file in files[:most]],
                "support_text": _number(len(files), "support image", most, f"the first {most}"),
                "query": [_tile(prediction, query, row) for row in rows[:most].tolist()],
                "query_text": _number(len(rows), "query image", most, f"the {most} least confident"),
            }
        )
    paths = [tile.path for group in groups for tile in (*group["support"], *group["query"])]
    return render(
        Path(__file__).with_name("sheet.html"),
        title=f"{count(len(prediction.images), 'image')}, {len(groups)} classes",
        prediction=prediction,
        meaning=meaning(prediction.head),
        groups=groups,
        addresses=dict(zip(paths, map(_address, thumbnails(paths, SIDE)), strict=True)),
    )


def _tile(prediction: Prediction, query: Path, row: int) -> _Tile:
    """Return the tile of one query image."""
    names, actual, best = prediction.class_names, prediction.actual[row], prediction.predicted[row]
    return _Tile(
        query / prediction.images[row],
        prediction.images[row],
        tuple(
            (percent(prediction.probabilities[row, place]), names[place])
            for place in prediction.ranking[row, :2]
        ),
        uncertain=row in prediction.least_confident,
        actual=names[actual] if actual not in (-1, best) else None,
    )


def _address(thumbnail: Image.Image) -> str:
    """Return a thumbnail as a data URI."""
    content = io.BytesIO()
    thumbnail.save(content, format="JPEG", quality=90)
    return data_uri(content.getvalue(), "image/jpeg")


def _number(number: int, noun: str, most: int, shown: str) -> str:
    """Format how many images a class has and, if there are too many, which ones the page shows."""
    return f"{count(number, noun)}; the page shows {shown}" if number > most else count(number, noun)
