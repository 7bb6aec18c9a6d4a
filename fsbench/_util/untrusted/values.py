"""Values of untrusted files: JSON or TOML as typed dataclasses, names of files, and cells of tables."""

import json
import re
import sys
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

T = TypeVar("T")
MAX_TEXT = 1000  # characters
_MAX_FILE_NAME = 200  # bytes; file systems allow 255, and temporary names are longer
_LARGEST = 1 << 64  # below which integers must be


class InvalidValueError(Exception):
    """A file has invalid content. The caller adds the path and raises an `FsbenchError`."""


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


def typed(values: Mapping[str, Any], kind: type[T], *, other_keys: bool = False) -> T:
    """Convert values of JSON or TOML to a dataclass, whose fields may be dataclasses.

    Args:
        values: Values by field name; missing ones take the default of their field.
        kind: A dataclass. `Annotated[..., msgspec.Meta(...)]` bounds the range of a field.
        other_keys: Whether keys that are not fields are ignored instead of refused.

    Raises:
        InvalidValueError: A value is missing, unknown, of another type or out of range, or text is not
            printable.
    """
    if other_keys:
        names = _nested_types(cast(Hashable, kind))
        values = {name: values[name] for name in names if name in values}
    _refuse_unknown(values, kind)
    _refuse_extremes(values)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise InvalidValueError(_reword(str(error))) from error


def check_file_name(name: str, text: str) -> None:
    """Check that `text`, the value of `name`, is the name of a single file or folder.

    Raises:
        InvalidValueError: The text is a path to another folder, too long, or not printable.
    """
    if not _is_file_name(text):
        raise InvalidValueError(f"{name} must be a name for a file or folder, but is {text!r:.80}")


@cache  # many results have few names
def _is_file_name(text: str) -> bool:
    """Whether a text is the name of a single file or folder."""
    single = Path(text).parts == (text,) and text != ".." and "\\" not in text and text.isprintable()
    return single and len(text.encode()) <= _MAX_FILE_NAME


def escape_formula(text: str) -> str:
    """Escape a table cell that a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@") else text


def _reword(message: str) -> str:
    """Convert a message of msgspec to the form of fsbench: name, rule, type."""
    text, _, place = message.partition(" - at `$")
    place = place.strip(".`")
    if missing := re.fullmatch("Object missing required field `(.+)`", text):
        return f"lacks {f'{place}.' if place else ''}{missing[1]}"
    text = re.sub("^Expected `(.+?)`", r"must be \1", text)
    text = re.sub(", got `(.+)`$", r", but is \1", text)
    return f"{place} {text}"


@cache
def _nested_types(kind: Any) -> dict[str, type | None]:
    """Return the fields of a dataclass, with their type if that is a dataclass."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    return {name: hints[name] if is_dataclass(hints[name]) else None for name in names}


def _refuse_unknown(values: Mapping[str, Any], kind: type) -> None:
    """Refuse keys that are not fields, also in nested dataclasses."""
    nested = _nested_types(kind)
    unknown = sorted(values.keys() - nested.keys())
    if unknown:
        raise InvalidValueError(f"unknown keys: {', '.join(unknown)}")
    for name, nested_type in nested.items():
        if nested_type is not None and isinstance(values.get(name), dict):
            _refuse_unknown(values[name], nested_type)


def _refuse_extremes(values: Mapping[str, Any]) -> None:
    """Refuse unprintable or long text, and infinite or huge numbers, also in nested values."""
    for name, value in values.items():
        if isinstance(value, dict):
            _refuse_extremes(value)
        elif isinstance(value, str):
            _check_text(name, value)
        elif isinstance(value, float):
            if not abs(value) <= sys.float_info.max:
                raise InvalidValueError(f"{name} must be finite, but is {value}")
        elif isinstance(value, int):
            if abs(value) >= _LARGEST:
                raise InvalidValueError(f"{name} must be below 2**64, but is larger")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], str):
            for text in value:
                _check_text(name, text)
        _check_text("a key", name)


def _check_text(name: str, text: object) -> None:
    """Refuse text that is not printable or too long."""
    if isinstance(text, str) and not (len(text) <= MAX_TEXT and text.isprintable()):
        raise InvalidValueError(
            f"{name} must be printable text of at most {MAX_TEXT} characters, but is {text!r:.80}"
        )
