"""Code of a user, which runs when it is named: `./file.py`, `./file.py:name` or `package.module:name`."""

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

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason, sha256_of

_REFERENCE = re.compile(r"(.+\.py|[^\W\d]\w*(\.[^\W\d]\w*)*):[^\W\d]\w*")


@dataclass(frozen=True)
class Found:
    """What a reference names."""

    value: Any
    name: str  # fit for people and for file names, such as mine.head
    digest: str  # SHA-256 of the file that it is written in, in hexadecimal


def is_reference(text: str) -> bool:
    """Whether a text has the form of a reference, `./file.py:name` or `package.module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def find(reference: str, what: str) -> Found:
    """What `reference` names; `what` it stands for ("head", "backbone") is said in errors.

    Raises:
        FsbenchError: no such file, module or name, or code that fails while it is imported.
    """
    place, _, name = reference.rpartition(":")
    if place.endswith(".py"):
        module, short = module_of(Path(place), what), Path(place).stem
    else:
        with one_line(f"{what} {reference}"):
            module, short = importlib.import_module(place), place
    if not hasattr(module, name):
        raise FsbenchError(f"{what} {reference}: there is no {name} in {place}")
    if module.__file__ is None:
        raise FsbenchError(f"{what} {reference}: {place} must be a file of code, but is a folder")
    return Found(getattr(module, name), f"{short}.{name}", sha256_of(Path(module.__file__)))


def module_of(path: Path, what: str) -> ModuleType:
    """The module that a file of code makes; it runs once, and again when its content is another.

    Raises:
        FsbenchError: no such file, or code that fails.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise FsbenchError(f"{what} {path}: cannot be read ({reason(error)})") from error
    key = hashlib.sha256(bytes(path.resolve()) + b"\0" + source).hexdigest()[:16]
    name = f"fsbench_user_{path.stem}_{key}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(path.resolve())
        sys.modules[name] = module  # where dataclasses look for their module
        try:
            with one_line(f"{what} {path}"):
                exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102 - it is named to run
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn whatever a user's code raises into the one error that is shown, with its file and line.

    Raises:
        FsbenchError: the block raised; the original error is its cause.
    """
    try:
        yield
    except FsbenchError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        outside = [frame for frame in frames if "site-packages" not in frame.filename]  # not inside torch
        frame = (outside or frames)[-1]
        text = " ".join(f"{type(error).__name__}: {error}".split())
        at = "" if isinstance(error, SyntaxError) else f" ({Path(frame.filename).name}, line {frame.lineno})"
        raise FsbenchError(f"{what}: {text}{at}") from error
