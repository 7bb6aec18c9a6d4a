"""Loading of user code by reference: `./file.py`, `./file.py:name` or `package.module:name`."""

import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import sha256_of

_REFERENCE = re.compile(r"(.+\.py|[^\W\d]\w*(\.[^\W\d]\w*)*):[^\W\d]\w*")


@dataclass(frozen=True)
class LoadedObject:
    """An object of user code.

    Attributes:
        value: The object.
        name: Short name for people and file names, such as "mine.head".
        digest: SHA-256 of the source file, in hexadecimal.
    """

    value: Any
    name: str
    digest: str


def is_reference(text: str) -> bool:
    """Return whether a text has the form `./file.py:name` or `package.module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def load_reference(reference: str, kind: str) -> LoadedObject:
    """Load the object that a reference names.

    Args:
        reference: `./file.py:name` or `package.module:name`.
        kind: What the object is used as ("head", "backbone"), for error messages.

    Raises:
        FsbenchError: The file, module or name does not exist, or its code fails.
    """
    location, _, name = reference.rpartition(":")
    if location.endswith(".py"):
        module, short = load_module(Path(location), kind), Path(location).stem
    else:
        with user_errors(f"{kind} {reference}"):
            module, short = importlib.import_module(location), location
    if not hasattr(module, name):
        raise FsbenchError(f"{kind} {reference}: {location} does not define {name}")
    if module.__file__ is None:
        raise FsbenchError(f"{kind} {reference}: {location} must be a Python file, but is a folder")
    return LoadedObject(getattr(module, name), f"{short}.{name}", sha256_of(Path(module.__file__)))


def load_module(path: Path, kind: str) -> ModuleType:
    """Run a Python file as a module, once per process as long as its content stays the same.

    Raises:
        FsbenchError: The file is not readable, or its code fails.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise FsbenchError(f"{kind} {path}: cannot be read ({reason(error)})") from error
    key = hashlib.sha256(bytes(path.resolve()) + b"\0" + source).hexdigest()[:16]
    name = f"fsbench_user_{path.stem}_{key}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(path.resolve())
        sys.modules[name] = module  # dataclasses look their module up here
        try:
            with user_errors(f"{kind} {path}"):
                exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102 - the user named it
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextmanager
def user_errors(subject: str) -> Iterator[None]:
    """Turn any error of user code in the block into one line with the file and the line number.

    Raises:
        FsbenchError: The block raised an error, which becomes the cause.
    """
    try:
        yield
    except FsbenchError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own_frames = [frame for frame in frames if "site-packages" not in frame.filename]  # not inside torch
        frame = (own_frames or frames)[-1]
        message = " ".join(f"{type(error).__name__}: {error}".split())
        line = f" ({Path(frame.filename).name}, line {frame.lineno})"
        raise FsbenchError(f"{subject}: {message}{'' if isinstance(error, SyntaxError) else line}") from error
