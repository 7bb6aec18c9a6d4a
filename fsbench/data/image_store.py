"""The image store: every image of a data set as uint8 pixels in one HDF5 file, ordered by content.

A store is `<cache>/images/<name>@<size>.h5`, with one group per split: `pixels` (n, height, width, 3) uint8,
`labels` (n,) int32, `class_names`, `items` and `digests` (n, 32) of the images at native size, by which
classes and items are ordered (`identity`). Its key is the digest of the files it was made from. Each split
carries its fingerprint, which depends neither on names nor on the stored size; what is computed from images
(features, results) names the fingerprint, never just the data set.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError
from fsbench._util.files import cache_folder, reason
from fsbench._util.validation import InvalidValueError, hdf5
from fsbench.data import identity
from fsbench.data.identity import Identity

FORMAT = 2  # 1 ordered images by the names of their files
SPLITS = ("base", "val", "novel")
_GLANCE = 1 << 24  # bytes; the names of a store lie at its beginning, and few calls read all of it


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """One split of a data set, in memory."""

    dataset: str
    split: str
    pixels: NDArray[np.uint8]  # (n, height, width, 3)
    labels: NDArray[np.int32]  # (n,), sorted; an index into class_names
    class_names: tuple[str, ...]  # ordered by the content of the classes
    items: tuple[str, ...]  # (n,), the item id of each image, ordered by content within its class
    identity: Identity
    synthetic: bool  # drawn by code

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the images at native size."""
        return self.identity.fingerprint


def first_of_each_class(labels: NDArray[np.int32], per_class: int) -> NDArray[np.bool_]:
    """Choose the first `per_class` items of each class, or all where a class has fewer.

    Stores order the items of a class by the digests of their pixels, so the choice depends neither on file
    names nor on a seed, and fewer items are a part of more.

    Args:
        labels: The sorted labels of a store (n,).
        per_class: At least 1.

    Returns:
        Whether each item is chosen, (n,).
    """
    first = np.searchsorted(labels, np.arange(labels[-1] + 1))
    chosen: NDArray[np.bool_] = np.arange(len(labels)) - first[labels] < per_class
    return chosen


def few_images(images: ImageSplit, per_class: int) -> ImageSplit:
    """The first `per_class` images of each class, as `first_of_each_class` chooses them."""
    kept = first_of_each_class(images.labels, per_class)
    items = tuple(item for item, keep in zip(images.items, kept, strict=True) if keep)
    return replace(images, pixels=images.pixels[kept], labels=images.labels[kept], items=items)


@dataclass(frozen=True)
class SplitInfo:
    """What a store says of a split, without its images."""

    path: Path
    size: int  # pixels; side of the stored squares
    names: str  # digest of the class names, in order
    identity: Identity


class SplitWriter:
    """Writes one split of a store a part at a time, so that a data set need not fit in memory.

    Args:
        file: A new store.
        split: Name of the split.
        shape: Shape of its pixels, (n, height, width, 3).
        labels: Sorted labels (n,).
        class_names: A name for each label.
        items: An item id for each image.
        digests: The digest of each image at native size, (n, 32).
        files: Digest of the files that the images come from.
    """

    def __init__(
        self,
        file: h5py.File,
        split: str,
        shape: tuple[int, int, int, int],
        labels: NDArray[np.int32],
        class_names: Sequence[str],
        items: Sequence[str],
        digests: NDArray[np.uint8],
        files: str,
    ) -> None:
        self._group = file.create_group(split)
        self._group["labels"] = labels
        self._group["digests"] = digests
        for name, texts in (("class_names", class_names), ("items", items)):
            self._group.create_dataset(name, data=np.array(texts, dtype=object), dtype=h5py.string_dtype())
        self._pixels = self._group.create_dataset("pixels", shape, dtype=np.uint8)
        self._written = 0
        names = hashlib.sha256(repr(tuple(class_names)).encode()).hexdigest()
        fingerprint = identity.of_rows(digests, labels)
        self._group.attrs.update({"fingerprint": fingerprint, "files": files, "names": names})
        self._checksum = _checksum_of_all_but_pixels(shape, class_names, items, labels, digests)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Write the next images, (some, height, width, 3)."""
        self._pixels[self._written : self._written + len(pixels)] = pixels
        self._checksum.update(np.ascontiguousarray(pixels).data)
        self._written += len(pixels)

    def finish(self) -> None:
        """Leave the checksum, once all images are written."""
        assert self._written == len(self._pixels), (self._written, len(self._pixels))
        self._group.attrs["checksum"] = self._checksum.hexdigest()


def path_of(name: str, size: int, cache: Path | None = None) -> Path:
    """Where the store of a data set lies, made or not."""
    return cache_folder(cache) / "images" / f"{name}@{size}.h5"


def prepared(cache: Path | None = None) -> dict[str, dict[int, Path]]:
    """The stores in the cache: those of each data set, by the size of their images.

    Raises:
        FsbenchError: the cache cannot be read.
    """
    folder = cache_folder(cache) / "images"
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FsbenchError(f"cannot read {folder}: {reason(error)}") from error
    found: dict[str, dict[int, Path]] = {}
    for path in paths:
        name, _, size = path.stem.rpartition("@")
        if path.suffix == ".h5" and name and size.isdecimal():
            found.setdefault(name, {})[int(size)] = path
    return found


def sizes_text(found: Iterable[int]) -> str:
    """Sizes of stores, for people."""
    return ", ".join(map(str, sorted(found))) + " px"


def holds(path: Path, key: str) -> bool:
    """Whether there is a readable store of that key."""
    try:
        with opened(path) as file:
            return bool(file.attrs["key"] == key)
    except FsbenchError:
        return False


def begin(file: h5py.File, about: Mapping[str, str | int]) -> None:
    """Mark a new file as an image store; `about` becomes its attributes."""
    file.attrs.update({"format": FORMAT, **about})


def read(path: Path, split: str) -> ImageSplit:
    """Read one split into memory.

    Raises:
        FsbenchError: the file is not an image store, has no such split, or holds other images than were
            written.
    """
    with opened(path) as file:
        hdf5.check_text_heaps(path)
        group, about, most = group_of(file, split), hdf5.attributes(file), hdf5.capacity(path)
        found = ImageSplit(
            dataset=str(about["name"]),
            split=split,
            pixels=hdf5.numbers(group, "pixels", np.uint8, 4, most),
            labels=hdf5.numbers(group, "labels", np.int32, 1, most),
            class_names=hdf5.texts(group, "class_names", most),
            items=hdf5.texts(group, "items", most),
            identity=_identity(file, group),
            synthetic=bool(about["synthetic"]),
        )
        digests = hdf5.numbers(group, "digests", np.uint8, 2, most)
        _check(found, digests)
        checksum = hdf5.attributes(group)["checksum"]
    actual = _checksum_of_all_but_pixels(
        found.pixels.shape, found.class_names, found.items, found.labels, digests
    )
    actual.update(np.ascontiguousarray(found.pixels).data)
    if (actual.hexdigest(), identity.of_rows(digests, found.labels)) != (checksum, found.fingerprint):
        raise FsbenchError(f"{path}: images of {split} do not match their fingerprint; prepare them again")
    return found


def look(path: Path, split: str) -> SplitInfo:
    """What a store says of a split, without reading its images.

    Raises:
        FsbenchError: as `read`.
    """
    with opened(path) as file:
        group = group_of(file, split)
        side = hdf5.dataset(group, "pixels", "u", 4, hdf5.capacity(path)).shape[1]
        return SplitInfo(path, side, str(hdf5.attributes(group)["names"]), _identity(file, group))


def fingerprints(path: Path) -> tuple[tuple[str, str], ...]:
    """The fingerprint of each split of a store.

    Raises:
        FsbenchError: the store cannot be read.
    """
    with opened(path) as file:
        return tuple(
            (split, _identity(file, group_of(file, split)).fingerprint) for split in SPLITS if split in file
        )


def digests(path: Path, split: str) -> list[bytes]:
    """The digest of each image of a split at native size, in order.

    Raises:
        FsbenchError: as `read`.
    """
    with opened(path) as file:
        rows = hdf5.numbers(group_of(file, split), "digests", np.uint8, 2, hdf5.capacity(path))
        return [row.tobytes() for row in rows]


def group_of(file: h5py.File, split: str) -> h5py.Group:
    """The part of an open store that holds one split.

    Raises:
        FsbenchError: it has no such split.
    """
    if split not in file:
        raise FsbenchError(f"split {split!r}: data set {file.attrs['name']} has only {', '.join(file)}")
    return hdf5.subgroup(file, split)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an image store for reading.

    Raises:
        FsbenchError: the file cannot be read or is not an image store of this format.
    """
    try:
        hdf5.check_text_heaps(path, _GLANCE)
        with h5py.File(path, "r") as file:
            form = hdf5.attributes(file).get("format")
            if form != FORMAT:
                raise FsbenchError(f"{path}: image store format is {form}, not {FORMAT}; prepare it again")
            yield file
    except FsbenchError:
        raise
    except Exception as error:  # HDF5 names no bounds to what a torn file raises, then or while it is read
        raise FsbenchError(
            f"{path}: not a readable image store ({hdf5.describe_error(error)}); prepare it again"
        ) from error


def _identity(file: h5py.File, group: h5py.Group) -> Identity:
    about = hdf5.attributes(group)
    decoder = hdf5.attributes(file)["decoder"]
    return Identity(str(about["fingerprint"]), str(about["files"]), str(decoder))


def _check(found: ImageSplit, digests: NDArray[np.uint8]) -> None:
    """Refuse parts that do not fit each other."""
    n, labels = len(found.pixels), found.labels
    if not n == len(labels) == len(found.items) or not found.pixels.size or found.pixels.shape[3] != 3:
        raise InvalidValueError(
            f"pixels {found.pixels.shape} do not fit {len(labels)} labels or {len(found.items)} items"
        )
    if digests.shape != (n, 32):
        raise InvalidValueError(f"digests must have shape ({n}, 32), but have {digests.shape}")
    hdf5.check_labels(labels, len(found.class_names))


def _checksum_of_all_but_pixels(
    shape: tuple[int, ...],
    class_names: Sequence[str],
    items: Sequence[str],
    labels: NDArray[np.int32],
    digests: NDArray[np.uint8],
) -> "hashlib._Hash":
    """What the checksum of a split begins with."""
    checksum = hashlib.sha256(repr((shape, tuple(class_names), tuple(items))).encode())
    checksum.update(np.ascontiguousarray(labels, dtype="<i4").data)
    checksum.update(np.ascontiguousarray(digests).data)
    return checksum
