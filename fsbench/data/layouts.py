"""Layouts in which data sets lie on people's disks; each reader knows one.

A reader takes a folder and returns what lies there, `{split: {class: {item: picture}}}`, or None when the
folder is not of its layout. A picture is an image file, or pixels (h, w, 3) where the layout has no files.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util import safe_pickle
from fsbench._util.errors import FsbenchError


@dataclass(frozen=True)
class Encoded:
    """An image file that lies inside another file."""

    name: str  # for people: which file, and where in it
    content: bytes | memoryview


Picture = Path | Encoded | NDArray[np.uint8]
Listing = dict[str, dict[str, dict[str, Picture]]]
Reader = Callable[[Path], Listing | None]

_IMAGE = re.compile(r".+\.(avif|bmp|gif|jfif|jp2|jpe|jpe?g|p[bgnp]m|png|tiff?|webp)", re.IGNORECASE)
_OLD = {"base": "train", "val": "val", "novel": "test"}  # what publishers call the three splits
SPLIT_NAMES = {"base": {"base", "train"}, "val": {"val", "valid", "validation"}, "novel": {"novel", "test"}}
_SPLITS = Path(__file__).parent / "splits"

# Meta-Dataset (arXiv:1903.03096) validates on the five smallest background alphabets and keeps Lake's own
# evaluation alphabets for testing.
_OMNIGLOT_VAL = {
    "Alphabet_of_the_Magi",
    "Blackfoot_(Canadian_Aboriginal_Syllabics)",
    "Inuktitut_(Canadian_Aboriginal_Syllabics)",
    "Ojibwe_(Canadian_Aboriginal_Syllabics)",
    "Tagalog",
}


def class_list(name: str) -> dict[str, list[str]]:
    """The class names of each split of a published data set, as its authors list them."""
    document: dict[str, list[str]] = json.loads((_SPLITS / f"{name}.json").read_text(encoding="utf-8"))
    return {split: document[split] for split in _OLD}


def cub_split(class_name: str) -> str | None:
    """The split of a CUB class, `001.Black_footed_Albatross`, by its number; None for other names.

    The rule of the closer-look code (arXiv:1904.04232) over the sorted classes: every other one is base,
    those between are val and novel in turn.
    """
    number, dot, _ = class_name.partition(".")
    if not dot or not number.isdecimal():
        return None
    return ("base", "val", "base", "novel")[(int(number) - 1) % 4]


def split_folders(root: Path) -> Listing | None:
    """`{base,val,novel}/<class>/*`; train, validation and test are other names of the three.

    Raises:
        FsbenchError: two folders for one split.
    """
    found: Listing = {}
    for split, names in SPLIT_NAMES.items():
        folders = [folder for folder in _folders(root) if folder.name.lower() in names]
        if len(folders) > 1:
            raise FsbenchError(f"{root}: {folders[0].name} and {folders[1].name} are both split {split}")
        for folder in folders:
            found[split] = _classes(folder)
    return found or None


def class_folders(root: Path) -> Listing | None:
    """`<class>/*`: all classes are novel."""
    return {"novel": _classes(root)} if _folders(root) else None


def cifar_release(root: Path) -> Listing | None:
    """CIFAR-FS as released: `cifar100/{data/<class>/*,splits/bertinetto/{train,val,test}.txt}`."""
    root = _within(root, "cifar100")
    lists = root / "splits" / "bertinetto"
    if not lists.is_dir():
        return None
    return {
        split: {
            c: images_below(_in(root / "data", c, lists / f"{old}.txt")) for c in _words(lists / f"{old}.txt")
        }
        for split, old in _OLD.items()
    }


def cifar_pickles(root: Path) -> Listing | None:
    """CIFAR-100 as torchvision keeps it: `cifar-100-python/{train,test,meta}`.

    An item is named by the file that the publisher lists for it, as in the class-folder release, so that
    either layout gives the same items in the same order.

    Raises:
        FsbenchError: a file is not what CIFAR-100 has under this name.
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
                items[f"{part}-{i:05d}-{file}" if file in items else file] = image  # none is lost to a name
    return {
        split: {c: by_class.get(c, {}) for c in classes} for split, classes in class_list("cifar-fs").items()
    }


def csv_splits(root: Path) -> Listing | None:
    """mini-ImageNet with the tables of Ravi and Larochelle, `{train,val,test}.csv` of filename,label.

    The tables lie beside `images/` or in `split/`, the images in `images/` or beside the tables.

    Raises:
        FsbenchError: a table without these columns.
    """
    tables = _within(root, "split")
    if not (tables / "train.csv").is_file():
        return None
    images = _within(root, "images")
    found: Listing = {}
    for split, old in _OLD.items():
        table, classes = tables / f"{old}.csv", found.setdefault(split, {})
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    picture = _in(images, row["filename"], table)
                    classes.setdefault(row["label"].strip(), {})[row["filename"]] = picture
        except (KeyError, TypeError, AttributeError, ValueError, csv.Error) as error:
            raise FsbenchError(f"{table}: must be a table with the header filename,label") from error
    return found


def cub(root: Path) -> Listing | None:
    """CUB as unpacked: `CUB_200_2011/images/<001.Black_footed_Albatross>/*`, split by `cub_split`."""
    images = _within(root, "CUB_200_2011") / "images"
    found: Listing = {split: {} for split in _OLD}
    for folder in _folders(images):
        split = cub_split(folder.name)
        if split is not None:
            found[split][folder.name] = images_below(folder)
    return found if any(found.values()) else None


def omniglot(root: Path) -> Listing | None:
    """Omniglot, also in torchvision's folder: `images_{background,evaluation}/<alphabet>/<character>/*`.

    A class is a character. Evaluation alphabets are novel, five of the background alphabets val.
    """
    root = _within(root, "omniglot-py")
    if not (root / "images_background").is_dir() or not (root / "images_evaluation").is_dir():
        return None
    found: Listing = {split: {} for split in _OLD}
    for part in ("background", "evaluation"):
        for alphabet in _folders(root / f"images_{part}"):
            split = "novel" if part == "evaluation" else "val" if alphabet.name in _OMNIGLOT_VAL else "base"
            for name, items in _classes(alphabet).items():
                found[split][f"{alphabet.name}/{name}"] = items
    return found


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except ValueError as error:
        raise FsbenchError(f"{path}: must be text in UTF-8") from error


def _in(folder: Path, name: str, source: Path) -> Path:
    """A path below a folder, by what a table or list says of it, which may not lead elsewhere."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise FsbenchError(f"{source}: {name!r} must lie below {folder}")
    return folder / name


def _within(root: Path, name: str) -> Path:
    """The folder of that name in `root`, or `root` where it has none: people name either of the two."""
    return root / name if (root / name).is_dir() else root


def _folders(root: Path) -> list[Path]:
    """The folders in a folder, sorted by name; none where there is no such folder."""
    if not root.is_dir():
        return []
    return sorted(
        (path for path in root.iterdir() if _shown(path.name) and path.is_dir()), key=lambda p: p.name
    )


def _classes(root: Path) -> dict[str, dict[str, Picture]]:
    return {folder.name: images_below(folder) for folder in _folders(root)}


def images_below(folder: Path) -> dict[str, Picture]:
    """Image files below a folder by their path in it; files of other kinds are no images.

    Raises:
        OSError: a folder cannot be read.
        FsbenchError: links lead to the same images twice, or in a circle.
    """
    found: dict[str, Picture] = {}
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real = Path(place).resolve()
        if real in seen:
            raise FsbenchError(f"folder {folder}: links lead to {real} twice")
        seen.add(real)
        folders[:] = filter(_shown, folders)
        for path in (Path(place, name) for name in files if _shown(name) and _IMAGE.fullmatch(name)):
            found[path.relative_to(folder).as_posix()] = path
    return found


def _refuse(error: OSError) -> None:
    raise error  # os.walk passes over what it cannot read


def _shown(name: str) -> bool:
    """Whether a file or folder is a user's: editors, macOS and archivers leave others behind."""
    return not name.startswith(".") and name != "__MACOSX"


@contextmanager
def _unpickled(path: Path) -> Iterator[Any]:
    """What a pickle of Python 2 holds; the block that reads it may find that it is something else."""
    document = safe_pickle.read(path)
    try:
        yield document
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise FsbenchError(
            f"{path}: is not the file of CIFAR-100 ({' '.join(str(error).split())})"
        ) from error
