"""Results for tests, made from the plain names of their values."""

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
    """The result with other values, which may be none that a file could hold."""
    return from_flat(**{**flatten(result), **changes})


def another(field: str, value: object) -> object:
    """A value of the field that is not this one."""
    others = {"n_query": None, "query_alpha": 2.0, "least_shot": 1, "classes": ("a", "b"), "per_class": 5}
    others |= {"stored_size": 80, "best_epoch": 7, "micro_batch": 32} if value is None else {}
    if isinstance(value, bool):
        return not value
    return others.get(
        field, value + 1 if isinstance(value, int) else 0.5 if field == "dropout" else f"x{value}"
    )


def document(result: Result, schema: int, /, **changes: Any) -> dict[str, Any]:
    """What a file of that schema holds, with other values by plain name; those of no part stand beside."""
    flat = {**flatten(result), **{name: value for name, value in changes.items() if name != "schema"}}
    number = changes.get("schema", schema)
    return {"schema": number, **(flat if schema == 1 else nested(flat))}
