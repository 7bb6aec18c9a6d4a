"""Readers of the layouts in which published data sets are distributed.

A reader takes a folder and returns its images, or None if the folder has another layout.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fsbench._util import safe_pickle
from fsbench._util.errors import FsbenchError, reason
from fsbench.data.class_lists import PUBLISHED_SPLITS, class_list, cub_split, omniglot_split
from fsbench.data.folders import classes_in, images_below, subfolders
from fsbench.data.listing import SPLITS, Listing, Picture


def cifar_release(root: Path) -> Listing | None:
    """Read the CIFAR-FS release: `cifar100/{data/<class>/*,splits/bertinetto/{train,val,test}.txt}`."""
    root = _within(root, "cifar100")
    lists = root / "splits" / "bertinetto"
    if not lists.is_dir():
        return None
    listing: Listing = {}
    for split, published in PUBLISHED_SPLITS.items():
        table = lists / f"{published}.txt"
        listing[split] = {name: images_below(_below(root / "data", name, table)) for name in _words(table)}
    return listing


def cifar_pickles(root: Path) -> Listing | None:
    """Read CIFAR-100 as torchvision stores it: `cifar-100-python/{train,test,meta}`.

    Items are named after the publisher's file names, as in the class-folder release.

    Raises:
        FsbenchError: A file does not hold what CIFAR-100 has under this name.
    """
    root = _within(root, "cifar-100-python")
    if not (root / "train").is_file() or not (root / "meta").is_file():
        return None
    with _unpickled(root / "meta") as document:
        names = document["fine_label_names"]
        by_class: dict[str, dict[str, Picture]] = {name: {} for name in names}
    for part in ("train", "test"):
        with _unpickled(root / part) as document:
            pixels = np.asarray(document["data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            rows = zip(pixels, document["fine_labels"], document["filenames"], strict=True)
            for i, (image, label, file) in enumerate(rows):
                items = by_class[names[label]]
                items[f"{part}-{i:05d}-{file}" if file in items else file] = image  # file names may repeat
    return {
        split: {name: by_class.get(name, {}) for name in classes}
        for split, classes in class_list("cifar-fs").items()
    }


def csv_splits(root: Path) -> Listing | None:
    """Read mini-ImageNet with the tables of Ravi and Larochelle, `{train,val,test}.csv` of filename,label.

    The tables lie beside `images/` or in `split/`, the images in `images/` or beside the tables.

    Raises:
        FsbenchError: A table has other columns.
    """
    tables = _within(root, "split")
    if not (tables / "train.csv").is_file():
        return None
    images = _within(root, "images")
    listing: Listing = {}
    for split, published in PUBLISHED_SPLITS.items():
        table, classes = tables / f"{published}.csv", listing.setdefault(split, {})
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    picture = _below(images, row["filename"], table)
                    classes.setdefault(row["label"].strip(), {})[row["filename"]] = picture
        except (KeyError, TypeError, AttributeError, ValueError, csv.Error) as error:
            raise FsbenchError(f"{table}: must be a table with the header filename,label") from error
    return listing


def cub(root: Path) -> Listing | None:
    """Read the unpacked CUB archive: `CUB_200_2011/images/<001.Black_footed_Albatross>/*`."""
    listing: Listing = {split: {} for split in SPLITS}
    for folder in subfolders(_within(root, "CUB_200_2011") / "images"):
        split = cub_split(folder.name)
        if split is not None:
            listing[split][folder.name] = images_below(folder)
    return listing if any(listing.values()) else None


def omniglot(root: Path) -> Listing | None:
    """Read Omniglot, also in torchvision's folder: `images_{background,evaluation}/<alphabet>/<character>/*`.

    A class is a character.
    """
    root = _within(root, "omniglot-py")
    if not (root / "images_background").is_dir() or not (root / "images_evaluation").is_dir():
        return None
    listing: Listing = {split: {} for split in SPLITS}
    for part in ("background", "evaluation"):
        for alphabet in subfolders(root / f"images_{part}"):
            classes = listing[omniglot_split(part, alphabet.name)]
            for name, items in classes_in(alphabet).items():
                classes[f"{alphabet.name}/{name}"] = items
    return listing


def _words(path: Path) -> list[str]:
    """Return the words of a text file."""
    try:
        return path.read_text(encoding="utf-8").split()
    except ValueError as error:
        raise FsbenchError(f"{path}: must be text in UTF-8") from error


def _below(folder: Path, name: str, table: Path) -> Path:
    """Return the path of `name` in a folder; refuse a table that names a path outside the folder."""
    if Path(name).anchor or ".." in Path(name).parts:  # the anchor is a root, or a drive of Windows
        raise FsbenchError(f"{table}: {name!r} must lie below {folder}")
    return folder / name


def _within(root: Path, name: str) -> Path:
    """Return the folder `name` in `root` if it exists, otherwise `root`: users pass either of the two."""
    return root / name if (root / name).is_dir() else root


@contextmanager
def _unpickled(path: Path) -> Iterator[Any]:
    """Yield the content of a Python 2 pickle; errors in the block become one that names the file."""
    document = safe_pickle.read(path)
    try:
        yield document
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise FsbenchError(f"{path}: not a file of CIFAR-100 ({reason(error)})") from error
