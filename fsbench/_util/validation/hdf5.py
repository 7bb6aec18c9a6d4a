"""Arrays of an HDF5 file: those that lie in the file itself and are no larger than it can hold.

HDF5 by itself follows links to any other file, shows any other file's bytes as an array, and expands a few
bytes without end.
"""

import mmap
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5z
from numpy.typing import NDArray

from fsbench._util.files import reason, values_of
from fsbench._util.validation.values import LONGEST, Wrong

EXPANSION = 64  # bytes in memory that a byte of a file may become
_MOST_ATTRIBUTES = 100  # each may be as long as the file
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("piece", "<u4")])  # to a text
_HEAP, _HEADER = b"GCOL\x01", 16  # what opens a heap of texts; bytes before each of its pieces
_CHECKSUM = 4  # bytes that a piece may end with


def capacity(path: Path) -> int:
    """How many values of four bytes a file of this length may hold."""
    return path.stat().st_size * EXPANSION // 4


def refuse_endless_heaps(path: Path, within: int | None = None) -> None:
    """Refuse a file whose heaps of texts have a piece of no length, at which HDF5 2.0 never gets to the next.

    Heaps may lie anywhere; `within` so many bytes is where to look in a file that is only glanced at.
    Source of the layout: HDF5 file format specification 3.0, section III.E.

    Raises:
        Wrong: it has one.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        last = len(data) if within is None else within
        heap = data.find(_HEAP, 0, last)
        while heap >= 0:
            place, left = heap + 16, int.from_bytes(data[heap + 8 : heap + 16], "little")
            end = min(heap + left, len(data))
            while place + _HEADER <= end:
                number, length = struct.unpack_from("<H6xQ", data, place)
                step = _HEADER + -(-length // 8) * 8 if number else length
                if step < _HEADER:
                    raise Wrong("a heap of texts has no end")
                place += step
            heap = data.find(_HEAP, heap + 1, last)


def why(error: Exception) -> str:
    """What is wrong by an exception that HDF5 raised, in one line: it names no bounds to them."""
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    text = reason(error) if isinstance(error, OSError) else str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def dataset(group: h5py.Group, name: str, kinds: str, ndim: int | None, most: int) -> h5py.Dataset:
    """An array of a group, of at most so many values, its type of these kinds of NumPy, not yet read.

    Raises:
        Wrong: it is not there, not in the file itself, another array, too large, or packed.
    """
    link = group.get(name, getlink=True)
    if link is None:
        raise Wrong(f"no {name}")
    array = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise Wrong(f"{name} must be an array in the file itself, but is {type(array or link).__name__}")
    chunk = np.prod(array.chunks or (0,), dtype=object)
    if array.dtype.kind not in kinds or array.size is None or max(array.size, chunk) > most:
        raise Wrong(f"{name} claims {array.shape} of {array.dtype}, which the file cannot hold")
    _check_packed(name, array)
    if ndim not in (None, array.ndim):
        raise Wrong(f"{name} must have {ndim} dimensions, but has shape {array.shape}")
    return array


def _check_packed(name: str, array: h5py.Dataset) -> None:
    """Refuse pieces that expand to more than a piece holds, for which HDF5 makes room without asking."""
    made = array.id.get_create_plist()
    filters = [made.get_filter(place)[0] for place in range(made.get_nfilters())]
    if not set(filters) <= {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}:
        raise Wrong(f"{name} must be plain or packed by gzip, but has filters {filters}")
    if h5z.FILTER_DEFLATE not in filters:
        return
    room = int(np.prod(array.chunks, dtype=object)) * array.dtype.itemsize + _CHECKSUM
    for place in range(array.id.get_num_chunks()):
        mask, packed = array.id.read_direct_chunk(array.id.get_chunk_info(place).chunk_offset)
        unpacked = zlib.decompressobj().decompress(packed, room + 1)
        if mask or filters.count(h5z.FILTER_DEFLATE) > 1 or len(unpacked) > room:
            raise Wrong(f"{name} expands to more than it claims")


def texts(group: h5py.Group, name: str, most: int) -> tuple[str, ...]:
    """The texts of a one-dimensional array: names, which must be printable.

    Raises:
        Wrong: as `dataset`, or they are no such texts, or together too long: many may be the same one.
    """
    array = dataset(group, name, "O", 1, most)
    if h5py.check_string_dtype(array.dtype) is None:
        raise Wrong(f"{name} must be texts, but are {array.dtype}")
    place = array.id.get_offset()  # HDF5 makes room for whatever length stands there
    if place is None:
        raise Wrong(f"{name} must lie in one piece")
    lengths = np.fromfile(group.file.filename, _REFERENCE, len(array), offset=place)["length"]
    if lengths.sum(dtype=np.uint64) > most:
        raise Wrong(f"{name} are longer than the file can hold")
    found = array.asstr()[()]
    for text in found:
        if len(text) > LONGEST or not text.isprintable():
            raise Wrong(f"{name} must be printable text of at most {LONGEST} characters, not {text!r:.80}")
    return tuple(found)


def attributes(place: h5py.Group) -> dict[str, str | int | float]:
    """The attributes of a file or group: single numbers and printable texts.

    Raises:
        Wrong: they are something else.
    """
    if len(place.attrs) > _MOST_ATTRIBUTES:
        raise Wrong(f"has {len(place.attrs)} attributes")
    found = {}
    for name in place.attrs:
        value = place.attrs[name] if place.attrs.get_id(name).shape == () else None
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, str | int | float) or not f"{name}{value}".isprintable():
            raise Wrong(f"attribute {name!r:.80} must be a number or printable text, but is {value!r:.80}")
        found[name] = value
    return found


def inside(file: h5py.File, name: str) -> h5py.Group:
    """A group that lies in the file itself.

    Raises:
        Wrong: it does not.
    """
    link = file.get(name, getlink=True)
    group = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(group, h5py.Group):
        raise Wrong(f"{name} must be a group in the file itself, but is {type(group or link).__name__}")
    return group


def numbers(group: h5py.Group, name: str, dtype: type, ndim: int, most: int) -> NDArray[Any]:
    """An array of numbers of that very type, read.

    Raises:
        Wrong: as `dataset`, or another type.
    """
    array = dataset(group, name, np.dtype(dtype).kind, ndim, most)
    if array.dtype.itemsize != np.dtype(dtype).itemsize:
        raise Wrong(f"{name} must be {np.dtype(dtype)}, but are {array.dtype}")
    return np.asanyarray(values_of(array), dtype=dtype)  # mapped values stay so


def check_labels(labels: NDArray[np.int32], n_classes: int) -> None:
    """Refuse labels (n,) that are not sorted indices of so many classes; there is at least one.

    Raises:
        Wrong: they are not.
    """
    if labels[0] < 0 or labels[-1] >= n_classes or (np.diff(labels) < 0).any():
        raise Wrong(f"labels must be sorted numbers of {n_classes} classes")
