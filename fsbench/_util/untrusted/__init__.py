"""Safe reading of untrusted files: types of values, and sizes of arrays."""

from fsbench._util.untrusted.values import (
    InvalidValueError,
    check_file_name,
    escape_formula,
    parse_json,
    typed,
)

__all__ = ["InvalidValueError", "check_file_name", "escape_formula", "parse_json", "typed"]
