"""From pictures, files or pixels, to digests, sizes and uint8 RGB squares: in parallel, and in order."""

import hashlib
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features
from PIL import __version__ as pillow_version

from fsbench.data.readers import Encoded, Picture
from fsbench.errors import FsbenchError
from fsbench.files import reason

_AT_ONCE = 1 << 24  # bytes of stored pixels in memory besides the file that is written
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Above 89 million pixels Pillow only warns, up to twice as many. A filter, since threads share them all.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
P = TypeVar("P", bound=Picture)
T = TypeVar("T")


def looks(pictures: Sequence[Picture]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """SHA-256 of the bytes, and width and height, of each picture.

    Raises:
        FsbenchError: a file cannot be read or is no image; it is named.
    """
    for part in _in_threads(_look, pictures, 1024):
        yield from part


def identities(pictures: Sequence[Picture]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Digest of the decoded pixels, and width and height, of each picture.

    The digest is SHA-256 over height and width, each as a little-endian 64-bit integer, and then the pixels
    of `native`. Copies of an image in other lossless formats therefore have the same digest.

    Raises:
        FsbenchError: An image cannot be read; the message names it.
    """
    for part in _in_threads(_identity, pictures, 1024):
        yield from part


def native(picture: Picture) -> NDArray[np.uint8]:
    """RGB pixels (h, w, 3) of a picture at its own size: upright by its EXIF data, transparency on white.

    Raises:
        FsbenchError: The image cannot be read; the message names it.
    """
    return picture if isinstance(picture, np.ndarray) else np.asarray(_decoded(picture))


def decoder() -> str:
    """Versions of the libraries that decode images, for example "Pillow 12.0.0, libjpeg-turbo 3.1.2".

    JPEG leaves room for rounding, so that another decoder can give slightly different pixels.
    """
    turbo = features.version("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return f"Pillow {pillow_version}, {jpeg}"


def squares(pictures: Sequence[Picture], size: int) -> Iterator[NDArray[np.uint8]]:
    """Pixels (some, size, size, 3) of the pictures, part by part.

    Images of another size are squashed to it, whatever their aspect ratio, as the field's evaluation does.

    Raises:
        FsbenchError: an image cannot be read; it is named.
    """
    at_once = max(1, _AT_ONCE // (3 * size * size))
    for part in _in_threads(lambda picture: _square(picture, size), pictures, at_once):
        yield np.stack(part)


def tried_squares(pictures: Sequence[Picture], size: int) -> Iterator[list[NDArray[np.uint8] | FsbenchError]]:
    """As `squares`, but with the error in the place of an image that cannot be read."""

    def tried(picture: Picture) -> NDArray[np.uint8] | FsbenchError:
        try:
            return _square(picture, size)
        except FsbenchError as error:
            return error

    yield from _in_threads(tried, pictures, max(1, _AT_ONCE // (3 * size * size)))


def thumbnails(paths: Sequence[Path], side: int) -> Iterator[Image.Image]:
    """Each image as large as a square of `side` pixels can hold, in RGB, with its own aspect ratio.

    Raises:
        FsbenchError: an image cannot be read; it is named.
    """
    for part in _in_threads(lambda path: _thumbnail(path, side), paths, 256):
        yield from part


def _in_threads(work: Callable[[P], T], pictures: Sequence[P], at_once: int) -> Iterator[list[T]]:
    """Results in the order of the pictures, by as many threads as there are cores: Pillow frees the lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pictures), at_once):
            yield list(pool.map(work, pictures[start : start + at_once]))


def _look(picture: Picture) -> tuple[bytes, tuple[int, int]]:
    if isinstance(picture, np.ndarray):
        height, width = picture.shape[:2]
        return hashlib.sha256(np.ascontiguousarray(picture).data).digest(), (width, height)
    with _named(picture):
        content = _regular(picture).read_bytes() if isinstance(picture, Path) else picture.content
        with Image.open(BytesIO(content), formats=_formats()) as image:
            return hashlib.sha256(content).digest(), image.size


def _identity(picture: Picture) -> tuple[bytes, tuple[int, int]]:
    pixels = native(picture)
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(struct.pack("<qq", height, width))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest(), (width, height)


def _square(picture: Picture, size: int) -> NDArray[np.uint8]:
    pixels = native(picture)
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _decoded(picture: Path | Encoded) -> Image.Image:
    """The image of a file, upright and in RGB, at its own size."""
    with _named(picture):
        file = _regular(picture) if isinstance(picture, Path) else BytesIO(picture.content)
        with Image.open(file, formats=_formats()) as opened:
            return _rgb(ImageOps.exif_transpose(opened))


def _thumbnail(path: Path, side: int) -> Image.Image:
    with _named(path), Image.open(_regular(path), formats=_formats()) as opened:
        opened.draft("RGB", (2 * side, 2 * side))  # a JPEG may be decoded at a half, a quarter or an eighth
        return ImageOps.contain(_rgb(ImageOps.exif_transpose(opened)), (side, side))


@cache
def _formats() -> list[str]:
    """The formats that files are taken for images by; Pillow hands others to programs, EPS to Ghostscript."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _regular(path: Path) -> Path:
    """The path, if no pipe or device hides behind it, which may have no end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("it is no regular file")
    return path


def _rgb(image: Image.Image) -> Image.Image:
    """The first frame in RGB: transparency on white, 16 bits scaled to 8."""
    if image.mode == "F":
        raise ValueError("its pixels are floats, not 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


@contextmanager
def _named(picture: Path | Encoded) -> Iterator[None]:
    """Name the image that cannot be read."""
    try:
        yield
    except Exception as error:  # Pillow lets through whatever its many parsers stumble over
        if isinstance(error, UnidentifiedImageError):
            why = "it is no image of a known format"
        else:
            why = reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
        name = picture if isinstance(picture, Path) else picture.name
        raise FsbenchError(f"image {name}: cannot be read ({' '.join(why.split())})") from error
