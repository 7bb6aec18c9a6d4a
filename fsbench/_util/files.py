"""Atomic writes, locks and checksums of files, and the cache folder."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from io import FileIO
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:  # on Windows
    _FOLDERS_HAVE_LOCKS = False
else:
    _FOLDERS_HAVE_LOCKS = True

from filelock import FileLock
from platformdirs import user_cache_path

from fsbench._util.errors import FsbenchError, reason

if TYPE_CHECKING:
    import h5py
    from _typeshed import ReadableBuffer, WriteableBuffer
    from numpy.typing import NDArray

MAP_ABOVE = 1 << 30  # bytes; arrays of at least this size are mapped from their file instead of read
_PAUSES = (0.1, 0.3, 0.6, 1.0) if os.name == "nt" else ()  # seconds between attempts to replace a file


def cache_folder(folder: Path | None = None) -> Path:
    """Return the cache folder: `folder` if given, else `$FSBENCH_CACHE`, else the platform's default."""
    if folder is not None:
        return folder
    from_environment = os.environ.get("FSBENCH_CACHE")
    return Path(from_environment) if from_environment else user_cache_path("fsbench")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` at the end of the block.

    If the block fails, the temporary file is removed and `path` stays as it was. The data is synced to disk
    before the rename, so neither a killed process nor a power cut leaves an incomplete file at `path`.
    Temporary files of killed processes are removed by the next write to the same path.

    Raises:
        FsbenchError: The folder is not writable, or the disk is full.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked_folder_of(path):
            handle, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            os.close(handle)
            part = Path(name)
            yield part
            part.chmod(0o644)
            with part.open("r+b") as file:  # Windows syncs only files that are open for writing
                os.fsync(file.fileno())
            _replace(part, path)
            part = None
    except OSError as error:
        raise FsbenchError(f"cannot write {path}: {reason(error)}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _replace(part: Path, path: Path) -> None:
    """Rename a file over another one; on Windows this fails while a process reads that, so try for 2 s."""
    for pause in _PAUSES:
        try:
            part.replace(path)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    part.replace(path)


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before the work whose result it holds. Nothing is created.

    Raises:
        FsbenchError: The path is a folder, or its folder can neither be written nor created.
    """
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        raise FsbenchError(f"cannot write {path}: is a directory")
    if not place.is_dir():
        raise FsbenchError(f"cannot write {path}: {place} is not a folder")
    if not os.access(place, os.W_OK):
        raise FsbenchError(f"cannot write {path}: permission denied in {place}")


@contextmanager
def atomic_hdf5(path: Path) -> Iterator[tuple["h5py.File", Callable[[], None]]]:
    """Yield a new HDF5 file that appears at `path` at the end of the block, and a check for write errors.

    Call the check between large writes: it raises the first write error so far. The error is kept from HDF5
    itself, which cannot close a file after a failed write and crashes the process later.

    Raises:
        FsbenchError: The folder is not writable, or the disk is full.
    """
    import h5py

    with atomic_write(path) as part, _DeferredErrors(part, "w+") as file:
        with h5py.File(file, "w") as hdf5:
            yield hdf5, file.check
        file.check()


def read_or_map(dataset: "h5py.Dataset") -> "NDArray[Any]":
    """Return an HDF5 data set as an array: read into memory, or mapped read-only if it is large.

    The system loads mapped pages on access and drops them when memory is short. A mapped array never changes,
    because files are only ever replaced as a whole.
    """
    import numpy as np

    offset = dataset.id.get_offset()  # None if chunked, compressed, or in another file
    if dataset.nbytes < MAP_ABOVE or offset is None:
        return np.asarray(dataset[()])
    return np.memmap(dataset.file.filename, dataset.dtype, "r", offset, dataset.shape)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text with Unix line ends atomically."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, so that one process builds the file while others wait for it.

    Raises:
        FsbenchError: The folder is not writable.
    """
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
    """Return the SHA-256 of a file as a hexadecimal string.

    Raises:
        FsbenchError: The file is not readable.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error


class _DeferredErrors(FileIO):
    """File object that defers write errors until `check` is called.

    After the first failed write, data is kept in memory, because HDF5 reads its own metadata back.
    """

    error: OSError | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._unwritten: list[tuple[int, bytes]] = []  # (position, data)

    def write(self, data: "ReadableBuffer") -> int:
        """Write all bytes, to disk or to memory."""
        rest = memoryview(data).cast("B")
        size, start = len(rest), self.tell()
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        if rest:
            self._unwritten.append((start + size - len(rest), bytes(rest)))
            self.seek(start + size)
        return size

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer from disk and from memory."""
        if self.error is None:
            return super().readinto(buffer) or 0
        view, start = memoryview(buffer).cast("B"), self.tell()
        view[:] = bytes(len(view))
        super().readinto(view)
        for position, data in self._unwritten:
            first, last = max(position, start), min(position + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - position : last - position]
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
        """Raise the first write error, if any."""
        if self.error is not None:
            raise self.error


@contextmanager
def _locked_folder_of(path: Path) -> Iterator[None]:
    """Hold a shared lock on the folder of `path`, and sync the folder after the block.

    Writers hold a shared lock that is released when the process ends. A process that obtains the exclusive
    lock may therefore delete leftover temporary files. Windows and some network file systems have no such
    locks; there, leftover files stay.
    """
    if not _FOLDERS_HAVE_LOCKS:
        yield
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for leftover in path.parent.glob(f".{escape(path.name)}.*.part"):
                leftover.unlink()
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
        os.fsync(folder)  # makes the rename durable
    finally:
        os.close(folder)
