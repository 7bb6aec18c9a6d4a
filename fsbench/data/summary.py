"""What data sets there are and what their stores hold, as values and as text for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from fsbench._util.errors import FsbenchError
from fsbench.data import glyphs, image_store
from fsbench.data.image_store import SPLITS
from fsbench.data.registry import SOURCES


@dataclass(frozen=True)
class DataSet:
    """A data set that fsbench knows, or that was prepared under a name of its own."""

    name: str
    about: str  # paper of its split, or where it comes from
    classes: tuple[int, ...] | None  # base, val, novel: of a store, else as published; None: unreadable
    stores: Mapping[int, Path]  # by the size of their images in pixels


@dataclass(frozen=True)
class Part:
    """One split in an image store."""

    classes: int
    images: int
    height: int  # pixels
    width: int
    fingerprint: str


@dataclass(frozen=True)
class Contents:
    """What an image store holds."""

    name: str
    path: Path
    synthetic: bool
    splits: Mapping[str, Part]


def known(cache: Path | None = None) -> list[DataSet]:
    """Every data set that fsbench knows, then those of one's own in the cache.

    Raises:
        FsbenchError: the cache cannot be read.
    """
    prepared = image_store.prepared(cache)
    about = {name: source.paper for name, source in SOURCES.items()}
    about |= dict.fromkeys(glyphs.NAMES, "synthetic, drawn by code")
    about |= {name: "your own" for name in prepared if name not in about}
    return [
        DataSet(name, what, _classes(name, *prepared.get(name, {}).values()), prepared.get(name, {}))
        for name, what in about.items()
    ]


def contents(path: Path) -> Contents:
    """What a store holds.

    Raises:
        FsbenchError: it cannot be read.
    """
    with image_store.opened(path) as file:
        splits = {
            split: Part(
                classes=len(file[split]["class_names"]),
                images=len(file[split]["labels"]),
                height=file[split]["pixels"].shape[1],
                width=file[split]["pixels"].shape[2],
                fingerprint=str(file[split].attrs["fingerprint"]),
            )
            for split in SPLITS
            if split in file
        }
        return Contents(str(file.attrs["name"]), path, bool(file.attrs["synthetic"]), splits)


def describe(path: Path) -> str:
    """What a store holds, for people: a line a split."""
    found = contents(path)
    rows = [
        (split, part.classes, f"{part.images:,}", f"{part.height} x {part.width}", part.fingerprint[:12])
        for split, part in found.splits.items()
    ]
    columns = ("split", "classes", "images", "pixels", "fingerprint")
    table = tabulate(rows, columns, tablefmt="plain", colalign=("left", *["right"] * 3, "left"))
    return f"{found.name}{', synthetic images' * found.synthetic}\n{path}\n{table}"


def overview(cache: Path | None = None) -> str:
    """Known and prepared data sets, for people: a line each, of at most 80 characters for the known ones."""
    rows = [
        (
            found.name,
            "unreadable" if found.classes is None else "/".join(map(str, found.classes)),
            image_store.sizes_text(found.stores) if found.stores else "-",
            found.about,
        )
        for found in known(cache)
    ]
    columns = ("data set", "classes", "prepared", "split or source")
    table = tabulate(rows, columns, tablefmt="plain", colalign=("left",) * 4)
    return f"{table}\n\nClasses are base/val/novel. How to prepare one: fsbench data show NAME"


def _classes(name: str, *stores: Path) -> tuple[int, ...] | None:
    """How many classes a data set has, in its store or, before there is one, as published."""
    if stores:
        try:
            splits = contents(stores[0]).splits
        except FsbenchError:
            return None
        return tuple(splits[split].classes if split in splits else 0 for split in SPLITS)
    if name in SOURCES:
        return SOURCES[name].n_classes
    return tuple(glyphs.CLASSES[name].get(split, 0) for split in SPLITS)
