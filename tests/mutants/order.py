"""A plugin of pytest for `make mutants`: the fastest tests first, since one that fails is enough.

mutmut has measured each test without its fixtures, of which training the backbone takes longest. Modules
that are imported here are imported once, before mutmut starts a process for each mutant; torch imports its
compiler with the first optimiser.
"""

import json
from pathlib import Path

import numba  # noqa: F401
import pytest
import torch._dynamo  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests by duration; those that need a trained backbone come last."""
    stats = Path("mutmut-stats.json")  # in the folder `mutants`, from which tests run
    if not stats.exists():
        return
    seconds = json.loads(stats.read_text(encoding="utf-8"))["duration_by_test"]

    def cost(item: pytest.Item) -> tuple[bool, float]:
        return "trained" in getattr(item, "fixturenames", ()), seconds.get(item.nodeid, 0.0)

    items.sort(key=cost)
