"""A plugin of pytest for `make mutants`: the fastest tests first, since one that fails is enough.

mutmut has measured each test without its fixtures, of which training the backbone takes longest.
"""

import json
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests by what they took, those that need a trained backbone last."""
    stats = Path("mutmut-stats.json")  # in the folder `mutants`, where tests run
    if not stats.exists():
        return
    seconds = json.loads(stats.read_text(encoding="utf-8"))["duration_by_test"]

    def cost(item: pytest.Item) -> tuple[bool, float]:
        return "trained" in getattr(item, "fixturenames", ()), seconds.get(item.nodeid, 0.0)

    items.sort(key=cost)
