"""The error that users see, suggestions for unknown names, and the wording of other libraries' errors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher

_OUT_OF_MEMORY = (  # parts of torch's errors on GPUs and CPUs; the last is oneDNN's when it cannot compile
    "OutOfMemoryError",
    "can't allocate memory",
    "Cannot allocate memory",
    "could not create a primitive",
)
_SIMILAR = 0.6  # similarity, 0..1, from which a name is suggested
_SIMILAR_LENGTH = 0.5  # the same for a name of the same length, as of l3 for l2
_BEGINNING = 0.8  # the same for the beginning of a name, as of train for tran
_MAX_LENGTH = 2000  # characters of a message, which may quote a file
_MAX_REASON = 200  # characters of another library's message


class FsbenchError(Exception):
    """Raised for a wrong argument, file or setting.

    The message is one printable line: the argument, the rule, the value, and what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return a text of any origin as one line: shortened, with control characters escaped."""
    shortened = text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]} ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shortened)


def reason(error: Exception) -> str:
    """Return the message of an error of another library as one line, to be quoted in an `FsbenchError`.

    For errors of the operating system it has no path. For errors without a message it is their type.
    """
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    if isinstance(error, FileNotFoundError):
        return "no such file or directory"  # safetensors adds the path
    text = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return " ".join(text.split())[:_MAX_REASON] or type(error).__name__


def unknown(kind: str, name: str, valid: Iterable[str], owner: str | None = None) -> FsbenchError:
    """Return the error for an unknown name, with the closest valid name or, if none is close, all of them.

    Args:
        kind: What the name stands for, such as "head" or "backbone".
        name: The unknown name.
        valid: The valid names.
        owner: What the valid names belong to, such as "recipe 'erm'"; None: to fsbench.
    """
    names = sorted(valid)
    closest = max(names, key=lambda valid: _similarity(name.lower(), valid.lower()), default=None)
    problem = f"{owner} has no {kind} {name!r}" if owner else f"unknown {kind} {name!r}"
    limit = _SIMILAR_LENGTH if closest is not None and len(closest) == len(name) else _SIMILAR
    if closest is None or max(_similarity(name.lower(), closest.lower())) < limit:
        return FsbenchError(f"{problem}; choose {', '.join(names) or 'none'}")
    return FsbenchError(f"{problem}; did you mean {closest!r}?")


def _similarity(typed: str, name: str) -> tuple[float, float]:
    """Return the similarity to a name, or to its beginning if almost equal to that, and to the whole name."""
    typed, name = typed.lstrip("-"), name.lstrip("-")
    whole, beginning = (SequenceMatcher(None, text, typed).ratio() for text in (name, name[: len(typed) + 1]))
    return max(whole, beginning if beginning >= _BEGINNING else 0), whole


@contextmanager
def memory_advice(place: str, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error of Python, torch or oneDNN in the block into one line with advice.

    Torch's errors are recognised by their name or text, so that torch need not be imported.

    Raises:
        FsbenchError: Memory of the host or of a device was exhausted.
    """
    try:
        yield
    except Exception as error:
        text = f"{type(error).__name__} {error}"
        if not isinstance(error, MemoryError) and not any(part in text for part in _OUT_OF_MEMORY):
            raise
        raise FsbenchError(f"out of memory in {place}; {advice}") from error
