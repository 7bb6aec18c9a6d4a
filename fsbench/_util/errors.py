"""The error that users see, suggestions for unknown names, and the message for exhausted memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

_OUT_OF_MEMORY = (  # parts of torch's errors on GPUs and CPUs; the last is oneDNN's when it cannot compile
    "OutOfMemoryError",
    "can't allocate memory",
    "Cannot allocate memory",
    "could not create a primitive",
)
_MAX_LENGTH = 2000  # characters of a message, which may quote a file


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


def unknown(kind: str, name: str, names: Iterable[str]) -> FsbenchError:
    """Return the error for an unknown name, with the closest valid name or, if none is close, all of them.

    Args:
        kind: What the name stands for, such as "head" or "backbone".
        name: The unknown name.
        names: The valid names.
    """
    valid = {each.lower(): each for each in sorted(names)}
    closest = get_close_matches(name.lower(), valid, n=1, cutoff=0.5)
    hint = f"did you mean {valid[closest[0]]!r}?" if closest else f"known: {', '.join(valid.values())}"
    return FsbenchError(f"unknown {kind} {name!r}; {hint}")


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
