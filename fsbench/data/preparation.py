"""Prepare a data set: turn images on a disk into an image store in the cache, once."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from fsbench._util.errors import FsbenchError, reason, unknown
from fsbench._util.files import cache_folder, exclusive_lock, sha256_of
from fsbench.data import glyphs, image_store, registry
from fsbench.data._build_store import Survey, survey_files, write_store
from fsbench.data._open_image import UnreadableImageError
from fsbench.data.class_split import split_classes
from fsbench.data.listing import Listing
from fsbench.data.registry import SOURCES
from fsbench.data.unreadable import unreadable_error, without_unreadable

_MAX_SIZE = 4096
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")  # no capitals: some file systems do not distinguish them
_log = logging.getLogger(__name__)


def prepare(
    name: str,
    path: Path | None = None,
    *,
    cache: Path | None = None,
    image_size: int | None = None,
    download: bool = False,
    split: Sequence[int] | None = None,
    skip_unreadable: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Build the image store of a data set, or return the existing store of the same images.

    Images become squares, whatever their aspect ratio. Images that are in two splits are logged as a warning.

    Args:
        name: A known data set such as `cifar-fs`, or a new name of a-z, 0-9, `.`, `_` and `-`.
        path: Folder of the images, in a layout of the data set; for your own data set
            `{base,val,novel}/<class>/*`, `<class>/*` or a folder of Hugging Face's `datasets`. Alternatively
            `./file.py:function` or `package.module:function`, which returns the images.
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.
        image_size: Side of the stored squares in pixels, 1 to 4096. Default: the size of the images if all
            are squares of one size, otherwise 96.
        download: Download the images first, to `path` or into the cache.
        split: Percentages of base, val and novel classes, such as (60, 20, 20), to divide the classes of your
            own data set at random. Default: class folders without splits are novel.
        skip_unreadable: Leave out images that cannot be read, with a warning for each.
        force: Build the store again even if it exists.
        quiet: Show no progress.

    Returns:
        Path of the store.

    Raises:
        FsbenchError: An argument is wrong, layout or classes are not those of the data set, a class is empty,
            an image cannot be read, or the store cannot be written.

    Example:
        >>> path = prepare("glyphs", quiet=True)
        >>> path.name
        'glyphs@32.h5'
    """
    _check_arguments(name, image_size)
    if name in glyphs.NAMES:
        if path is not None or download or image_size not in (None, glyphs.SIZE):
            raise FsbenchError(
                f"data set {name}: drawn by code at {glyphs.SIZE} px, so it takes no PATH, no download "
                f"and no other size; use fsbench data prepare {name}"
            )
        return draw_embedded(name, cache, force=force, quiet=quiet)
    if download:
        path = _download(name, path, cache, quiet=quiet)
    if path is None:
        raise FsbenchError(f"data set {name}: PATH is missing; {registry.how_to_prepare(name)}")
    listing = registry.read(name, path)
    if split is not None:
        if name in SOURCES:
            raise FsbenchError(f"--split: data set {name} has a published split; leave out --split")
        listing = split_classes(listing, split)
    if skip_unreadable:
        listing, messages = without_unreadable(listing, quiet=quiet)
        for message in messages:
            _log.warning("fsbench: warning: skipped %s", message)
        registry.check_classes(name, listing)
    try:
        survey = survey_files(listing, quiet=quiet)
        store = image_store.store_path(name, image_size or survey.side, cache)
        return _build(name, path, store, listing, survey, force=force, quiet=quiet)
    except UnreadableImageError as error:
        messages = without_unreadable(listing, quiet=quiet)[1]
        raise unreadable_error(messages or [str(error)]) from error


def remove(name: str, cache: Path | None = None) -> dict[Path, int]:
    """Delete the image stores of a data set; the images that they were made from stay.

    Args:
        name: A prepared data set, or `NAME@SIZE` for its store of one size.
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.

    Returns:
        The deleted stores, with their sizes in bytes.

    Raises:
        FsbenchError: The size after `@` is empty, there is no such store, or it cannot be deleted.
    """
    plain, at, size = name.partition("@")
    if at and not size:
        raise FsbenchError(
            f"data set {name}: the size is missing; use {plain}@SIZE, or {plain} for all sizes"
        )
    prepared = image_store.prepared_stores(cache)
    stores = [path for side, path in prepared.get(plain, {}).items() if size in ("", str(side))]
    if not stores:
        if plain in (*prepared, *SOURCES, *glyphs.NAMES):
            raise FsbenchError(f"data set {name}: is not prepared, so there is nothing to remove")
        raise unknown("data set", name, prepared)
    removed = {}
    for store in stores:
        try:
            with exclusive_lock(store):
                removed[store] = store.stat().st_size
                store.unlink()
        except OSError as error:
            raise FsbenchError(f"cannot remove {store}: {reason(error)}") from error
    return removed


def draw_embedded(name: str, cache: Path | None, *, force: bool = False, quiet: bool = False) -> Path:
    """Draw an embedded data set unless its store exists; the key is the digest of the code that draws it."""
    store, key = image_store.store_path(name, glyphs.SIZE, cache), sha256_of(Path(glyphs.__file__))
    if force or not image_store.has_key(store, key):  # checked first: a read-only cache has no locks
        with exclusive_lock(store):
            if force or not image_store.has_key(store, key):
                listing = glyphs.draw(name, quiet=quiet)
                survey = Survey(key, dict.fromkeys(listing, key), glyphs.SIZE, glyphs.SIZE)
                write_store(store, listing, survey, {"name": name, "synthetic": True}, quiet=True)
    return store


def enlarge(name: str, key: str, origin: str, size: int, cache: Path | None) -> Path | None:
    """Store the same files at another size and return the path; None if they are missing or have changed.

    Args:
        name: The data set.
        key: Key of its present store.
        origin: Folder of the images; empty if unknown.
        size: Side of the new squares in pixels.
        cache: Folder of stores.
    """
    if not origin or not Path(origin).is_dir() or size > _MAX_SIZE:
        return None
    try:
        listing = registry.read(name, Path(origin))
        survey = survey_files(listing, quiet=True)
        if survey.key != key:
            return None
        store = image_store.store_path(name, size, cache)
        return _build(name, Path(origin), store, listing, survey, force=False, quiet=True)
    except FsbenchError as error:
        _log.warning("fsbench: warning: %s", error)
        return None


def _check_arguments(name: str, image_size: int | None) -> None:
    """Refuse names that files or known data sets could be confused with, and sizes out of range."""
    if not _NAME.fullmatch(name):
        raise FsbenchError(
            "data set name must begin with a-z or 0-9 and consist of a-z, 0-9, '.', '_' and '-', "
            f"but is {name!r}"
        )
    bare = re.sub("[._-]", "", name)
    for published in (*SOURCES, *glyphs.NAMES):
        if name != published and bare == published.replace("-", ""):
            raise unknown("data set", name, [published])
    if image_size is not None and not 1 <= image_size <= _MAX_SIZE:
        raise FsbenchError(f"image_size must be between 1 and {_MAX_SIZE}, but is {image_size}")


def _download(name: str, path: Path | None, cache: Path | None, *, quiet: bool) -> Path:
    """Download a data set and return its folder."""
    source = SOURCES.get(name)
    if source is None or source.download is None:
        downloadable = ", ".join(other for other in SOURCES if SOURCES[other].download)
        raise FsbenchError(
            f"--download: available only for {downloadable}, but the data set is {name}; "
            f"{registry.how_to_prepare(name)}"
        )
    folder = path or cache_folder(cache) / "downloads" / name
    source.download(folder, quiet=quiet)
    return folder


def _build(
    name: str, path: Path, store: Path, listing: Listing, survey: Survey, *, force: bool, quiet: bool
) -> Path:
    """Write the store of surveyed images unless it holds them already; warn of images in two splits."""
    with exclusive_lock(store):
        if force or not image_store.has_key(store, survey.key):
            attributes: dict[str, str | bool] = {"name": name, "synthetic": False}
            origin = str(path.resolve())
            if path.is_dir() and origin.isprintable():  # a function is not called again to enlarge its images
                attributes["origin"] = origin
            write_store(store, listing, survey, attributes, quiet=quiet)
    _warn_of_duplicates(name, store)
    return store


def _warn_of_duplicates(name: str, store: Path) -> None:
    """Log a warning if images are in two splits, pixel by pixel at native size."""
    split_of: dict[bytes, str] = {}
    duplicates: list[tuple[str, int, str]] = []  # split, row in it, the other split
    for split, _ in image_store.fingerprints(store):
        for row, digest in enumerate(image_store.digests(store, split)):
            if split_of.setdefault(digest, split) != split:
                duplicates.append((split, row, split_of[digest]))
    if duplicates:
        split, row, other = duplicates[0]
        images = image_store.read(store, split)
        first = f"{split}/{images.class_names[images.labels[row]]}/{images.items[row]} (also in {other})"
        _log.warning(
            "fsbench: warning: data set %s: %d images are in two splits, for example %s",
            *(name, len(duplicates), first),
        )
