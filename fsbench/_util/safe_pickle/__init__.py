"""Reader of untrusted pickles and torch files: NumPy arrays, tensors and plain containers, nothing else.

No name in a file is imported: each name that is allowed stands for a function of `_builders`. Tensors become
read-only NumPy arrays. Memory is bounded by the size of the file.
"""

import io
import mmap
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.safe_pickle._builders import BUILDERS
from fsbench._util.safe_pickle._builders import RefusedError as RefusedError
from fsbench._util.safe_pickle._interpreter import Interpreter

_TORCH_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # first bytes of torch files before 1.6


def read(path: Path) -> Any:
    """Read a pickle or a file of `torch.save` into dicts, lists, tuples and NumPy arrays.

    Strings of Python 2 are decoded as Latin-1. `defaultdict` and `OrderedDict` become dicts, NumPy scalars
    Python scalars, and tensors of any device arrays.

    Raises:
        FsbenchError: The file is unreadable or damaged, or contains other objects.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] == b"PK\x03\x04":
                return _torch_zip(path)
            if data[: len(_TORCH_MAGIC)] == _TORCH_MAGIC:
                return _torch_legacy(data, len(data), _BUILDERS)
            return Interpreter(data, len(data), _BUILDERS).load()
    except RefusedError as error:
        allowed = "only arrays, tensors and plain containers are allowed"
        raise FsbenchError(f"{path}: contains {error}, but {allowed}") from error
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except Exception as error:  # a damaged file can raise anything
        message = ascii(f"{type(error).__name__}: {error}")[1:-1]
        raise FsbenchError(f"{path}: damaged, or not a pickle or torch file ({message[:120]})") from error


def _torch_legacy(file: Any, size: int, builders: dict[str, Any]) -> Any:
    """Read a torch file before 1.6: pickles of magic, version, system, object and keys, then storages."""
    _, version, system = (Interpreter(file, size, builders).load() for _ in range(3))
    if version != 1001 or not system["little_endian"]:
        raise RefusedError("another version or byte order of torch files")
    interpreter = Interpreter(file, size, builders, lambda _, dtype, count: np.zeros(count, dtype))
    content = interpreter.load()
    for key in Interpreter(file, size, builders).load():
        if not isinstance(key, str):
            raise TypeError("the key of a storage must be a string")
        storage = interpreter.storages.pop(key)
        if struct.unpack("<q", file.read(8)) != (len(storage),):
            raise ValueError(f"storage {key} does not have {len(storage)} elements")
        storage[:] = np.frombuffer(file.read(storage.nbytes), storage.dtype, count=len(storage))
    if interpreter.storages:
        raise ValueError(f"storage {min(interpreter.storages)} is missing")
    return content


def _torch_zip(path: Path) -> Any:
    """Read a torch file since 1.6: a zip archive of `data.pkl` and one uncompressed member per storage."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next((name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")), None)
        if root is None or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise RefusedError("a zip archive that torch did not write")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise RefusedError("another byte order of torch files")

        def load_storage(key: str, dtype: np.dtype[Any], _: int) -> NDArray[Any]:
            return np.frombuffer(archive.read(f"{root}data/{key}"), dtype)

        program = io.BytesIO(archive.read(f"{root}data.pkl"))
        return Interpreter(program, path.stat().st_size, _BUILDERS, load_storage).load()


def _nested_storage(data: bytes) -> Any:
    """Read the storage of a tensor written by `pickle`: a torch file inside the pickle, one level deep."""
    return _torch_legacy(io.BytesIO(data), len(data), BUILDERS)  # without this function, so no recursion


_BUILDERS = {**BUILDERS, "torch.storage._load_from_bytes": _nested_storage}
