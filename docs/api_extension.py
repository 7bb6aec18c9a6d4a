"""Changes to docstrings, as the API reference shows them."""

import re
from typing import Any

from from_code import comment
from griffe import Attribute, Docstring, Extension, Function, Object

LONGEST_VALUE = 200  # characters; the value of a longer constant is not shown


class PublicNames(Extension):
    """Describe constants by their comments and show examples as code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename `Example:` to the plural, which Griffe reads as code."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_function(self, *, func: Function, **_: Any) -> None:
        """Hide special methods: what has no docstring is not shown."""
        if func.name.startswith("__"):
            func.docstring = None

    def on_attribute(self, *, attr: Attribute, **_: Any) -> None:
        """Take the comment of a public constant as its docstring."""
        if attr.docstring or attr.name.startswith("_") or not attr.parent or not attr.parent.is_module:
            return
        lines = attr.lines_collection[attr.filepath]
        text = comment(lines, attr.lineno - 1) if attr.lineno else ""
        attr.docstring = Docstring(text or "A constant.", parent=attr)
        if len(str(attr.value)) > LONGEST_VALUE:
            attr.value = None
