"""Every public name is documented: what it does, each argument, what it returns and what it raises."""

import importlib
import inspect
from typing import Any

import pytest
from docstring_parser import DocstringStyle, parse

ROOMS = (
    "data", "diagnose", "evaluation", "features", "heads", "models", "prediction", "report", "stats", "tasks",
    "training", "training.losses",
)  # fmt: skip


def public(room: str) -> dict[str, Any]:
    module = importlib.import_module(f"fsbench.{room}")
    return {name: getattr(module, name) for name in module.__all__}


def gaps(name: str, value: Any) -> list[str]:
    """The sections that the docstring of a public function or class lacks."""
    if inspect.ismodule(value):
        return [] if value.__doc__ else [f"{name}: no docstring"]
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return []  # constants are documented by comments
    text = inspect.getdoc(value)
    if not text or text == inspect.getdoc(type(value)):
        return [f"{name}: no docstring"]
    docstring = parse(text, style=DocstringStyle.GOOGLE)
    missing = []
    described = {param.arg_name.split(" ")[0].lstrip("*") for param in docstring.params if param.description}
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        expected = [param for param in signature.parameters if not param.startswith("_")]
        if (
            signature.return_annotation not in (None, "None", inspect.Signature.empty)
            and not docstring.returns
        ):
            missing.append(f"{name}: no Returns")
    else:
        expected = [
            field for field in getattr(value, "__dataclass_fields__", {}) if not field.startswith("_")
        ]
        expected = list(getattr(value, "__struct_fields__", expected))
    missing += [f"{name}: {param} is not described" for param in expected if param not in described]
    return missing


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_documented(room: str):
    assert [gap for name, value in public(room).items() for gap in gaps(name, value)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_exports_only_public_names(room: str):
    module = importlib.import_module(f"fsbench.{room}")
    assert [name for name in dir(module) if not name.startswith("__")] == sorted(module.__all__)


def test_missing_docstring_sections_are_detected():
    def undocumented(n: int) -> int:
        """Return n."""
        return n

    assert gaps("f", undocumented) == ["f: no Returns", "f: n is not described"]
