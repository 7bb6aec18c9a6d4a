"""Safe reading of untrusted HDF5 files: arrays in the file itself, no larger than the file can hold.

The HDF5 library follows links to other files, reads other files' bytes as arrays, and decompresses without a
limit. Every function raises `InvalidValueError` for content that is not allowed.
"""

import errno
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5z
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError
from fsbench._util.files import read_or_map
from fsbench._util.untrusted.values import MAX_TEXT, InvalidValueError

EXPANSION = 64  # bytes in memory that one byte of a file may expand to
_MAX_ATTRIBUTES = 100  # each may be as long as the file
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("piece", "<u4")])  # to a text
_HEAP, _HEADER = b"GCOL\x01", 16  # start of a text heap (global heap); bytes before each of its objects
_CHECKSUM = 4  # bytes that a chunk may end with


def capacity(path: Path) -> int:
    """Return how many values of four bytes a file of this size may hold."""
    return path.stat().st_size * EXPANSION // 4


def check_text_heaps(path: Path, within: int | None = None) -> None:
    """Check that no object in a text heap has length zero, at which HDF5 2.0 loops forever.

    Args:
        path: The file. Heaps may lie anywhere in it.
        within: Number of bytes to search, for a file of which only the start is read; by default all.

    Raises:
        InvalidValueError: An object has length zero.
        FsbenchError: The file does not fit into the memory that this process may use.

    Source:
        HDF5 file format specification 3.0, section III.E (global heap).
    """
    with _mapped(path) as data:
        stop = len(data) if within is None else within
        heap = data.find(_HEAP, 0, stop)
        while heap >= 0:
            position, size = heap + 16, int.from_bytes(data[heap + 8 : heap + 16], "little")
            end = min(heap + size, len(data))
            while position + _HEADER <= end:
                number, length = struct.unpack_from("<H6xQ", data, position)
                step = _HEADER + -(-length // 8) * 8 if number else length  # number 0: the free space
                if step < _HEADER:
                    raise InvalidValueError("a text heap has an object of length zero")
                position += step
            heap = data.find(_HEAP, heap + 1, stop)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """Map a file into memory; too little memory is no fault of the file."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise FsbenchError(f"{path}: does not fit into memory; free some of it") from error
            raise
        with data:
            yield data


def dataset(group: h5py.Group, name: str, kinds: str, ndim: int | None, max_values: int) -> h5py.Dataset:
    """Return an array of a group without reading it.

    Args:
        group: Group that contains the array.
        name: Name of the array.
        kinds: Allowed kinds of NumPy types, for example "iu" for integers.
        ndim: Required number of dimensions; None allows any.
        max_values: Largest allowed number of values.

    Raises:
        InvalidValueError: The array is missing, in another file, of another type or shape, or too large.
    """
    link = group.get(name, getlink=True)
    if link is None:
        raise InvalidValueError(f"no {name}")
    array = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise InvalidValueError(
            f"{name} must be an array in the file itself, but is {type(array or link).__name__}"
        )
    chunk = np.prod(array.chunks or (0,), dtype=object)
    if array.dtype.kind not in kinds or array.size is None or max(array.size, chunk) > max_values:
        raise InvalidValueError(f"{name} claims {array.shape} of {array.dtype}, which the file cannot hold")
    _check_filters(name, array)
    if ndim not in (None, array.ndim):
        raise InvalidValueError(f"{name} must have {ndim} dimensions, but has shape {array.shape}")
    return array


def _check_filters(name: str, array: h5py.Dataset) -> None:
    """Check that no chunk decompresses to more than its declared size: HDF5 has no limit."""
    properties = array.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if not set(filters) <= {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}:
        raise InvalidValueError(
            f"{name} must be uncompressed or compressed by gzip, but has filters {filters}"
        )
    if h5z.FILTER_DEFLATE not in filters:
        return
    size = int(np.prod(array.chunks, dtype=object)) * array.dtype.itemsize + _CHECKSUM
    for i in range(array.id.get_num_chunks()):
        mask, compressed = array.id.read_direct_chunk(array.id.get_chunk_info(i).chunk_offset)
        data = zlib.decompressobj().decompress(compressed, size + 1)
        if mask or filters.count(h5z.FILTER_DEFLATE) > 1 or len(data) > size:
            raise InvalidValueError(f"{name} decompresses to more than its declared size")


def texts(group: h5py.Group, name: str, max_values: int) -> tuple[str, ...]:
    """Read a one-dimensional array of printable texts, for example class names.

    Raises:
        InvalidValueError: As `dataset`; or a text is not printable, or all together are too long: many
            entries may refer to the same text.
    """
    array = dataset(group, name, "O", 1, max_values)
    if h5py.check_string_dtype(array.dtype) is None:
        raise InvalidValueError(f"{name} must be texts, but are {array.dtype}")
    offset = array.id.get_offset()
    if offset is None:
        raise InvalidValueError(f"{name} must be stored contiguously")
    # HDF5 would allocate whatever lengths the file claims, so they are checked first
    lengths = np.fromfile(group.file.filename, _REFERENCE, len(array), offset=offset)["length"]
    if lengths.sum(dtype=np.uint64) > max_values:
        raise InvalidValueError(f"{name} are longer than the file can hold")
    values = array.asstr()[()]
    for text in values:
        if len(text) > MAX_TEXT or not text.isprintable():
            raise InvalidValueError(
                f"{name} must be printable text of at most {MAX_TEXT} characters, not {text!r:.80}"
            )
    return tuple(values)


def attributes(group: h5py.Group) -> dict[str, str | int | float]:
    """Read the attributes of a file or group: single numbers and printable texts.

    Raises:
        InvalidValueError: An attribute is something else, or there are too many.
    """
    if len(group.attrs) > _MAX_ATTRIBUTES:
        raise InvalidValueError(f"has {len(group.attrs)} attributes, more than {_MAX_ATTRIBUTES}")
    values = {}
    for name in group.attrs:
        value = group.attrs[name] if group.attrs.get_id(name).shape == () else None
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, str | int | float) or not f"{name}{value}".isprintable():
            raise InvalidValueError(
                f"attribute {name!r:.80} must be a number or printable text, but is {value!r:.80}"
            )
        values[name] = value
    return values


def subgroup(file: h5py.File, name: str) -> h5py.Group:
    """Return a group of the file itself.

    Raises:
        InvalidValueError: The group is missing or in another file.
    """
    link = file.get(name, getlink=True)
    group = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(group, h5py.Group):
        raise InvalidValueError(
            f"{name} must be a group in the file itself, but is {type(group or link).__name__}"
        )
    return group


def numbers(group: h5py.Group, name: str, dtype: type, ndim: int, max_values: int) -> NDArray[Any]:
    """Read an array of numbers of exactly this type; large arrays are mapped, see `files.read_or_map`.

    Raises:
        InvalidValueError: As `dataset`, or the type differs.
    """
    array = dataset(group, name, np.dtype(dtype).kind, ndim, max_values)
    if array.dtype.itemsize != np.dtype(dtype).itemsize:
        raise InvalidValueError(f"{name} must be {np.dtype(dtype)}, but are {array.dtype}")
    return np.asanyarray(read_or_map(array), dtype=dtype)  # keeps mapped arrays


def check_labels(labels: NDArray[np.int32], n_classes: int) -> None:
    """Check that labels (n,), n >= 1, are sorted and between 0 and `n_classes` - 1.

    Raises:
        InvalidValueError: They are not.
    """
    if labels[0] < 0 or labels[-1] >= n_classes or (np.diff(labels) < 0).any():
        raise InvalidValueError(f"labels must be sorted numbers of {n_classes} classes")
