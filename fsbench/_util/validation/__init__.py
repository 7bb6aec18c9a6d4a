"""What files of strangers say, checked before it is believed: values by their type, arrays by their size."""

from fsbench._util.validation.typed import typed
from fsbench._util.validation.values import Wrong, as_cell, as_json, check, file_name, required

__all__ = ["Wrong", "as_cell", "as_json", "check", "file_name", "required", "typed"]
