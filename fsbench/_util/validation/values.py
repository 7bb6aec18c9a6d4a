"""Validation of the values in a file against the types of a dataclass or TypedDict."""

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

MAX_TEXT = 1000  # characters
_MAX_FILE_NAME = 200  # bytes; file systems allow 255, and temporary names are longer
_TYPE_NAMES = {
    str: f"printable text of at most {MAX_TEXT} characters",
    int: "an integer",
    float: "a finite number",
    bool: "true or false",
    NoneType: "nothing",
}


class InvalidValueError(Exception):
    """A file has invalid content. The caller adds the path and raises an `FsbenchError`."""


def check(kind: type, values: Mapping[str, Any], needed: Collection[str] = ()) -> None:
    """Check that values have the types that `kind` declares for its fields, and that none is missing.

    Text must be printable, so that a name in a file cannot move the cursor of a terminal, hide itself or add
    lines to a message.

    Args:
        kind: A dataclass or TypedDict.
        values: Values by field name; other names are ignored.
        needed: Names that must be present.

    Raises:
        InvalidValueError: A value is missing or has another type; the message names the first one.
    """
    missing = sorted(set(needed) - values.keys())
    if missing:
        raise InvalidValueError(f"lacks {', '.join(missing)}")
    for name, (is_valid, type_name) in _rules(kind).items():
        if name in values and not is_valid(values[name]):
            raise InvalidValueError(f"{name} must be {type_name}, but is {values[name]!r:.80}")


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON document that must be an object.

    Raises:
        InvalidValueError: The text is not JSON, or not an object.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"not JSON ({error})") from error
    if not isinstance(document, dict):
        raise InvalidValueError(f"not a JSON object but {type(document).__name__}")
    return document


def check_file_name(name: str, text: str) -> None:
    """Check that `text`, the value of `name`, is the name of a single file or folder.

    Raises:
        InvalidValueError: The text is a path to another folder, too long, or not printable.
    """
    single = Path(text).parts == (text,) and text != ".." and "\\" not in text and text.isprintable()
    if not single or len(text.encode()) > _MAX_FILE_NAME:
        raise InvalidValueError(f"{name} must be a name for a file or folder, but is {text!r:.80}")


def escape_formula(text: str) -> str:
    """Escape a table cell that a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@") else text


@cache
def required(kind: type) -> frozenset[str]:
    """Return the required fields: those without a default in a dataclass, all in a TypedDict."""
    if not is_dataclass(kind):
        return frozenset(kind.__annotations__)
    return frozenset(
        field.name for field in fields(kind) if field.default is field.default_factory is MISSING
    )


@cache
def _rules(kind: type) -> dict[str, tuple[Callable[[Any], bool], str]]:
    """Return a validator and the name of the type for each field."""
    return {name: (_validator(hint), _type_name(hint)) for name, hint in get_type_hints(kind).items()}


def _validator(hint: Any) -> Callable[[Any], bool]:
    """Return a function that tells whether a value has the type."""
    parts = get_args(hint)
    if hint is Any:
        return lambda _: True
    if get_origin(hint) is UnionType:
        validators = [_validator(part) for part in parts]
        return lambda value: any(is_valid(value) for is_valid in validators)
    if get_origin(hint) is dict:
        is_key, is_item = map(_validator, parts)
        return lambda value: type(value) is dict and all(is_key(k) and is_item(v) for k, v in value.items())
    if get_origin(hint) is tuple and parts[-1] is not Ellipsis:
        validators = [_validator(part) for part in parts]
        return lambda value: (
            type(value) is tuple
            and len(value) == len(validators)
            and all(is_valid(item) for is_valid, item in zip(validators, value, strict=True))
        )
    if hint == tuple[int, ...]:  # the fast case: a result file contains ten thousand integers
        return lambda value: type(value) is tuple and _are_integers(value)
    if get_origin(hint) is tuple:
        is_item = _validator(parts[0])
        return lambda value: type(value) is tuple and all(map(is_item, value))
    plain: dict[Any, Callable[[Any], bool]] = {
        str: lambda value: type(value) is str and len(value) <= MAX_TEXT and value.isprintable(),
        int: lambda value: type(value) is int and abs(value) < 1 << 64,
        float: lambda value: type(value) in (int, float) and abs(value) <= sys.float_info.max,
        bool: lambda value: type(value) is bool,
        NoneType: lambda value: value is None,
    }
    return plain.get(hint, lambda value: isinstance(value, hint))


def _are_integers(values: tuple[Any, ...]) -> bool:
    """Return whether all values are integers; `bytes` finds out four times as fast for values below 256."""
    try:
        bytes(values)
    except ValueError:
        return set(map(type, values)) <= {int}
    except TypeError:
        return False
    return True


def _type_name(hint: Any) -> str:
    """Return the name of a type in messages."""
    parts = get_args(hint)
    if get_origin(hint) is UnionType:
        return " or ".join(map(_type_name, parts))
    if get_origin(hint) is tuple:
        return f"a list, each {_type_name(parts[0])}"
    return "an object" if get_origin(hint) is dict else _TYPE_NAMES.get(hint, "anything")
