"""Type checks of arguments, for mistakes in Python calls."""

from dataclasses import fields
from inspect import formatannotation
from typing import Any

import msgspec
import numpy as np

from fsbench._util.errors import FsbenchError


def convert(name: str, value: Any, kind: Any) -> Any:
    """Convert a NumPy number or a list to the type of an argument.

    Args:
        name: Name of the argument, for the message.
        value: The value.
        kind: Type of the argument, such as `int | None`.

    Raises:
        FsbenchError: The value has another type; True is not a number.
    """
    try:
        return msgspec.convert(value.item() if isinstance(value, np.generic) else value, kind)
    except msgspec.ValidationError as error:
        raise FsbenchError(
            f"{name} must be {formatannotation(kind)}, but is {value!r} of type {type(value).__name__}"
        ) from error


def convert_fields(value: Any) -> None:
    """Convert all fields of a frozen dataclass, in its `__post_init__`."""
    for field in fields(value):
        object.__setattr__(value, field.name, convert(field.name, getattr(value, field.name), field.type))
