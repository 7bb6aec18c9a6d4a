"""Read the content of a feature file of any kind as plain containers and arrays."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fsbench._util import safe_pickle
from fsbench._util.errors import FsbenchError, reason
from fsbench._util.untrusted import InvalidValueError, hdf5

_PICKLES = (b"\x80", b"PK\x03\x04")  # starts of pickles, except those of Python 2, and of torch files


def read(path: Path) -> tuple[Any, int]:
    """Return the content of a file, and how many values a file of its size can hold.

    Raises:
        InvalidValueError: The file is damaged, or claims more data than it can hold.
        FsbenchError: The file is unreadable, of another kind, or an unsafe or damaged pickle.
    """
    try:
        max_values = hdf5.capacity(path)
        with path.open("rb") as file:
            start = file.read(6)
        if start.startswith(b"\x89HDF"):
            return _hdf5(path, max_values), max_values
        if start == b"\x93NUMPY":
            return np.load(path, mmap_mode="r", allow_pickle=False), max_values
        if start.startswith(b"PK\x03\x04") and (names := _npz_names(path, max_values)):
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in names}, max_values
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except (InvalidValueError, FsbenchError):
        raise
    except Exception as error:  # HDF5, NumPy and zipfile raise anything for a damaged file
        raise InvalidValueError(f"cannot be read ({reason(error)})") from error
    try:
        return safe_pickle.read(path), max_values
    except FsbenchError as error:
        if start.startswith(_PICKLES) or isinstance(error.__cause__, OSError | safe_pickle.RefusedError):
            raise
        raise FsbenchError(f"{path}: not a checkpoint, weights file or feature file") from error


def describe(value: object) -> str:
    """Describe a value by its type, for messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _hdf5(path: Path, max_values: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of an s2m2 file."""
    hdf5.check_text_heaps(path)
    with h5py.File(path, "r") as file:
        names = [name for name in ("all_feats", "all_labels", "count") if file.get(name, getlink=True)]
        return {name: np.asarray(hdf5.dataset(file, name, "fiu", None, max_values)[()]) for name in names}


def _npz_names(path: Path, max_values: int) -> list[str]:
    """Return the names of the arrays in an npz archive of features and labels; none for other archives."""
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    names = [name for name in ("features", "labels") if f"{name}.npy" in sizes]
    if sum(sizes[f"{name}.npy"] for name in names) > 8 * max_values:
        raise InvalidValueError("decompresses to more than a file of its size can hold")
    return names
