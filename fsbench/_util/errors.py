"""The one error that a user is meant to see, and the way an unknown name is reported."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

# Of torch on GPUs and CPUs; the last one is of oneDNN, which lacks room for the code that it makes.
_NO_MEMORY = (
    "OutOfMemoryError",
    "can't allocate memory",
    "Cannot allocate memory",
    "could not create a primitive",
)
_LONGEST = 2000  # characters of a message: what a file says may be without end


class FsbenchError(Exception):
    """A wrong argument, file or setting; its message is one line: argument, rule, value found."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """A text that may come from anywhere as one line for a terminal: what would steer it is escaped."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def unknown(kind: str, name: str, known: Iterable[str]) -> FsbenchError:
    """The error for a name that is not known, with the nearest one that is.

    `kind` is what the name stands for ("head", "backbone"); the message lists the known names when
    none is near.
    """
    names = {each.lower(): each for each in sorted(known)}
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean {names[near[0]]!r}?" if near else f"known: {', '.join(names.values())}"
    return FsbenchError(f"unknown {kind} {name!r}; {hint}")


@contextmanager
def enough_memory(where: str, advice: str) -> Iterator[None]:
    """Say in one line that memory ran out in the block, of the host or of a device, and what helps.

    Raises:
        FsbenchError: it did. An error of torch is known by its name or text, so that none has to load torch.
    """
    try:
        yield
    except Exception as error:
        told = f"{type(error).__name__} {error}"
        if not isinstance(error, MemoryError) and not any(sign in told for sign in _NO_MEMORY):
            raise
        raise FsbenchError(f"out of memory in {where}; {advice}") from error
