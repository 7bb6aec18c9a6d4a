"""The image store: every image of a data set as uint8 pixels in one HDF5 file, ordered by content.

A store is `<cache>/images/<name>@<size>.h5`, with one group per split: `pixels` (n, height, width, 3) uint8,
`labels` (n,) int32, `class_names`, `items` and `digests` (n, 32) of the images at native size, which order
classes and items (`identity`). The key of a store is the digest of the files it was made from. Each split has
a fingerprint, which depends neither on names nor on the stored size. Features and results record the
fingerprint in addition to the name of the data set.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import cache_folder
from fsbench._util.untrusted import InvalidValueError, hdf5
from fsbench.data import identity
from fsbench.data._store_writer import FORMAT, begin_checksum
from fsbench.data.identity import Identity
from fsbench.data.image_split import ImageSplit
from fsbench.data.listing import SPLITS

_HEADER = 1 << 24  # bytes at the beginning of a store that contain all its names


@dataclass(frozen=True)
class SplitInfo:
    """Description of a split in a store, without its images.

    Attributes:
        path: The store.
        size: Side of the stored squares in pixels.
        names: Digest of the class names, in order.
        identity: Identity of the images.
    """

    path: Path
    size: int
    names: str
    identity: Identity


def store_path(name: str, size: int, cache: Path | None = None) -> Path:
    """Return the path of the store of a data set at a size in pixels, whether or not it exists."""
    return cache_folder(cache) / "images" / f"{name}@{size}.h5"


def prepared_stores(cache: Path | None = None) -> dict[str, dict[int, Path]]:
    """List the stores in the cache: those of each data set, by the size of their images.

    Raises:
        FsbenchError: The cache cannot be read.
    """
    folder = cache_folder(cache) / "images"
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FsbenchError(f"cannot read {folder}: {reason(error)}") from error
    stores: dict[str, dict[int, Path]] = {}
    for path in paths:
        name, _, size = path.stem.rpartition("@")
        if path.suffix == ".h5" and name and size.isdecimal():
            stores.setdefault(name, {})[int(size)] = path
    return stores


def format_sizes(sizes: Iterable[int]) -> str:
    """Format the sizes of stores, such as "32, 96 px"."""
    return ", ".join(map(str, sorted(sizes))) + " px"


def has_key(path: Path, key: str) -> bool:
    """Whether `path` is a readable store with this key."""
    try:
        with open_store(path) as file:
            return bool(file.attrs["key"] == key)
    except FsbenchError:
        return False


def read(path: Path, split: str) -> ImageSplit:
    """Read one split into memory.

    Raises:
        FsbenchError: The file is not an image store, has no such split, or was changed after it was written.
    """
    with open_store(path) as file:
        hdf5.check_text_heaps(path)
        group, attributes, most = split_group(file, split), hdf5.attributes(file), hdf5.capacity(path)
        images = ImageSplit(
            dataset=str(attributes["name"]),
            split=split,
            pixels=hdf5.numbers(group, "pixels", np.uint8, 4, most),
            labels=hdf5.numbers(group, "labels", np.int32, 1, most),
            class_names=hdf5.texts(group, "class_names", most),
            items=hdf5.texts(group, "items", most),
            identity=_identity(file, group),
            synthetic=bool(attributes["synthetic"]),
        )
        digests = hdf5.numbers(group, "digests", np.uint8, 2, most)
        _check_shapes(images, digests)
        stored = hdf5.attributes(group)["checksum"], images.fingerprint
    checksum = begin_checksum(images.pixels.shape, images.class_names, images.items, images.labels, digests)
    checksum.update(np.ascontiguousarray(images.pixels).data)
    if (checksum.hexdigest(), identity.fingerprint(digests, images.labels)) != stored:
        raise FsbenchError(f"{path}: images of {split} do not match their fingerprint; prepare them again")
    return images


def split_info(path: Path, split: str) -> SplitInfo:
    """Describe a split of a store without reading its images.

    Raises:
        FsbenchError: As for `read`.
    """
    with open_store(path) as file:
        group = split_group(file, split)
        side = hdf5.dataset(group, "pixels", "u", 4, hdf5.capacity(path)).shape[1]
        return SplitInfo(path, side, str(hdf5.attributes(group)["names"]), _identity(file, group))


def fingerprints(path: Path) -> tuple[tuple[str, str], ...]:
    """Return the name and fingerprint of each split of a store.

    Raises:
        FsbenchError: The store cannot be read.
    """
    with open_store(path) as file:
        return tuple(
            (split, _identity(file, split_group(file, split)).fingerprint)
            for split in SPLITS
            if split in file
        )


def digests(path: Path, split: str) -> list[bytes]:
    """Return the digest of each image of a split at native size, in order.

    Raises:
        FsbenchError: As for `read`.
    """
    with open_store(path) as file:
        rows = hdf5.numbers(split_group(file, split), "digests", np.uint8, 2, hdf5.capacity(path))
        return [row.tobytes() for row in rows]


def split_group(file: h5py.File, split: str) -> h5py.Group:
    """Return the group of an open store that holds a split.

    Raises:
        FsbenchError: The store has no such split.
    """
    if split not in file:
        advice = (
            "sort its classes into folders base/, val/ and novel/, or divide them at random with --split "
            "60/20/20, and prepare it again"
        )
        advice = "choose another data set" if file.attrs["synthetic"] else advice
        raise FsbenchError(
            f"split {split!r}: data set {file.attrs['name']} has only {', '.join(file)}; {advice}"
        )
    return hdf5.subgroup(file, split)


@contextmanager
def open_store(path: Path) -> Iterator[h5py.File]:
    """Open an image store for reading.

    Raises:
        FsbenchError: The file cannot be read or is not an image store of this format.
    """
    try:
        hdf5.check_text_heaps(path, _HEADER)
        with h5py.File(path, "r") as file:
            version = hdf5.attributes(file).get("format")
            if version != FORMAT:
                raise FsbenchError(f"{path}: image store format is {version}, not {FORMAT}; prepare it again")
            yield file
    except FsbenchError:
        raise
    except Exception as error:  # HDF5 raises errors of any kind for damaged files, also while they are read
        raise FsbenchError(
            f"{path}: not a readable image store ({reason(error)}); prepare it again"
        ) from error


def _identity(file: h5py.File, group: h5py.Group) -> Identity:
    """Return the identity of a split."""
    attributes, decoder = hdf5.attributes(group), hdf5.attributes(file)["decoder"]
    return Identity(str(attributes["fingerprint"]), str(attributes["files"]), str(decoder))


def _check_shapes(images: ImageSplit, digests: NDArray[np.uint8]) -> None:
    """Refuse arrays that do not fit each other."""
    n, labels = len(images.pixels), images.labels
    if not n == len(labels) == len(images.items) or not images.pixels.size or images.pixels.shape[3] != 3:
        raise InvalidValueError(
            f"pixels {images.pixels.shape} do not fit {len(labels)} labels or {len(images.items)} items"
        )
    if digests.shape != (n, 32):
        raise InvalidValueError(f"digests must have shape ({n}, 32), but have {digests.shape}")
    hdf5.check_labels(labels, len(images.class_names))
