"""From images on a disk to an image store in the cache, once, and back into memory."""

import hashlib
import logging
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import cache_folder, only_one, sha256_of, whole_hdf5
from fsbench._util.progress import progress
from fsbench._util.validation import hdf5
from fsbench.data import glyphs, identity, image_store, registry
from fsbench.data.decode import Depth, decoder, identities, looks, squares
from fsbench.data.image_store import SPLITS, ImageSplit, SplitInfo, SplitWriter
from fsbench.data.layouts import Listing, Picture
from fsbench.data.registry import SOURCES

UNEVEN_SIZE = 96  # store size for images of many sizes: what evaluation at 84 px resizes to
_MAX_SIZE = 4096
_NAME = re.compile(
    r"[a-z0-9][a-z0-9._-]*"
)  # no capitals: file systems differ on whether they are another name
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Survey:
    """What the files of a listing say before they are decoded."""

    key: str  # SHA-256 of all names and bytes
    files: Mapping[str, str]  # digest of the bytes of each split, without names
    side: int  # of the squares that the images become by default
    native: int  # pixels; the median of the images' shorter sides


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
    `<class>/*` of your own. Images become squares: as large as they are, or `image_size` pixels (by
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
        raise FsbenchError(f"data set {name}: PATH is missing; {registry.how(name)}")
    listing = registry.read(name, path)
    survey = _survey(listing, quiet=quiet)
    target = image_store.path_of(name, image_size or survey.side, cache)
    return _store(name, path, target, listing, survey, force=force, quiet=quiet)


def load(name: str, split: str, cache: Path | None = None, at_least: int = 0) -> ImageSplit:
    """One split of a prepared data set, in memory; the embedded ones are drawn when they are first needed.

    Of stores of several sizes it is read from the smallest of `at_least` so many pixels, else the largest.

    Raises:
        FsbenchError: unknown, not prepared, or no such split.
    """
    return image_store.read(find_store(name, cache, at_least), split)


def splits_of(name: str, cache: Path | None = None) -> tuple[str, ...]:
    """The splits that a prepared data set has."""
    with image_store.opened(find_store(name, cache)) as file:
        return tuple(split for split in SPLITS if split in file)


def stored_for(
    name: str, split: str, network: str, size: int, resize: int, cache: Path | None = None
) -> SplitInfo:
    """The stored images of a split that fit a network, which resizes to `resize` and takes `size` pixels.

    Where all stores are smaller than `size` but the images on the disk are not, a store is made of them at
    `resize` pixels. That, and images that the network sees enlarged, is a warning of the log.

    Raises:
        FsbenchError: unknown, not prepared, or no such split.
    """
    path = find_store(name, cache, resize)
    info = image_store.look(path, split)
    if info.size >= size:
        return info
    with image_store.opened(path) as file:
        about = hdf5.attributes(file)
    plain, origin, native = str(about["name"]), str(about.get("origin", "")), int(about["native"])
    larger = None
    if native > info.size and "@" not in name:
        larger = _made_larger(plain, str(about["key"]), origin, resize, cache)
    what = f"data set {name}: images are stored at {info.size} px, but {network} takes {size} px"
    if larger is not None:
        _log.warning("fsbench: warning: %s; stored again at %d px, from %s", what, resize, origin)
        return image_store.look(larger, split)
    how = ""
    if native > info.size:
        how = f"; fsbench data prepare {plain} PATH --image-size {resize} stores larger ones"
    _log.warning("fsbench: warning: %s, so they are enlarged%s", what, how)
    return info


def load_for(
    name: str, split: str, network: str, size: int | None, resize: int, cache: Path | None = None
) -> ImageSplit:
    """One split in memory, from the store of `stored_for`; without a `size` the network takes any.

    Raises:
        FsbenchError: unknown, not prepared, or no such split.
    """
    if size is None:
        return load(name, split, cache, resize)
    return image_store.read(stored_for(name, split, network, size, resize, cache).path, split)


def shared(name: str, split: str, source: str, fingerprint: str, cache: Path | None = None) -> list[int]:
    """Which images of a split are base images of the data set `source`, too, pixel by pixel at native size.

    Empty also where this cannot be told: the base images of that fingerprint are not at hand.
    """
    known: set[bytes] = set()
    for path in image_store.prepared(cache).get(source, {}).values():
        try:
            if image_store.look(path, "base").identity.fingerprint == fingerprint:
                known = set(image_store.digests(path, "base"))
                break
        except FsbenchError:  # no such split, or unreadable
            continue
    found = image_store.digests(find_store(name, cache), split) if known else []
    return [place for place, digest in enumerate(found) if digest in known]


def find_store(name: str, cache: Path | None = None, at_least: int = 0) -> Path:
    """Where the store of a data set lies; `NAME@SIZE` names the store of one size.

    Of stores of several sizes it is the smallest one of `at_least` so many pixels, else the largest.

    Raises:
        FsbenchError: unknown, not prepared, not at the size that is named, or stores of several sizes that
            hold different images.
    """
    plain, _, size = name.partition("@")
    if plain in glyphs.NAMES:
        _drawn(plain, cache)
    prepared = image_store.prepared(cache)
    stores = prepared.get(plain, {})
    if not stores:
        if plain in SOURCES:
            raise FsbenchError(f"data set {plain} is not prepared; {registry.how(plain)}")
        raise unknown("data set", plain, {*prepared, *SOURCES, *glyphs.NAMES})
    sizes = [at for at in sorted(stores) if size in ("", str(at))]
    if not sizes:
        raise FsbenchError(
            f"data set {plain}: prepared at {image_store.sizes_text(stores)}, but {size} is asked for"
        )
    if len(sizes) > 1 and len({image_store.fingerprints(path) for path in stores.values()}) > 1:
        raise FsbenchError(
            f"data set {plain}: stores of {image_store.sizes_text(stores)} hold different images; "
            f"say which, as {plain}@SIZE"
        )
    return stores[next((at for at in sizes if at >= at_least), sizes[-1])]


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
        raise FsbenchError(f"--download: {name} cannot be fetched, only {able}; {registry.how(name)}")
    folder = path or cache_folder(cache) / "downloads" / name
    source.download(folder, quiet=quiet)
    return folder


def _drawn(name: str, cache: Path | None, *, force: bool = False, quiet: bool = False) -> Path:
    """The store of an embedded data set, keyed by the code that draws it."""
    target, key = image_store.path_of(name, glyphs.SIZE, cache), sha256_of(Path(glyphs.__file__))
    if force or not image_store.holds(target, key):  # most calls need no lock, and a read-only cache has none
        with only_one(target):
            if force or not image_store.holds(target, key):
                listing = glyphs.draw(name, quiet=quiet)
                survey = _Survey(key, dict.fromkeys(listing, key), glyphs.SIZE, glyphs.SIZE)
                _write(target, listing, survey, {"name": name, "synthetic": True}, quiet=True)
    return target


def _origin(path: Path) -> dict[str, str]:
    """Where images came from, to store them at another size; code is not run again unasked."""
    origin = str(path.resolve())
    return {"origin": origin} if path.is_dir() and origin.isprintable() else {}


def _made_larger(name: str, key: str, origin: str, size: int, cache: Path | None) -> Path | None:
    """A new store of the same files at another size; None where they are no longer at hand."""
    if not origin or not Path(origin).is_dir() or size > _MAX_SIZE:
        return None
    try:
        listing = registry.read(name, Path(origin))
        survey = _survey(listing, quiet=True)
        if survey.key != key:
            return None
        target = image_store.path_of(name, size, cache)
        return _store(name, Path(origin), target, listing, survey, force=False, quiet=True)
    except FsbenchError as error:
        _log.warning("fsbench: warning: %s", error)
        return None


def _survey(listing: Listing, *, quiet: bool) -> _Survey:
    """Look at names, bytes and sizes of all images."""
    rows = [
        (split, class_name, item)
        for split in sorted(listing)
        for class_name in sorted(listing[split])
        for item in sorted(listing[split][class_name])
    ]
    pictures = [listing[split][class_name][item] for split, class_name, item in rows]
    key, sizes = hashlib.sha256(), []
    files: dict[str, dict[str, list[bytes]]] = {}
    with progress("read", len(rows), "images", quiet=quiet) as bar:
        for row, (digest, size) in zip(rows, looks(pictures), strict=True):
            key.update(repr((*row, digest)).encode())
            sizes.append(size)
            files.setdefault(row[0], {}).setdefault(row[1], []).append(digest)
            bar.update()
    width, height = sizes[0]
    return _Survey(
        key=key.hexdigest(),
        files={split: identity.of_split(classes.values()) for split, classes in files.items()},
        side=width if len(set(sizes)) == 1 and width == height else UNEVEN_SIZE,
        native=int(statistics.median(map(min, sizes))),
    )


def _store(
    name: str, path: Path, target: Path, listing: Listing, survey: _Survey, *, force: bool, quiet: bool
) -> Path:
    """Write the store of surveyed images, unless it holds them already; warn of images in two splits."""
    with only_one(target):
        if force or not image_store.holds(target, survey.key):
            _write(target, listing, survey, {"name": name, "synthetic": False, **_origin(path)}, quiet=quiet)
    _warn_of_shared(name, target)
    return target


def _warn_of_shared(name: str, target: Path) -> None:
    """Log a warning where images lie in two splits, pixel by pixel at native size."""
    split_of: dict[bytes, str] = {}
    both: list[tuple[str, int, str]] = []  # split, place in it, the other split
    with image_store.opened(target) as file:
        splits = [split for split in SPLITS if split in file]
    for split in splits:
        for place, digest in enumerate(image_store.digests(target, split)):
            if split_of.setdefault(digest, split) != split:
                both.append((split, place, split_of[digest]))
    if both:
        split, place, other = both[0]
        images = image_store.read(target, split)
        first = f"{split}/{images.class_names[images.labels[place]]}/{images.items[place]} (also in {other})"
        _log.warning(
            "fsbench: warning: data set %s: %d images lie in two splits, as %s", name, len(both), first
        )


def _write(
    target: Path, listing: Listing, survey: _Survey, about: Mapping[str, str | bool], *, quiet: bool
) -> None:
    """Write the store of these pictures, whole or not at all; whoever calls holds its lock."""
    size = int(target.stem.rpartition("@")[2])
    splits = [split for split in SPLITS if split in listing]
    classes = [items for split in splits for items in listing[split].values()]
    depth = Depth([picture for items in classes for picture in items.values()])
    orders = {split: _order(split, listing[split], depth, quiet=quiet) for split in splits}
    total = sum(len(rows) for rows, _ in orders.values())
    with whole_hdf5(target) as (file, check), progress("prepare", total, "images", quiet=quiet) as bar:
        image_store.begin(file, {**about, "key": survey.key, "native": survey.native, "decoder": decoder()})
        writers = {split: _writer(file, split, *orders[split], survey, size) for split in splits}
        for split in splits:  # pixels come last, so that all names lie at the beginning of the file
            pictures = [listing[split][class_name][item] for class_name, item in orders[split][0]]
            for pixels in squares(pictures, size, depth):
                writers[split].add(pixels)
                check()
                bar.update(len(pixels))
            writers[split].finish()


def _order(
    split: str, classes: Mapping[str, Mapping[str, Picture]], depth: Depth, *, quiet: bool
) -> tuple[list[tuple[str, str]], NDArray[np.uint8]]:
    """Class name and item of each image in the order of the store, and the images' digests (n, 32)."""
    rows = [(name, item) for name in sorted(classes) for item in sorted(classes[name])]
    digests: dict[str, dict[str, bytes]] = {name: {} for name in classes}
    with progress(f"decode {split}", len(rows), "images", quiet=quiet) as bar:
        pictures = [classes[name][item] for name, item in rows]
        for (name, item), (digest, _) in zip(rows, identities(pictures, depth), strict=True):
            digests[name][item] = digest
            bar.update()
    ordered = [(name, item) for name, items in identity.ordered(digests).items() for item in items]
    joined = b"".join(digests[name][item] for name, item in ordered)
    return ordered, np.frombuffer(joined, dtype=np.uint8).reshape(-1, 32)


def _writer(
    file: h5py.File,
    split: str,
    rows: list[tuple[str, str]],
    digests: NDArray[np.uint8],
    survey: _Survey,
    size: int,
) -> SplitWriter:
    """What writes a split, its names and labels written."""
    label_of = {name: label for label, name in enumerate(dict.fromkeys(name for name, _ in rows))}
    labels = np.array([label_of[name] for name, _ in rows], dtype=np.int32)
    items = [item for _, item in rows]
    shape = (len(rows), size, size, 3)
    return SplitWriter(file, split, shape, labels, list(label_of), items, digests, survey.files[split])
