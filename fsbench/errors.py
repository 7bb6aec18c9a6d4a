"""The one error that a user is meant to see, and the way an unknown name is reported."""

from collections.abc import Iterable
from difflib import get_close_matches


class FsbenchError(Exception):
    """A wrong argument, file or setting; its message is one line: argument, rule, value found."""


def unknown(kind: str, name: str, known: Iterable[str]) -> FsbenchError:
    """The error for a name that is not known, with the nearest one that is.

    `kind` is what the name stands for ("head", "backbone"); the message lists the known names when
    none is near.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return FsbenchError(f"unknown {kind} {name!r}; {hint}")
