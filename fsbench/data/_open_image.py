"""Open image files safely, and work on many of them in threads."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from fsbench._util.errors import FsbenchError, reason
from fsbench.data.listing import Encoded, Picture

_FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_HEIC = re.compile(rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)  # how HEIC files begin
P = TypeVar("P", bound=Picture)
T = TypeVar("T")


class UnreadableImageError(FsbenchError):
    """Raised for an image that cannot be read; the message names it."""


@contextmanager
def open_image(picture: Path | Encoded) -> Iterator[Image.Image]:
    """Open an image file without decoding it; images above Pillow's limit of pixels are refused."""
    file = regular_file(picture) if isinstance(picture, Path) else BytesIO(picture.content)
    with Image.open(file, formats=_formats()) as image:
        limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns above it
        if limit is not None and image.width * image.height > limit:
            raise ValueError(
                f"its {image.width} x {image.height} pixels are more than {limit}: it could be a "
                "decompression bomb"
            )
        yield image


def regular_file(path: Path) -> Path:
    """Return the path unless it is a pipe or device, which may have no end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("it is not a regular file")
    return path


@contextmanager
def errors_naming(picture: Path | Encoded) -> Iterator[None]:
    """Turn every error of the block into one that names the image."""
    try:
        yield
    except Exception as error:  # Pillow's parsers raise errors of many kinds
        cause = reason(error)
        if isinstance(error, UnidentifiedImageError):
            cause = "it is not an image of a known format"
            if "HEIF" not in _formats() and _is_heic(picture):
                cause = "HEIC needs another package: pip install pillow-heif"
        name = picture if isinstance(picture, Path) else picture.name
        raise UnreadableImageError(f"image {name}: cannot be read ({cause})") from error


def map_in_threads(work: Callable[[P], T], pictures: Sequence[P], at_once: int) -> Iterator[list[T]]:
    """Yield the results of `work` in the order of the pictures, `at_once` of them at a time.

    As many threads as there are cores work on each part; Pillow releases the interpreter while it decodes.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pictures), at_once):
            yield list(pool.map(work, pictures[start : start + at_once]))


def _is_heic(picture: Path | Encoded) -> bool:
    """Whether a file begins as HEIC, the format of iPhones; AVIF can begin in the same way."""
    if isinstance(picture, Encoded):
        return _HEIC.match(bytes(picture.content[:12])) is not None
    with picture.open("rb") as file:
        return _HEIC.match(file.read(12)) is not None


@cache
def _formats() -> list[str]:
    """List the accepted formats; Pillow passes some others to programs, such as EPS to Ghostscript."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in _FORMATS if name in Image.OPEN]
