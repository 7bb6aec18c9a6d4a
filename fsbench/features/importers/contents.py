"""From the bytes of a feature file to plain containers and arrays, whatever it was packed in."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench._util import safe_pickle
from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason
from fsbench._util.validation import InvalidValueError, hdf5


def read(path: Path) -> tuple[Any, int]:
    """What a file holds, and how many numbers a file of its length can hold.

    Raises:
        InvalidValueError: damaged, or it claims more than it can hold.
        FsbenchError: unreadable, or a pickle that is unsafe or damaged.
    """
    try:
        most = hdf5.capacity(path)
        with path.open("rb") as file:
            start = file.read(6)
        if start.startswith(b"\x89HDF"):
            return _hdf5(path, most), most
        if start == b"\x93NUMPY":
            return np.load(path, mmap_mode="r", allow_pickle=False), most
        if start.startswith(b"PK\x03\x04") and (members := _npz_members(path, most)):
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in members}, most
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except (InvalidValueError, FsbenchError):
        raise
    except Exception as error:  # HDF5, NumPy and zipfile name no bounds to what a torn file raises
        raise InvalidValueError(f"cannot be read ({' '.join(str(error).split())[:120]})") from error
    return safe_pickle.read(path), most


def kind(thing: object) -> str:
    """What something is, in a few words: its value may be without end."""
    return f"{thing.dtype} {thing.shape}" if isinstance(thing, np.ndarray) else type(thing).__name__


def _hdf5(path: Path, most: int) -> dict[str, NDArray[Any]]:
    """The arrays of an s2m2 file."""
    hdf5.check_text_heaps(path)
    with h5py.File(path, "r") as file:
        names = [name for name in ("all_feats", "all_labels", "count") if file.get(name, getlink=True)]
        return {name: np.asarray(hdf5.dataset(file, name, "fiu", None, most)[()]) for name in names}


def _npz_members(path: Path, most: int) -> list[str]:
    """Names of the arrays of a pair in an npz archive; none in another zip archive."""
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    names = [name for name in ("features", "labels") if f"{name}.npy" in sizes]
    if sum(sizes[f"{name}.npy"] for name in names) > 8 * most:
        raise InvalidValueError("expands to more than a file of its length can hold")
    return names
