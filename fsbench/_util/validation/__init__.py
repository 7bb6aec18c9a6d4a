"""Validation of untrusted files: types of values, and sizes of arrays."""

from fsbench._util.validation.typed import typed
from fsbench._util.validation.values import (
    InvalidValueError,
    check,
    check_file_name,
    escape_formula,
    parse_json,
    required,
)

__all__ = [
    "InvalidValueError",
    "check",
    "check_file_name",
    "escape_formula",
    "parse_json",
    "required",
    "typed",
]
