"""The examples in docstrings of public names run and print the documented output."""

import doctest
import importlib
import inspect

import pytest

ROOMS = ("heads", "stats", "tasks")


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False)
    tests = []
    for room in ROOMS:
        module = importlib.import_module(f"fsbench.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isroutine(value) or inspect.isclass(value):
                home = vars(importlib.import_module(value.__module__))
                tests += finder.find(value, f"{room}.{name}", globs=dict(home))
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_example_runs(example: doctest.DocTest):
    printed: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=printed.append)
    assert "".join(printed) == ""


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_examples(room: str):
    assert any(example.name.startswith(f"{room}.") for example in examples())
