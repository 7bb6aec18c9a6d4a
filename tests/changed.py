"""Results for tests, made from the plain names of their values."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from fsbench.evaluation.flat import flatten, nested
from fsbench.evaluation.result import Result


def from_flat(**values: Any) -> Result:
    """A result from values by plain name, such as `n_way`, `run` or `accuracy`."""
    plain = {name: tuple(np.asarray(v).tolist()) if isinstance(v, tuple) else v for name, v in values.items()}
    return msgspec.convert(nested(plain), Result)


def changed(result: Result, **changes: Any) -> Result:
    """The result with other values, which need not be valid in a file."""
    return from_flat(**{**flatten(result), **changes})


def with_correct(result: Result, correct: Sequence[int], **changes: Any) -> Result:
    """The result with these right answers in each task, the accuracy that follows, and other values."""
    result = changed(result, correct=tuple(map(int, correct)), n_tasks=len(correct), **changes)
    return changed(result, accuracy=float(result.accuracies.mean()))


def another(field: str, value: object) -> object:
    """A value of the field that is not this one."""
    values = {"n_query": None, "query_alpha": 2.0, "least_shot": 1, "classes": ("a", "b"), "per_class": 5}
    values |= {"stored_size": 80, "best_epoch": 7, "micro_batch": 32} if value is None else {}
    if isinstance(value, dict):
        return {"k": 3}
    if isinstance(value, bool):
        return not value
    return values.get(
        field, value + 1 if isinstance(value, int) else 0.5 if field == "dropout" else f"x{value}"
    )


def document(result: Result, schema: int, /, **changes: Any) -> dict[str, Any]:
    """The content of a file of that schema, with other values by plain name; unknown names become keys."""
    flat = {**flatten(result), **{name: value for name, value in changes.items() if name != "schema"}}
    number = changes.get("schema", schema)
    return {"schema": number, **(flat if schema == 1 else nested(flat))}
