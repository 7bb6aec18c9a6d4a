"""Settings of a function: keyword parameters with defaults, written behind its name as `name:a=1,b=false`."""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fsbench._util.errors import FsbenchError, unknown

Setting = bool | int | float | str

_LARGEST = 1 << 63  # below which whole numbers must be


@dataclass(frozen=True)
class Parameter:
    """One setting of a function.

    Attributes:
        kind: Its type, or the texts that are its possible values.
        default: The value if it is not given.
    """

    kind: type[bool] | type[int] | type[float] | tuple[str, ...]
    default: Setting


def split(text: str) -> tuple[str, dict[str, str]]:
    """Split `name:a=1,b=false` into the name and the texts of the settings.

    The settings are the part behind the last colon, if it contains an equals sign.

    Raises:
        FsbenchError: The part is not a list of NAME=VALUE, or it gives a setting twice.

    Example:
        >>> split("./mine.py:head:k=3")
        ('./mine.py:head', {'k': '3'})
        >>> split("./mine.py:head")
        ('./mine.py:head', {})
    """
    name, colon, part = text.rpartition(":")
    if not colon or "=" not in part:
        return text, {}
    pairs: dict[str, str] = {}
    for item in part.split(","):
        key, equals, value = (word.strip() for word in item.partition("="))
        if not key or not equals:
            raise FsbenchError(
                f"settings of {name} must be NAME=VALUE, separated by commas, but are {part!r}"
            )
        if key in pairs:
            raise FsbenchError(f"settings of {name} must name each setting once, but {key} is given twice")
        pairs[key] = value
    return name, pairs


def joined(name: str, values: Mapping[str, Setting]) -> str:
    """Write a name and its settings as `split` reads them."""
    return (
        f"{name}:{','.join(f'{key}={as_text(value)}' for key, value in values.items())}" if values else name
    )


def are_readable(name: str, values: Mapping[str, Setting]) -> bool:
    """Whether `split` gives a name and the texts of its settings back from what `joined` writes."""
    return split(name) == (name, {}) and all(
        key.isidentifier() and _is_readable(as_text(value)) for key, value in values.items()
    )


def as_text(value: Setting) -> str:
    """Write a value as users do, such as `false` or `0.5`."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value).removesuffix(".0")


def in_words(values: Mapping[str, Setting]) -> list[str]:
    """Write settings for people, such as "epochs 100"."""
    return [f"{name} {as_text(value)}" for name, value in values.items()]


def portable(values: Mapping[str, Setting]) -> str:
    """Write settings as part of a file name on any system; different settings can have equal texts."""
    return re.sub(r"[^a-zA-Z0-9.-]+", "_", "-".join(f"{key}_{as_text(v)}" for key, v in values.items()))[:60]


def parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """List the settings of a function.

    These are the parameters after the first two that can be given by name, have a default, and are of type
    bool, int, float or a Literal of texts without colon, comma or space around them. Without an annotation,
    the type is that of the default.
    """
    try:
        candidates = list(inspect.signature(function).parameters.values())[2:]
    except ValueError:  # a function without a signature, such as one written in C
        return {}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    every = {part.name: _parameter(function, part) for part in candidates if part.kind in by_name}
    return {name: parameter for name, parameter in every.items() if parameter is not None}


def convert(values: Mapping[str, Setting], valid: Mapping[str, Parameter], owner: str) -> dict[str, Setting]:
    """Convert values, which may be texts, to the types of their settings.

    Args:
        values: Values by name.
        valid: The settings that there are.
        owner: What they belong to, such as "head tim", for messages.

    Returns:
        The values, by name in the order of the alphabet.

    Raises:
        FsbenchError: A setting does not exist, or a value is not of its type.
    """
    for name in values:
        if not valid:
            raise FsbenchError(f"{owner} has no settings, but {name} is given")
        if name not in valid:
            defaults = ", ".join(f"{key}={as_text(each.default)}" for key, each in valid.items())
            raise FsbenchError(f"{unknown('setting', name, valid, owner)} (its settings: {defaults})")
    return {name: _value(values[name], valid[name], f"{owner}: {name}") for name in sorted(values)}


def _parameter(function: Callable[..., Any], part: inspect.Parameter) -> Parameter | None:
    """Return a parameter of a signature as a setting; None if it is not one."""
    hint, default = _hint(function, part), part.default
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if choices and all(isinstance(choice, str) and _is_readable(choice) for choice in choices):
        return Parameter(choices, default) if default in choices else None
    if hint is bool:
        return Parameter(bool, default) if isinstance(default, bool) else None
    if isinstance(default, bool):
        return None
    if hint is int:
        return Parameter(int, default) if isinstance(default, int) else None
    if hint is float and isinstance(default, int | float) and not math.isnan(default):
        return Parameter(float, float(default))
    return None


def _is_readable(text: str) -> bool:
    """Whether `split` gives a value back as it was written."""
    return text == text.strip() and ":" not in text and "," not in text


def _hint(function: Callable[..., Any], part: inspect.Parameter) -> Any:
    """Return the type of a parameter, of its default if it has no annotation that can be resolved."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    hints = SimpleNamespace(__annotations__={part.name: part.annotation})
    try:
        hint = get_type_hints(hints, names)[part.name]
    except Exception:  # of a user's code, such as a name that only type checkers import
        hint = part.empty
    return type(part.default) if hint is part.empty else hint


def _value(value: Setting, parameter: Parameter, place: str) -> Setting:
    """Convert one value; `place` begins the message of the error."""
    text, kind = as_text(value), parameter.kind
    if text == as_text(parameter.default):  # which can be infinite
        return parameter.default
    if isinstance(kind, tuple):
        if text in kind:
            return text
        expected = f"{', '.join(kind[:-1])} or {kind[-1]}" if len(kind) > 1 else kind[0]
    elif kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        expected = "true or false"
    else:
        number = _number(text)
        if kind is float and math.isfinite(number):
            return float(number)
        if kind is int and isinstance(number, int):
            return number
        expected = "a whole number" if kind is int else "a number"
    raise FsbenchError(f"{place} must be {expected}, but is {text!r}")


def _number(text: str) -> int | float:
    """Read a number, a whole one as int, such as 1e2; NaN for other texts and for huge whole numbers."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    if not number.is_integer():
        return number
    try:
        whole = int(text)
    except ValueError:
        whole = int(number)
    return whole if abs(whole) < _LARGEST else number
