"""Pickles and torch files of strangers: NumPy arrays, torch tensors and plain containers, nothing else.

A pickle is a program. This reader runs it on a machine that lacks the dangerous instructions: each name that
a file may ask for stands for a function of `rebuilt`, no name is ever imported, and tensors become read-only
NumPy arrays without torch's loader. What the functions take in is bounded by the length of the file, so a
small file cannot fill the memory.
"""

import io
import mmap
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason
from fsbench._util.safe_pickle.machine import File, Machine
from fsbench._util.safe_pickle.rebuilt import NAMES, Refused

_TORCH_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # opens a file of torch before 1.6


def read(path: Path) -> Any:
    """What a pickle or a file of `torch.save` holds, in dicts, lists, tuples and NumPy arrays.

    Strings of Python 2 are read as Latin-1, `defaultdict` and `OrderedDict` as dict, NumPy's scalars as
    Python's, and tensors as arrays, wherever they lay.

    Raises:
        FsbenchError: unreadable, damaged, or the file asks for anything but arrays, tensors and containers.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                return _zipped(path)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                old_torch = data[: len(_TORCH_MAGIC)] == _TORCH_MAGIC
                return _legacy(data, len(data), _ALL) if old_torch else Machine(data, len(data), _ALL).load()
    except Refused as error:
        what = f"asks for {error}, but only arrays, tensors and plain containers are read"
        raise FsbenchError(f"{path}: {what}") from error
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except Exception as error:  # the pickle module names no bounds to what a torn file raises
        why = ascii(f"{type(error).__name__}: {error}")[1:-1]
        raise FsbenchError(f"{path}: not a whole pickle or torch file ({why[:120]})") from error


def _legacy(file: File, length: int, names: Mapping[str, Any]) -> Any:
    """A torch file before 1.6: pickles of magic, version, system, object and storage keys, then storages."""
    _, version, system = (Machine(file, length, names).load() for _ in range(3))
    if version != 1001 or not system["little_endian"]:
        raise Refused("another version or byte order of torch files")
    machine = Machine(file, length, names, lambda _, dtype, count: np.zeros(count, dtype))
    found = machine.load()
    for key in Machine(file, length, names).load():
        if not isinstance(key, str):
            raise TypeError("a storage is named by a string")
        into = machine.storages.pop(key)
        if struct.unpack("<q", file.read(8)) != (len(into),):
            raise ValueError(f"storage {key} is not {len(into)} elements")
        into[:] = np.frombuffer(file.read(into.nbytes), into.dtype, count=len(into))
    if machine.storages:
        raise ValueError(f"storage {min(machine.storages)} is missing")
    return found


def _zipped(path: Path) -> Any:
    """A torch file since 1.6: a zip of `data.pkl` and one uncompressed record a storage."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next((name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")), None)
        if root is None or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise Refused("a zip archive that torch did not write")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise Refused("another byte order of torch files")
        program = io.BytesIO(archive.read(f"{root}data.pkl"))

        def storage(key: str, dtype: np.dtype[Any], _: int) -> NDArray[Any]:
            return np.frombuffer(archive.read(f"{root}data/{key}"), dtype)

        return Machine(program, path.stat().st_size, _ALL, storage).load()


def _storage(raw: bytes) -> Any:
    """The storage of a tensor that `pickle` pickled: a torch file inside the pickle, one deep."""
    return _legacy(io.BytesIO(raw), len(raw), NAMES)  # without the name of this function


_ALL = {**NAMES, "torch.storage._load_from_bytes": _storage}
