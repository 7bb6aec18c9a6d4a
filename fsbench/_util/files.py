"""Files that are whole or absent, and the cache folder they lie in."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from io import FileIO
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from platformdirs import user_cache_path

from fsbench._util.errors import FsbenchError

if TYPE_CHECKING:
    import h5py
    from _typeshed import ReadableBuffer, WriteableBuffer
    from numpy.typing import NDArray

MAPPED = 1 << 30  # bytes from which on values stay in their file


def cache_folder(chosen: Path | None = None) -> Path:
    """The folder of image and feature stores: `chosen`, else `$FSBENCH_CACHE`, else the platform's own."""
    if chosen is not None:
        return chosen
    named = os.environ.get("FSBENCH_CACHE")
    return Path(named) if named else user_cache_path("fsbench")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there when the block ends, remove it when it fails.

    The data reaches the disk before the name does, so neither a killed process nor a power cut leaves a
    torn file under `path`. A temporary file that a killed process left goes with the next write of `path`.

    Raises:
        FsbenchError: the folder cannot be written or the disk is full.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _folder_of(path):
            handle, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            os.close(handle)
            part = Path(name)
            yield part
            part.chmod(0o644)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
            part = None
    except OSError as error:
        raise FsbenchError(f"cannot write {path}: {reason(error)}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


@contextmanager
def whole_hdf5(path: Path) -> Iterator[tuple["h5py.File", Callable[[], None]]]:
    """Yield a new HDF5 file that lies at `path` when the block ends, whole or not at all.

    The second value is to be called between large writes: it raises what the disk answered so far. HDF5 must
    not hear of it, since it cannot close a file that it failed to write and crashes the process later.

    Raises:
        FsbenchError: the folder cannot be written or the disk is full.
    """
    import h5py

    with whole_file(path) as part, _Patient(part, "w+") as disk:
        with h5py.File(disk, "w") as file:
            yield file, disk.check
        disk.check()


def values_of(data: "h5py.Dataset") -> "NDArray[Any]":
    """The values of an HDF5 data set: in memory, or where they are many, read-only and mapped from the file.

    A mapped page is read when it is looked at, and given up when memory is short. Files are replaced whole,
    so what is mapped stays as it was.
    """
    import numpy as np

    offset = data.id.get_offset()  # None: in pieces, compressed, or not in this file
    if data.nbytes < MAPPED or offset is None:
        return np.asarray(data[()])
    return np.memmap(data.file.filename, data.dtype, "r", offset, data.shape)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, so that of two processes one builds it and the other waits and finds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise FsbenchError(f"cannot write {path}: {reason(error)}") from error
    try:
        yield
    finally:
        lock.release()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FsbenchError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error


def reason(error: OSError) -> str:
    """What the operating system says is wrong, in lower case and without the path."""
    return (error.strerror or str(error)).lower()


class _Patient(FileIO):
    """A file that keeps its first error until it is asked, and from then on writes into memory.

    What it pretends to have written it must give back: HDF5 reads its own tables again.
    """

    error: OSError | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._in_memory: list[tuple[int, bytes]] = []  # where, what

    def write(self, data: "ReadableBuffer") -> int:
        """Write all of the bytes."""
        left = memoryview(data).cast("B")
        size, start = len(left), self.tell()
        try:
            while left and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        if left:
            self._in_memory.append((start + size - len(left), bytes(left)))
            self.seek(start + size)
        return size

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer from the disk and from what could not be written there."""
        if self.error is None:
            return super().readinto(buffer) or 0
        view, start = memoryview(buffer).cast("B"), self.tell()
        view[:] = bytes(len(view))
        super().readinto(view)
        for place, data in self._in_memory:
            first, last = max(place, start), min(place + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - place : last - place]
        self.seek(start + len(view))
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            raise self.error


@contextmanager
def _folder_of(path: Path) -> Iterator[None]:
    """Hold the folder of `path` while a file is written in it, and make the rename outlast a power cut.

    Who writes shares a lock, which ends with the process however that ends. Who gets it alone knows that
    temporary files are of the dead. Windows has no such locks, nor have all network disks: there they stay.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for torn in path.parent.glob(f".{escape(path.name)}.*.part"):
                torn.unlink()
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)
