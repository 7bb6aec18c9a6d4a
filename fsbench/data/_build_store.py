"""Build an image store from a listing of images: survey their files, order them by content, write."""

import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsbench._util.files import atomic_hdf5
from fsbench._util.progress import progress
from fsbench.data import identity
from fsbench.data._store_writer import SplitWriter, write_header
from fsbench.data.bit_depth import BitDepth
from fsbench.data.decode import decoder, inspect_files, pixel_digests, squares
from fsbench.data.listing import SPLITS, Listing, Picture

UNEVEN_SIZE = 96  # stored size of images of different sizes: evaluation at 84 px resizes to it


@dataclass(frozen=True)
class Survey:
    """Digests and sizes of the files of a listing, read before they are decoded."""

    key: str  # SHA-256 of all names and bytes
    files: Mapping[str, str]  # digest of the bytes of each split, without names
    side: int  # default side of the stored squares in pixels
    native: int  # pixels; the median of the images' shorter sides


def survey_files(listing: Listing, *, quiet: bool) -> Survey:
    """Read names, bytes and sizes of all images, without decoding them."""
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
        for row, (digest, size) in zip(rows, inspect_files(pictures), strict=True):
            key.update(repr((*row, digest)).encode())
            sizes.append(size)
            files.setdefault(row[0], {}).setdefault(row[1], []).append(digest)
            bar.update()
    width, height = sizes[0]
    return Survey(
        key=key.hexdigest(),
        files={split: identity.split_digest(classes.values()) for split, classes in files.items()},
        side=width if len(set(sizes)) == 1 and width == height else UNEVEN_SIZE,
        native=int(statistics.median(map(min, sizes))),
    )


def write_store(
    path: Path, listing: Listing, survey: Survey, attributes: Mapping[str, str | bool], *, quiet: bool
) -> None:
    """Write the store of these images, whole or not at all; the caller holds its lock."""
    size = int(path.stem.rpartition("@")[2])
    splits = [split for split in SPLITS if split in listing]
    classes = [items for split in splits for items in listing[split].values()]
    depth = BitDepth([picture for items in classes for picture in items.values()])
    orders = {split: _order(split, listing[split], depth, quiet=quiet) for split in splits}
    total = sum(len(rows) for rows, _ in orders.values())
    with atomic_hdf5(path) as (file, check_disk), progress("prepare", total, "images", quiet=quiet) as bar:
        write_header(file, {**attributes, "key": survey.key, "native": survey.native, "decoder": decoder()})
        writers = {}
        for split, (rows, digests) in orders.items():
            label_of = {name: label for label, name in enumerate(dict.fromkeys(name for name, _ in rows))}
            labels = np.array([label_of[name] for name, _ in rows], dtype=np.int32)
            items, shape = [item for _, item in rows], (len(rows), size, size, 3)
            writers[split] = SplitWriter(
                file, split, shape, labels, list(label_of), items, digests, survey.files[split]
            )
        for split, writer in writers.items():  # pixels last, so that all names are at the file's beginning
            pictures = [listing[split][class_name][item] for class_name, item in orders[split][0]]
            for pixels in squares(pictures, size, depth):
                writer.add(pixels)
                check_disk()
                bar.update(len(pixels))
            writer.finish()


def _order(
    split: str, classes: Mapping[str, Mapping[str, Picture]], depth: BitDepth, *, quiet: bool
) -> tuple[list[tuple[str, str]], NDArray[np.uint8]]:
    """Return class name and item of each image in the order of the store, and the digests (n, 32)."""
    rows = [(name, item) for name in sorted(classes) for item in sorted(classes[name])]
    digests: dict[str, dict[str, bytes]] = {name: {} for name in classes}
    with progress(f"decode {split}", len(rows), "images", quiet=quiet) as bar:
        pictures = [classes[name][item] for name, item in rows]
        for (name, item), digest in zip(rows, pixel_digests(pictures, depth), strict=True):
            digests[name][item] = digest
            bar.update()
    ordered = [(name, item) for name, items in identity.ordered(digests).items() for item in items]
    joined = b"".join(digests[name][item] for name, item in ordered)
    return ordered, np.frombuffer(joined, dtype=np.uint8).reshape(-1, 32)
