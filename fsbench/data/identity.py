"""Identity of images: their decoded pixels, whatever their files, folders and classes are called.

The digest of an image is over its pixels at native size, that of a class over the digests of its images, and
the fingerprint of a split over those of its classes. Items and classes are ordered by these digests, so that
the same images give the same tasks in whatever form they lie on a disk. Names are labels for people.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Identity:
    """Which images a split holds."""

    fingerprint: str  # of the decoded pixels
    files: str  # of the bytes of the image files; other forms of the same images have other ones
    decoder: str  # which library decoded the files


def of_class(images: Iterable[bytes]) -> bytes:
    """The digest of a class from those of its images, in whatever order."""
    return hashlib.sha256(b"".join(sorted(images))).digest()


def of_split(classes: Iterable[Iterable[bytes]]) -> str:
    """The fingerprint of a split, in hexadecimal, from the digests of the images of each class."""
    return hashlib.sha256(b"".join(sorted(map(of_class, classes)))).hexdigest()


def ordered(images: Mapping[str, Mapping[str, bytes]]) -> dict[str, list[str]]:
    """The items of each class, classes and items by their digests; names decide between equal ones alone.

    Args:
        images: Digest of each image by class name and item id.
    """
    names = sorted(images, key=lambda name: (of_class(images[name].values()), name))
    return {name: sorted(images[name], key=lambda item: (images[name][item], item)) for name in names}


def of_rows(digests: NDArray[np.uint8], labels: NDArray[np.integer]) -> str:
    """The fingerprint of stored images: digests (n, 32) and their sorted labels (n,)."""
    starts = np.flatnonzero(np.diff(labels)) + 1
    return of_split([[row.tobytes() for row in part] for part in np.split(digests, starts)])


def why_other(files: str | None, decoder: str | None, now: Identity) -> str:
    """What to add where a fingerprint is not the expected one: the decoder, if every file is the same.

    Args:
        files: Digest of the files of the expected images, where it is known.
        decoder: What decoded the expected images.
        now: The images at hand.
    """
    if files != now.files or decoder == now.decoder:
        return ""
    return f"; every file is the same, but {now.decoder} decodes them differently from {decoder}"
