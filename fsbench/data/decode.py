"""Decode images to digests, sizes and uint8 RGB squares: in parallel and in order."""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features
from PIL import __version__ as pillow_version

from fsbench._util.errors import FsbenchError
from fsbench.data._open_image import errors_naming, map_in_threads, open_image, regular_file
from fsbench.data.bit_depth import BitDepth, is_grey, is_negative_film, states_depth, stored_bits, to_8_bits
from fsbench.data.listing import Encoded, Picture

_AT_ONCE = 1 << 24  # bytes of pixels in memory besides the file that is written


def decoder() -> str:
    """Return the versions of the decoding libraries, for example "Pillow 12.0.0, libjpeg-turbo 3.1.2".

    The JPEG standard permits different rounding, so another decoder may give slightly different pixels.
    """
    turbo = features.version("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return f"Pillow {pillow_version}, {jpeg}"


def inspect_files(pictures: Sequence[Picture]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the SHA-256 of the bytes, and width and height, of each picture, without decoding it.

    Raises:
        FsbenchError: A file cannot be read or is not an image; the message names it.
    """
    for part in map_in_threads(_inspect, pictures, 1024):
        yield from part


def pixel_digests(pictures: Sequence[Picture], depth: BitDepth | None = None) -> Iterator[bytes]:
    """Yield the digest of the decoded pixels of each picture.

    The digest is SHA-256 over height and width, each as a little-endian 64-bit integer, and then the pixels
    of `native_pixels`. Copies of an image in other lossless formats therefore have the same digest. Pass the
    `depth` of the data set if `pictures` are only a part of it.

    Raises:
        FsbenchError: An image cannot be read; the message names it.
    """
    depth = depth or BitDepth(pictures)
    for part in map_in_threads(lambda picture: _digest(native_pixels(picture, depth)), pictures, 1024):
        yield from part


def native_pixels(picture: Picture, depth: BitDepth | None = None) -> NDArray[np.uint8]:
    """Decode a picture to RGB pixels (h, w, 3) at its native size.

    The image is rotated as its EXIF data say; transparency is placed on white.

    Values of more than 8 bits are scaled from the range that the file states, otherwise from that of `depth`,
    which by default is determined from this picture alone.

    Raises:
        FsbenchError: The image cannot be read; the message names it.
    """
    if isinstance(picture, np.ndarray):
        return picture
    with errors_naming(picture), open_image(picture) as image:
        return np.asarray(_rgb(image, depth or BitDepth([picture])))


def squares(
    pictures: Sequence[Picture], size: int, depth: BitDepth | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels (some, size, size, 3) of the pictures, part by part.

    Images of another size are resized to the square, whatever their aspect ratio, as is usual in few-shot
    evaluation. Pass the `depth` of the data set if `pictures` are only a part of it.

    Raises:
        FsbenchError: An image cannot be read; the message names it.
    """
    depth = depth or BitDepth(pictures)
    for part in map_in_threads(lambda picture: _square(picture, size, depth), pictures, _at_once(size)):
        yield np.stack(part)


def squares_or_errors(
    pictures: Sequence[Picture], size: int, depth: BitDepth | None = None
) -> Iterator[list[NDArray[np.uint8] | FsbenchError]]:
    """Yield the same as `squares`, with the error in place of an image that cannot be read."""
    depth = depth or BitDepth(pictures)

    def square_or_error(picture: Picture) -> NDArray[np.uint8] | FsbenchError:
        try:
            return _square(picture, size, depth)
        except FsbenchError as error:
            return error

    yield from map_in_threads(square_or_error, pictures, _at_once(size))


def thumbnails(paths: Sequence[Path], side: int) -> Iterator[Image.Image]:
    """Yield each image in RGB with its own aspect ratio, as large as a square of `side` pixels can hold.

    Raises:
        FsbenchError: An image cannot be read; the message names it.
    """
    depth = BitDepth(paths, quiet=True)
    for part in map_in_threads(lambda path: _thumbnail(path, side, depth), paths, 256):
        yield from part


def _at_once(size: int) -> int:
    """Return how many squares are decoded before they are yielded."""
    return max(1, _AT_ONCE // (3 * size * size))


def _inspect(picture: Picture) -> tuple[bytes, tuple[int, int]]:
    """Return the SHA-256 of the bytes, and width and height, of a picture."""
    if isinstance(picture, np.ndarray):
        height, width = picture.shape[:2]
        return hashlib.sha256(np.ascontiguousarray(picture).data).digest(), (width, height)
    with errors_naming(picture):
        content = regular_file(picture).read_bytes() if isinstance(picture, Path) else picture.content
        with open_image(Encoded("", content)) as image:
            return hashlib.sha256(content).digest(), image.size


def _digest(pixels: NDArray[np.uint8]) -> bytes:
    """Return the digest of the size and pixels (h, w, 3) of an image."""
    digest = hashlib.sha256(struct.pack("<qq", *pixels.shape[:2]))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _square(picture: Picture, size: int, depth: BitDepth | None = None) -> NDArray[np.uint8]:
    """Return the pixels (size, size, 3) of a picture."""
    pixels = native_pixels(picture, depth)
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _thumbnail(path: Path, side: int, depth: BitDepth | None = None) -> Image.Image:
    """Return a small copy of an image, in RGB."""
    with errors_naming(path), open_image(path) as image:
        image.draft("RGB", (2 * side, 2 * side))  # decodes a JPEG at a half, a quarter or an eighth
        return ImageOps.contain(_rgb(image, depth or BitDepth([path])), (side, side))


def _rgb(opened: Image.Image, depth: BitDepth) -> Image.Image:
    """Return the first frame in RGB, upright, with transparency on white and values scaled to 8 bits."""
    if opened.mode == "F":
        raise ValueError("its pixels are floats, not 8 or 16 bits")
    stored, grey = stored_bits(opened), is_grey(opened)
    image = ImageOps.exif_transpose(opened)
    if stored > 8:
        used = stored if states_depth(opened) else depth.used(stored, grey=grey)
        if grey:
            values = to_8_bits(np.asarray(image), used)
            image = Image.fromarray(255 - values if is_negative_film(opened) else values)
        elif used < 16:
            raise ValueError(
                f"only the upper 8 of the 16 bits of its colours can be read, and the images use {used}; "
                "convert them to 8 bits per colour"
            )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
