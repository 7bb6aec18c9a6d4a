"""Images with more than 8 bits per value: how many bits they use, and conversion to 8 bits."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsbench.data._open_image import map_in_threads, open_image
from fsbench.data.listing import Picture

_DEPTHS = (8, 10, 12, 14, 16, 24, 31)  # bits of cameras and scanners, and the maximum of Pillow
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0
_log = logging.getLogger(__name__)


class BitDepth:
    """Bits that the values of a data set's images use, where the files do not state it.

    They are the smallest of 8, 10, 12, 14, 16, 24 and 31 that hold the largest value of all images, so that
    images keep their brightness relative to each other. They are determined when the first image needs them.
    If they are fewer than the files store, a warning is logged.

    Args:
        pictures: All images of the data set.
        quiet: Do not log the warning.
    """

    def __init__(self, pictures: Sequence[Picture], *, quiet: bool = False) -> None:
        self._pictures, self._quiet = pictures, quiet
        self._used: dict[tuple[int, bool], int] | None = None
        self._lock = Lock()

    def used(self, stored: int, *, grey: bool) -> int:
        """Bits that images use of the `stored` bits, separately for grey and for colour images."""
        with self._lock:
            if self._used is None:
                self._used = self._determine()
            return self._used[stored, grey]

    def _determine(self) -> dict[tuple[int, bool], int]:
        """Return the bits in use, by stored bits and whether the images are grey."""
        largest = defaultdict(list)
        for part in map_in_threads(_largest_value, self._pictures, 1024):
            for kind, value in filter(None, part):
                largest[kind].append(value)
        used = {kind: used_bits(max(values)) for kind, values in largest.items()}
        for (stored, grey), bits in used.items():
            if grey and bits < stored - 1 and not self._quiet:
                values = largest[stored, grey]
                _log.warning(
                    "fsbench: warning: %d images store %d bits per value and do not state how many they use; "
                    "no value is above %d, so they are read as %d-bit images",
                    *(len(values), stored, max(values), bits),
                )
        return used


def stored_bits(image: Image.Image) -> int:
    """Bits per value in the file of an opened, not yet decoded image; 8 also for fewer."""
    if is_grey(image):
        return int(image.tag_v2[_BITS_PER_SAMPLE][0]) if image.format == "TIFF" else 16  # type: ignore[attr-defined]
    deep_colour = image.format in ("PNG", "TIFF") and any(";16" in repr(tile[3]) for tile in image.tile)  # type: ignore[attr-defined]
    return 16 if deep_colour else 8


def is_grey(image: Image.Image) -> bool:
    """Whether Pillow reads the image as grey values of more than 8 bits."""
    return image.mode.startswith("I")


def states_depth(image: Image.Image) -> bool:
    """Whether the file of an open image with more than 8 bits states how many bits its values use.

    PGM states a largest value, to which Pillow scales, and 12-bit TIFF has 12 bits per sample. PNG and TIFF
    of 16 or 32 bits have no reliable statement: sBIT of PNG describes scaled values, and MaxSampleValue of
    TIFF is for statistics only.
    """
    return image.format == "PPM" or stored_bits(image) == 12


def used_bits(largest: int) -> int:
    """Return the smallest of the common bit depths that holds a value."""
    return next(bits for bits in _DEPTHS if largest < 1 << bits)


def to_8_bits(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Scale grey values from 0 to 2**bits - 1 to 0 to 255.

    Raises:
        ValueError: A value is negative.
    """
    if values.min() < 0:
        raise ValueError("its values are negative, or above 2147483647")
    scaled: NDArray[np.uint8] = np.rint(values * (255 / ((1 << bits) - 1))).clip(0, 255).astype(np.uint8)
    return scaled


def is_negative_film(image: Image.Image) -> bool:
    """Whether 0 is white in an open grey TIFF; Pillow takes that into account for 8 bits only."""
    return image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]


def _largest_value(picture: Picture) -> tuple[tuple[int, bool], int] | None:
    """Stored bits, greyness and largest value of an image; None if its depth is 8 or stated by the file."""
    if isinstance(picture, np.ndarray):
        return None
    try:
        with open_image(picture) as image:
            stored, grey = stored_bits(image), is_grey(image)
            if stored == 8 or states_depth(image):
                return None
            values = np.asarray(image)
            if grey:
                return (stored, grey), int(values.max())
            # Of 16-bit colours Pillow reads only the upper byte. Transparency uses all bits.
            return (stored, grey), 256 * int(values[..., :3].max()) + 255
    except Exception:  # it is reported when the image itself is decoded
        return None
