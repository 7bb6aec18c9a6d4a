"""Values of a file, checked against the types that a dataclass or TypedDict declares for them."""

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

LONGEST = 1000  # characters of a text that is shown to people
_LONGEST_NAME = 200  # bytes of a part of a path: file systems take 255, and temporary names are longer
_WORDS = {
    str: f"printable text of at most {LONGEST} characters",
    int: "an integer",
    float: "a finite number",
    bool: "true or false",
    NoneType: "nothing",
}


class Wrong(Exception):  # noqa: N818 - becomes an FsbenchError when the path is put in front
    """One line about what is wrong with the content of a file."""


def check(kind: type, values: Mapping[str, Any], needed: Collection[str] = ()) -> None:
    """Refuse values by name that are not of the types of the fields of `kind`, or lack one that is needed.

    Text must be printable, so that no name in a file can move a cursor, hide what it says or break a line.

    Raises:
        Wrong: one is not; the first is named.
    """
    missing = sorted(set(needed) - values.keys())
    if missing:
        raise Wrong(f"lacks {', '.join(missing)}")
    for name, (fits, words) in _rules(kind).items():
        if name in values and not fits(values[name]):
            raise Wrong(f"{name} must be {words}, but is {values[name]!r:.80}")


def as_json(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON document is.

    Raises:
        Wrong: it is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"not JSON ({error})") from error
    if not isinstance(document, dict):
        raise Wrong(f"not a JSON object but {type(document).__name__}")
    return document


def file_name(name: str, text: str) -> None:
    """Refuse a text that is no name of one file or folder, in this one and not elsewhere.

    Raises:
        Wrong: it would lead elsewhere, or no file system takes it.
    """
    plain = Path(text).parts == (text,) and text != ".." and "\\" not in text and text.isprintable()
    if not plain or len(text.encode()) > _LONGEST_NAME:
        raise Wrong(f"{name} must be a name for a file or folder, but is {text!r:.80}")


def as_cell(text: str) -> str:
    """A text for a table that a spreadsheet may open, which takes some beginnings for a formula to run."""
    return f"'{text}" if text[:1] in tuple("=+-@") else text


@cache
def required(kind: type) -> frozenset[str]:
    """The fields that must be there: of a dataclass those without a default, of a TypedDict all."""
    if not is_dataclass(kind):
        return frozenset(kind.__annotations__)
    return frozenset(
        field.name for field in fields(kind) if field.default is field.default_factory is MISSING
    )


@cache
def _rules(kind: type) -> dict[str, tuple[Callable[[Any], bool], str]]:
    return {name: (_test(hint), _words(hint)) for name, hint in get_type_hints(kind).items()}


def _test(hint: Any) -> Callable[[Any], bool]:
    """Whether a value is of a type."""
    parts = get_args(hint)
    if hint is Any:
        return lambda _: True
    if get_origin(hint) is UnionType:
        tests = [_test(part) for part in parts]
        return lambda value: any(test(value) for test in tests)
    if get_origin(hint) is dict:
        key, item = map(_test, parts)
        return lambda value: type(value) is dict and all(key(k) and item(v) for k, v in value.items())
    if get_origin(hint) is tuple and parts[-1] is not Ellipsis:
        tests = [_test(part) for part in parts]
        return lambda value: (
            type(value) is tuple
            and len(value) == len(tests)
            and all(test(one) for test, one in zip(tests, value, strict=True))
        )
    if hint == tuple[int, ...]:  # of which a result file has ten thousand
        return lambda value: type(value) is tuple and _are_integers(value)
    if get_origin(hint) is tuple:
        test = _test(parts[0])
        return lambda value: type(value) is tuple and all(map(test, value))
    plain: dict[Any, Callable[[Any], bool]] = {
        str: lambda value: type(value) is str and len(value) <= LONGEST and value.isprintable(),
        int: lambda value: type(value) is int and abs(value) < 1 << 64,
        float: lambda value: type(value) in (int, float) and abs(value) <= sys.float_info.max,
        bool: lambda value: type(value) is bool,
        NoneType: lambda value: value is None,
    }
    return plain.get(hint, lambda value: isinstance(value, hint))


def _are_integers(values: tuple[Any, ...]) -> bool:
    """Whether values are integers; those below 256 are the bytes of a text, which is four times as fast."""
    try:
        bytes(values)
    except ValueError:
        return set(map(type, values)) <= {int}
    except TypeError:
        return False
    return True


def _words(hint: Any) -> str:
    """A type, for people."""
    parts = get_args(hint)
    if get_origin(hint) is UnionType:
        return " or ".join(map(_words, parts))
    if get_origin(hint) is tuple:
        return f"a list, each {_words(parts[0])}"
    return "an object" if get_origin(hint) is dict else _WORDS.get(hint, "anything")
