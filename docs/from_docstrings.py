"""The page of public names: signature and first paragraph of each, as the code has them."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from from_code import comment, first_line, public_modules


def reference() -> str:
    """One section per public module, with the names in its `__all__`."""
    sections = []
    for name in public_modules():
        module = import_module(name)
        members = [(member, getattr(module, member)) for member in module.__all__]
        entries = [
            _entry(member, value, module) for member, value in members if not isinstance(value, ModuleType)
        ]
        sections.append("\n\n".join([f"## {name}", first_line(module), *entries]))
    return "\n\n".join(sections)


def _entry(name: str, value: Any, module: ModuleType) -> str:
    """Return the signature of a name as code, and the first paragraph of its docstring."""
    if not callable(value) or not (inspect.isfunction(value) or inspect.isclass(value)):
        return f"`{name}`: {_comment(name, module)}"
    paragraph = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return f"```py\n{_signature(value)}\n```\n\n{' '.join(paragraph.split())}"


def _signature(value: Any) -> str:
    """Return the definition of a function or class without its body, and the fields of a dataclass."""
    source = inspect.getsource(value)
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    lines = source.splitlines()
    definition = lines[node.lineno - 1 : node.body[0].lineno - 1]
    fields = [
        "\n".join(lines[part.lineno - 1 : part.end_lineno])
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and part.target.id[0] != "_"
    ]
    text = "\n".join([*definition, *fields]).rstrip()
    return text if fields else text.removesuffix(":")


def _comment(name: str, module: ModuleType) -> str:
    """Return the comment of a constant: behind its value, or directly above it."""
    for path in sorted(Path(str(module.__file__)).parent.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for i, line in enumerate(lines):
            if re.match(rf"{name}\b.* = ", line):
                return comment(lines, i) or _kind(name, module)
    return _kind(name, module)


def _kind(name: str, module: ModuleType) -> str:
    """Say what a constant without a comment is."""
    return f"a {type(getattr(module, name)).__name__.lstrip('_')}"
