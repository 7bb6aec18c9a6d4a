"""The image store: every image of a data set as uint8 pixels in one HDF5 file, keyed by content.

A store is `<cache>/images/<name>-<digest>.h5` with one group a split: `pixels` (n, height, width, 3) uint8,
`labels` (n,) int32, `class_names` and `items`, sorted by (class name, item id), so that the order of files
on a disk is irrelevant. Each split carries its fingerprint, the SHA-256 of all of that; what is computed
from images (features, results) names the fingerprint, never just the data set.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench.errors import FsbenchError
from fsbench.files import reason, whole_file

FORMAT = 1
SPLITS = ("base", "val", "novel")


@dataclass(frozen=True)
class ImageSplit:
    """One split of a data set, in memory."""

    dataset: str
    split: str
    pixels: NDArray[np.uint8]  # (n, height, width, 3)
    labels: NDArray[np.int32]  # (n,), sorted; an index into class_names
    class_names: tuple[str, ...]  # sorted
    items: tuple[str, ...]  # (n,), the item id of each image, sorted within its class
    fingerprint: str  # SHA-256 over pixels, labels, class names and items


def fingerprint(
    pixels: NDArray[np.uint8], labels: NDArray[np.int32], class_names: tuple[str, ...], items: tuple[str, ...]
) -> str:
    """The SHA-256 of a split's content, in hexadecimal."""
    digest = hashlib.sha256()
    digest.update(repr((pixels.shape, class_names, items)).encode())
    digest.update(np.ascontiguousarray(labels, dtype="<i4"))
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def write(path: Path, splits: Mapping[str, ImageSplit], about: Mapping[str, str | int]) -> None:
    """Write the splits of one data set, whole or not at all; `about` becomes the file's attributes."""
    with whole_file(path) as part, h5py.File(part, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs.update(about)
        for name, split in splits.items():
            group = file.create_group(name)
            group.attrs["fingerprint"] = split.fingerprint
            group["pixels"] = split.pixels
            group["labels"] = split.labels
            text = h5py.string_dtype()
            group.create_dataset("class_names", data=np.array(split.class_names, dtype=object), dtype=text)
            group.create_dataset("items", data=np.array(split.items, dtype=object), dtype=text)


def read(path: Path, split: str) -> ImageSplit:
    """Read one split into memory.

    Raises:
        FsbenchError: the file is not an image store, or has no such split.
    """
    with opened(path) as file:
        if split not in file:
            raise FsbenchError(f"split {split!r}: {path.name} holds only {', '.join(file)}")
        group = file[split]
        return ImageSplit(
            dataset=str(file.attrs["name"]),
            split=split,
            pixels=group["pixels"][()],
            labels=group["labels"][()],
            class_names=tuple(group["class_names"].asstr()[()]),
            items=tuple(group["items"].asstr()[()]),
            fingerprint=str(group.attrs["fingerprint"]),
        )


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an image store for reading.

    Raises:
        FsbenchError: the file cannot be read or is not an image store of this format.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FsbenchError(f"{path}: not a readable image store ({reason(error)}); prepare it again") from error
    with file:
        if file.attrs.get("format") != FORMAT:
            raise FsbenchError(f"{path}: image store format is {file.attrs.get('format')}, not {FORMAT}; prepare it again")
        yield file
