"""Write image stores."""

import hashlib
from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench.data import identity

FORMAT = 2  # format 1 ordered images by the names of their files


def write_header(file: h5py.File, attributes: Mapping[str, str | int]) -> None:
    """Write the format and these attributes into a new file."""
    file.attrs.update({"format": FORMAT, **attributes})


class SplitWriter:
    """Write one split of a store part by part, so that a data set need not fit into memory.

    Args:
        file: A new store.
        split: Name of the split.
        shape: Shape of its pixels, (n, height, width, 3).
        labels: Sorted labels, (n,).
        class_names: Name of each class.
        items: Item id of each image, (n,).
        digests: Digest of each image at native size, (n, 32).
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
        fingerprint = identity.fingerprint(digests, labels)
        self._group.attrs.update({"fingerprint": fingerprint, "files": files, "names": names})
        self._checksum = begin_checksum(shape, class_names, items, labels, digests)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Write the next images, (some, height, width, 3)."""
        self._pixels[self._written : self._written + len(pixels)] = pixels
        self._checksum.update(np.ascontiguousarray(pixels).data)
        self._written += len(pixels)

    def finish(self) -> None:
        """Write the checksum, after all images."""
        assert self._written == len(self._pixels), (self._written, len(self._pixels))
        self._group.attrs["checksum"] = self._checksum.hexdigest()


def begin_checksum(
    shape: tuple[int, ...],
    class_names: Sequence[str],
    items: Sequence[str],
    labels: NDArray[np.int32],
    digests: NDArray[np.uint8],
) -> "hashlib._Hash":
    """Start the checksum of a split; its pixels are added later."""
    checksum = hashlib.sha256(repr((shape, tuple(class_names), tuple(items))).encode())
    checksum.update(np.ascontiguousarray(labels, dtype="<i4").data)
    checksum.update(np.ascontiguousarray(digests).data)
    return checksum
