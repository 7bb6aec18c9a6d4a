"""Compiled code on disk, so that a process need not wait for Numba's compiler."""

import hashlib
import os
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def keep_compiled_code(cache: Path, package: Path = _PACKAGE) -> None:
    """Make Numba store compiled code below `cache`, unless NUMBA_CACHE_DIR already names a folder.

    This sets that variable for the process, so only a command line may call it, before Numba is imported.
    Without permission to write there, code is compiled in every process.

    Args:
        cache: Folder that exists or can be made.
        package: Folder of the package whose code is compiled.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    folder = cache / "compiled" / _digest(package)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(folder)


def is_kept() -> bool:
    """Whether Numba stores compiled code; the value of `cache` for `numba.njit`."""
    return "NUMBA_CACHE_DIR" in os.environ


def _digest(package: Path) -> str:
    """Compute the digest of all code next to compiled code.

    Numba compiles a function again only if its own file has changed. But constants and functions that it uses
    come from other files as well.
    """
    sha = hashlib.sha256()
    for folder in sorted({file.parent for file in package.rglob("*_numba.py")}):
        for file in sorted(folder.glob("*.py")):
            sha.update(file.read_bytes())
    return sha.hexdigest()[:16]
