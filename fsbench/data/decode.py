"""From pictures, files or pixels, to digests, sizes and uint8 RGB squares: in parallel, and in order."""

import hashlib
import logging
import os
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features
from PIL import __version__ as pillow_version

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason
from fsbench.data.depth import (
    is_negative_film,
    largest_value,
    states_depth,
    stored_bits,
    to_8_bits,
    used_bits,
)
from fsbench.data.layouts import Encoded, Picture

_AT_ONCE = 1 << 24  # bytes of stored pixels in memory besides the file that is written
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_log = logging.getLogger(__name__)
P = TypeVar("P", bound=Picture)
T = TypeVar("T")


class Depth:
    """Bits that the values of a data set's images use, where their files do not state it.

    They are the smallest of 8, 10, 12, 14, 16, 24 and 31 that hold the largest value of all images, so that
    images keep their brightness relative to each other. They are found when the first image needs them, and
    logged as a warning where they are fewer than the files store.
    """

    def __init__(self, pictures: Sequence[Picture], *, quiet: bool = False) -> None:
        self._pictures, self._quiet = pictures, quiet
        self._used: dict[tuple[int, bool], int] | None = None
        self._lock = Lock()

    def used(self, stored: int, *, grey: bool) -> int:
        """Bits that are used of `stored` bits, by grey images or by those in colour."""
        with self._lock:
            if self._used is None:
                self._used = self._find()
            return self._used[stored, grey]

    def _find(self) -> dict[tuple[int, bool], int]:
        largest = defaultdict(list)
        for part in _in_threads(_peak, self._pictures, 1024):
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


def looks(pictures: Sequence[Picture]) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """SHA-256 of the bytes, and width and height, of each picture.

    Raises:
        FsbenchError: a file cannot be read or is no image; it is named.
    """
    for part in _in_threads(_look, pictures, 1024):
        yield from part


def identities(
    pictures: Sequence[Picture], depth: Depth | None = None
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Digest of the decoded pixels, and width and height, of each picture.

    The digest is SHA-256 over height and width, each as a little-endian 64-bit integer, and then the pixels
    of `native`. Copies of an image in other lossless formats therefore have the same digest. `depth` is that
    of the data set, where `pictures` are a part of it.

    Raises:
        FsbenchError: An image cannot be read; the message names it.
    """
    depth = depth or Depth(pictures)
    for part in _in_threads(lambda picture: _identity(picture, depth), pictures, 1024):
        yield from part


def native(picture: Picture, depth: Depth | None = None) -> NDArray[np.uint8]:
    """RGB pixels (h, w, 3) of a picture at its own size: upright by its EXIF data, transparency on white.

    Values of more than 8 bits are scaled from the range that the file states, else from that of `depth`, by
    default of this picture alone.

    Raises:
        FsbenchError: The image cannot be read; the message names it.
    """
    return picture if isinstance(picture, np.ndarray) else np.asarray(_decoded(picture, depth))


def decoder() -> str:
    """Versions of the libraries that decode images, for example "Pillow 12.0.0, libjpeg-turbo 3.1.2".

    JPEG leaves room for rounding, so that another decoder can give slightly different pixels.
    """
    turbo = features.version("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return f"Pillow {pillow_version}, {jpeg}"


def squares(
    pictures: Sequence[Picture], size: int, depth: Depth | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Pixels (some, size, size, 3) of the pictures, part by part.

    Images of another size are squashed to it, whatever their aspect ratio, as the field's evaluation does.
    `depth` is that of the data set, where `pictures` are a part of it.

    Raises:
        FsbenchError: an image cannot be read; it is named.
    """
    depth = depth or Depth(pictures)
    at_once = max(1, _AT_ONCE // (3 * size * size))
    for part in _in_threads(lambda picture: _square(picture, size, depth), pictures, at_once):
        yield np.stack(part)


def tried_squares(
    pictures: Sequence[Picture], size: int, depth: Depth | None = None
) -> Iterator[list[NDArray[np.uint8] | FsbenchError]]:
    """As `squares`, but with the error in the place of an image that cannot be read."""
    depth = depth or Depth(pictures)

    def tried(picture: Picture) -> NDArray[np.uint8] | FsbenchError:
        try:
            return _square(picture, size, depth)
        except FsbenchError as error:
            return error

    yield from _in_threads(tried, pictures, max(1, _AT_ONCE // (3 * size * size)))


def thumbnails(paths: Sequence[Path], side: int) -> Iterator[Image.Image]:
    """Each image as large as a square of `side` pixels can hold, in RGB, with its own aspect ratio.

    Raises:
        FsbenchError: an image cannot be read; it is named.
    """
    depth = Depth(paths, quiet=True)
    for part in _in_threads(lambda path: _thumbnail(path, side, depth), paths, 256):
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
        with _opened(Encoded("", content)) as image:
            return hashlib.sha256(content).digest(), image.size


def _identity(picture: Picture, depth: Depth | None = None) -> tuple[bytes, tuple[int, int]]:
    pixels = native(picture, depth)
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(struct.pack("<qq", height, width))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest(), (width, height)


def _square(picture: Picture, size: int, depth: Depth | None = None) -> NDArray[np.uint8]:
    pixels = native(picture, depth)
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _thumbnail(path: Path, side: int, depth: Depth | None = None) -> Image.Image:
    with _named(path), _opened(path) as image:
        image.draft("RGB", (2 * side, 2 * side))  # a JPEG may be decoded at a half, a quarter or an eighth
        return ImageOps.contain(_rgb(image, depth or Depth([path])), (side, side))


def _decoded(picture: Path | Encoded, depth: Depth | None) -> Image.Image:
    """The image of a file, upright and in RGB, at its own size."""
    with _named(picture), _opened(picture) as image:
        return _rgb(image, depth or Depth([picture]))


def _peak(picture: Picture) -> tuple[tuple[int, bool], int] | None:
    """Stored bits, whether it is grey, and largest value of an image that does not state its depth."""
    if isinstance(picture, np.ndarray):
        return None
    try:
        with _opened(picture) as image:
            stored = stored_bits(image)
            if stored == 8 or states_depth(image):
                return None
            return (stored, image.mode.startswith("I")), largest_value(image)
    except Exception:  # it is reported when the image itself is decoded
        return None


@contextmanager
def _opened(picture: Path | Encoded) -> Iterator[Image.Image]:
    """The image of a file, not decoded yet; above Pillow's limit, which it only warns of, it is refused."""
    file = _regular(picture) if isinstance(picture, Path) else BytesIO(picture.content)
    with Image.open(file, formats=_formats()) as image:
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and image.width * image.height > most:
            raise ValueError(
                f"its {image.width} x {image.height} pixels are more than {most}: it could be a "
                "decompression bomb"
            )
        yield image


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


def _rgb(opened: Image.Image, depth: Depth) -> Image.Image:
    """The first frame in RGB and upright: transparency on white, more than 8 bits scaled to 8."""
    if opened.mode == "F":
        raise ValueError("its pixels are floats, not 8 or 16 bits")
    stored, grey = stored_bits(opened), opened.mode.startswith("I")
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
