"""From images on a disk to an image store in the cache, once, and back into memory."""

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Never

import h5py
import numpy as np
from tqdm import tqdm

from fsbench.data import glyphs, sources, store
from fsbench.data.pictures import looks, squares
from fsbench.data.readers import Listing, Picture
from fsbench.data.sources import SOURCES
from fsbench.data.store import SPLITS, ImageSplit, SplitWriter
from fsbench.errors import FsbenchError, unknown
from fsbench.files import cache_folder, only_one, sha256_of, whole_hdf5

UNEVEN_SIZE = 96  # store size for images of many sizes: what evaluation at 84 px resizes to
_MAX_SIZE = 4096
_NAME = re.compile(
    r"[a-z0-9][a-z0-9._-]*"
)  # no capitals: file systems differ on whether they are another name
_log = logging.getLogger(__name__)


def prepare(
    name: str,
    path: Path | None = None,
    *,
    cache: Path | None = None,
    image_size: int | None = None,
    download: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """The image store of a data set, made from the images below `path`, or found where they made it before.

    `name` is a data set that fsbench knows, or any other name for a folder `{base,val,novel}/<class>/*` or
    `<class>/*` of one's own. Images become squares: as large as they are, or `image_size` pixels (by
    default UNEVEN_SIZE where they differ in size), whatever their aspect ratio. With `download` they are
    fetched first, to `path` or into the cache. Images that lie in two splits are a warning of the log.

    Raises:
        FsbenchError: a wrong argument, a layout or classes that are not the data set's, an empty class, an
            image that cannot be read, or a store that cannot be written.
    """
    _check_arguments(name, image_size)
    if name in glyphs.NAMES:
        if path is not None or download or image_size not in (None, glyphs.SIZE):
            raise FsbenchError(f"data set {name}: is drawn by code, at {glyphs.SIZE} px; it takes no images")
        return _drawn(name, cache, force=force, quiet=quiet)
    if download:
        path = _downloaded(name, path, cache, quiet=quiet)
    if path is None:
        raise FsbenchError(f"data set {name}: PATH is missing; {sources.how(name)}")
    listing = sources.read(name, path)
    key, own_size = _survey(name, listing, quiet=quiet)
    target = store.path_of(name, image_size or own_size, cache)
    with only_one(target):
        if force or not store.holds(target, key):
            _write(target, listing, {"name": name, "key": key, "synthetic": False}, quiet=quiet)
    return target


def load(name: str, split: str, cache: Path | None = None) -> ImageSplit:
    """One split of a prepared data set, in memory; the embedded ones are drawn when they are first needed.

    Raises:
        FsbenchError: unknown, not prepared, or no such split.
    """
    return store.read(find_store(name, cache), split)


def splits_of(name: str, cache: Path | None = None) -> tuple[str, ...]:
    """The splits that a prepared data set has."""
    with store.opened(find_store(name, cache)) as file:
        return tuple(split for split in SPLITS if split in file)


def fingerprint_of(name: str, split: str, cache: Path | None = None) -> str:
    """The fingerprint of one split, without reading its images."""
    with store.opened(find_store(name, cache)) as file:
        return str(store.group_of(file, split).attrs["fingerprint"])


def shared(name: str, split: str, source: str, fingerprint: str, cache: Path | None = None) -> list[int]:
    """Which images of a split are base images of the data set `source`, too, pixel by pixel.

    Empty also where this cannot be told: the base images of that fingerprint are not at hand at the size of
    the split's.
    """
    target = find_store(name, cache)
    base = store.path_of(source, int(target.stem.rpartition("@")[2]), cache)
    try:
        with store.opened(base) as file:
            if store.group_of(file, "base").attrs["fingerprint"] != fingerprint:
                return []
        known = set(store.digests(base, "base"))
    except FsbenchError:
        return []
    return [place for place, digest in enumerate(store.digests(target, split)) if digest in known]


def find_store(name: str, cache: Path | None = None) -> Path:
    """Where the store of a data set lies; `NAME@SIZE` tells one prepared at several sizes apart.

    Raises:
        FsbenchError: unknown, not prepared, or prepared at several sizes of which none is asked for.
    """
    plain, _, size = name.partition("@")
    if plain in glyphs.NAMES:
        _drawn(plain, cache)
    prepared = store.prepared(cache)
    found = prepared.get(plain, {})
    if not found:
        if plain in SOURCES:
            raise FsbenchError(f"data set {plain} is not prepared; {sources.how(plain)}")
        raise unknown("data set", plain, {*prepared, *SOURCES, *glyphs.NAMES})
    chosen = [path for at, path in found.items() if size in ("", str(at))]
    if not chosen:
        raise FsbenchError(
            f"data set {plain}: prepared at {store.sizes_text(found)}, but {size} is asked for"
        )
    if len(chosen) > 1:
        raise FsbenchError(
            f"data set {plain}: prepared at {store.sizes_text(found)}; say which, as {plain}@SIZE"
        )
    return chosen[0]


def _check_arguments(name: str, image_size: int | None) -> None:
    if not _NAME.fullmatch(name):
        raise FsbenchError(f"data set name must be of a-z, 0-9, '.', '_' and '-', but is {name!r}")
    bare = re.sub("[._-]", "", name)
    for known in (*SOURCES, *glyphs.NAMES):
        if name != known and bare == known.replace("-", ""):
            raise unknown("data set", name, [known])
    if image_size is not None and not 1 <= image_size <= _MAX_SIZE:
        raise FsbenchError(f"image_size must be between 1 and {_MAX_SIZE}, but is {image_size}")


def _downloaded(name: str, path: Path | None, cache: Path | None, *, quiet: bool) -> Path:
    """The folder that a data set was fetched into."""
    source = SOURCES.get(name)
    if source is None or source.download is None:
        able = ", ".join(known for known, other in SOURCES.items() if other.download)
        raise FsbenchError(f"--download: {name} cannot be fetched, only {able}; {sources.how(name)}")
    folder = path or cache_folder(cache) / "downloads" / name
    source.download(folder, quiet=quiet)
    return folder


def _drawn(name: str, cache: Path | None, *, force: bool = False, quiet: bool = False) -> Path:
    """The store of an embedded data set, keyed by the code that draws it."""
    target, key = store.path_of(name, glyphs.SIZE, cache), sha256_of(Path(glyphs.__file__))
    if force or not store.holds(target, key):  # most calls need no lock, and a read-only cache has none
        with only_one(target):
            if force or not store.holds(target, key):
                listing = glyphs.draw(name, quiet=quiet)
                _write(target, listing, {"name": name, "key": key, "synthetic": True}, quiet=True)
    return target


def _survey(name: str, listing: Listing, *, quiet: bool) -> tuple[str, int]:
    """The SHA-256 of all names and bytes, and the side of the squares that the images become unasked."""
    rows = [
        (split, class_name, item)
        for split in sorted(listing)
        for class_name in sorted(listing[split])
        for item in sorted(listing[split][class_name])
    ]
    pictures = [listing[split][class_name][item] for split, class_name, item in rows]
    key, sizes = hashlib.sha256(), set()
    split_of: dict[bytes, str] = {}
    shared: list[str] = []
    with _progress("read", len(rows), quiet) as bar:
        for row, (digest, size) in zip(rows, looks(pictures), strict=True):
            key.update(repr((*row, digest)).encode())
            sizes.add(size)
            if split_of.setdefault(digest, row[0]) != row[0]:
                shared.append(f"{'/'.join(row)} (also in {split_of[digest]})")
            bar.update()
    if shared:
        _log.warning(
            "fsbench: warning: data set %s: %d images lie in two splits, as %s", name, len(shared), shared[0]
        )
    width, height = next(iter(sizes))
    return key.hexdigest(), width if len(sizes) == 1 and width == height else UNEVEN_SIZE


def _write(target: Path, listing: Listing, about: Mapping[str, str | bool], *, quiet: bool) -> None:
    """Write the store of these pictures, whole or not at all; whoever calls holds its lock."""
    size = int(target.stem.rpartition("@")[2])
    total = sum(len(items) for classes in listing.values() for items in classes.values())
    with whole_hdf5(target) as (file, check), _progress("prepare", total, quiet) as bar:
        store.begin(file, about)
        for split in (split for split in SPLITS if split in listing):
            for n_written in _write_split(file, split, listing[split], size):
                check()
                bar.update(n_written)


def _write_split(
    file: h5py.File, split: str, classes: Mapping[str, Mapping[str, Picture]], size: int
) -> Iterator[int]:
    """Decode and write one split, sorted by (class name, item id), part by part; how many images each has."""
    names = sorted(classes)
    ordered = [(label, item) for label, name in enumerate(names) for item in sorted(classes[name])]
    labels = np.array([label for label, _ in ordered], dtype=np.int32)
    writer = SplitWriter(
        file, split, (len(ordered), size, size, 3), labels, names, [item for _, item in ordered]
    )
    for pixels in squares([classes[names[label]][item] for label, item in ordered], size):
        writer.add(pixels)
        yield len(pixels)
    writer.finish()


def _progress(what: str, total: int, quiet: bool) -> "tqdm[Never]":
    return tqdm(total=total, desc=what, unit="img", unit_scale=True, disable=True if quiet else None)
