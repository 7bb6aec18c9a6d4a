"""Images with more than 8 bits per value: how many bits a file stores and uses, and conversion to 8 bits."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_USED = (8, 10, 12, 14, 16, 24, 31)  # depths of cameras and scanners, and the largest that Pillow reads
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0


def stored_bits(image: Image.Image) -> int:
    """Bits per value in the file of an image that is open but not decoded; 8 also for fewer."""
    if image.mode.startswith("I"):
        return int(image.tag_v2[_BITS_PER_SAMPLE][0]) if image.format == "TIFF" else 16  # type: ignore[attr-defined]
    deep_colour = image.format in ("PNG", "TIFF") and any(";16" in repr(tile[3]) for tile in image.tile)  # type: ignore[attr-defined]
    return 16 if deep_colour else 8


def states_depth(image: Image.Image) -> bool:
    """Whether the file of an open image with more than 8 bits states how many bits its values use.

    PGM has a largest value, to which Pillow scales, and 12-bit TIFF has a size of its own. PNG and TIFF of 16
    or 32 bits have no reliable statement: sBIT of PNG describes scaled values, and MaxSampleValue of TIFF is
    for statistics only.
    """
    return image.format == "PPM" or stored_bits(image) == 12


def largest_value(image: Image.Image) -> int:
    """The largest value of an image; of 16-bit colours Pillow reads only the upper byte."""
    values = np.asarray(image)
    if image.mode.startswith("I"):
        return int(values.max())
    return 256 * int(values[..., :3].max()) + 255  # without transparency, which uses all bits


def used_bits(largest: int) -> int:
    """The smallest usual depth that holds a value."""
    return next(bits for bits in _USED if largest < 1 << bits)


def to_8_bits(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Grey values 0 to 2**bits - 1 as 0 to 255.

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
