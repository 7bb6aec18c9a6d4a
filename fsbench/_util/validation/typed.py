"""Plain JSON values converted to typed dataclasses, and refused where they do not fit."""

import re
import sys
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

from fsbench._util.validation.values import MAX_TEXT, InvalidValueError

T = TypeVar("T")
_LARGEST = 1 << 64  # below which integers must be


def typed(values: Mapping[str, Any], kind: type[T], *, other_keys: bool = False) -> T:
    """Convert JSON values to a dataclass, whose fields may be dataclasses.

    Args:
        values: JSON values by field name; missing ones take the default of their field.
        kind: A dataclass. `Annotated[..., msgspec.Meta(...)]` bounds the range of a field.
        other_keys: Whether keys that are not fields are ignored instead of refused.

    Raises:
        InvalidValueError: A value is missing, unknown, of another type or out of range, or text is not
            printable.
    """
    if other_keys:
        names = _parts(cast(Hashable, kind))
        values = {name: values[name] for name in names if name in values}
    _refuse_unknown(values, kind)
    _refuse_extremes(values)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise InvalidValueError(_plain(str(error))) from error


def _plain(message: str) -> str:
    """A message of msgspec in the words of fsbench: name, rule, type."""
    text, _, place = message.partition(" - at `$")
    place = place.strip(".`")
    if missing := re.fullmatch("Object missing required field `(.+)`", text):
        return f"lacks {f'{place}.' if place else ''}{missing[1]}"
    text = re.sub("^Expected `(.+?)`", r"must be \1", text)
    text = re.sub(", got `(.+)`$", r", but is \1", text)
    return f"{place} {text}"


@cache
def _parts(kind: Any) -> dict[str, type | None]:
    """The fields of a dataclass; the type of those that are dataclasses themselves."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    return {name: hints[name] if is_dataclass(hints[name]) else None for name in names}


def _refuse_unknown(values: Mapping[str, Any], kind: type) -> None:
    """Refuse keys that are not fields; the missing ones of a part are named by the conversion."""
    parts = _parts(kind)
    unknown = sorted(values.keys() - parts.keys())
    if unknown:
        raise InvalidValueError(f"unknown keys: {', '.join(unknown)}")
    for name, part in parts.items():
        if part is not None and isinstance(values.get(name), dict):
            _refuse_unknown(values[name], part)


def _refuse_extremes(values: Mapping[str, Any]) -> None:
    """Refuse text that could steer a terminal, and numbers without bounds, in values and their parts."""
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
    if isinstance(text, str) and not (len(text) <= MAX_TEXT and text.isprintable()):
        raise InvalidValueError(
            f"{name} must be printable text of at most {MAX_TEXT} characters, but is {text!r:.80}"
        )
