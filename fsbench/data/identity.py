"""Identity of images: their decoded pixels, independent of the names of files, folders and classes.

The digest of an image is over its pixels at native size, that of a class over the digests of its images, and
the fingerprint of a split over those of its classes. Items and classes are ordered by these digests, so the
same images give the same tasks in whatever form they are stored. Names are labels for people.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Identity:
    """Identity of the images of a split.

    Attributes:
        fingerprint: Digest of the decoded pixels, in hexadecimal.
        files: Digest of the bytes of the image files, in hexadecimal; it differs between file formats.
        decoder: Versions of the libraries that decoded the files.
    """

    fingerprint: str
    files: str
    decoder: str


def class_digest(images: Iterable[bytes]) -> bytes:
    """Compute the digest of a class from the digests of its images, in any order."""
    return hashlib.sha256(b"".join(sorted(images))).digest()


def split_digest(classes: Iterable[Iterable[bytes]]) -> str:
    """Compute the digest of a split, in hexadecimal, from the digests of the images of each class."""
    return hashlib.sha256(b"".join(sorted(map(class_digest, classes)))).hexdigest()


def ordered(images: Mapping[str, Mapping[str, bytes]]) -> dict[str, list[str]]:
    """Order classes and the items of each class by their digests; names only break ties.

    Args:
        images: Digest of each image, by class name and item id.
    """
    names = sorted(images, key=lambda name: (class_digest(images[name].values()), name))
    return {name: sorted(images[name], key=lambda item: (images[name][item], item)) for name in names}


def fingerprint(digests: NDArray[np.uint8], labels: NDArray[np.integer]) -> str:
    """Compute the fingerprint of stored images from their digests (n, 32) and sorted labels (n,)."""
    starts = np.flatnonzero(np.diff(labels)) + 1
    return split_digest([[row.tobytes() for row in part] for part in np.split(digests, starts)])


def explain_mismatch(files: str | None, decoder: str | None, actual: Identity) -> str:
    """Return the end of a message on an unexpected fingerprint: the decoder, if only that differs, or "".

    Args:
        files: Digest of the files of the expected images; None if unknown.
        decoder: Decoder of the expected images; None if unknown.
        actual: Identity of the images at hand.
    """
    if files != actual.files or decoder == actual.decoder:
        return ""
    return f"; every file is the same, but {actual.decoder} decodes them differently from {decoder}"
