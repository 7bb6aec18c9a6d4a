"""A result as one flat mapping: the columns of tables, and the files of schema 1."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from fsbench.evaluation.result import Data, HeadSettings, Outcome, Question, Result
from fsbench.models.identity import Model
from fsbench.models.seen import reworded
from fsbench.tasks.spec import TaskSpec

# Fields of the head with other names in flat form.
_HEAD = {"name": "head", "code": "head_code", "settings": "head_settings"}


def flatten(result: Result | Question) -> dict[str, Any]:
    """Return all values of a result in one mapping.

    Args:
        result: A result, or a question without an outcome.

    Returns:
        Values by plain name, such as `dataset`, `n_way`, `run`, `head` and `accuracy`.
    """
    head = {_HEAD.get(name, name): value for name, value in _values(result.head).items()}
    flat = {
        **_values(result.data),
        **_values(result.task.spec),
        "sampler": result.task.sampler,
        **_values(result.model),
        **head,
    }
    return {**flat, **_values(result.outcome)} if isinstance(result, Result) else flat


def as_row(result: Result) -> dict[str, Any]:
    """Return one row of a table of results.

    Args:
        result: The result.

    Returns:
        Data set, run, head with its settings, and tasks; accuracy and 95 % half widths in percent; all other
        single values by name; and the path of the file.
    """
    flat, outcome = flatten(result), result.outcome
    for name in ("head", "accuracy", "half_width", "class_half_width"):  # in another form below
        del flat[name]
    for name in ("class_values", "correct", "head_settings", "queries", "versions"):  # not single values
        del flat[name]
    class_half_width = outcome.class_half_width
    return {
        "dataset": result.data.dataset,
        "run": result.model.run,
        "head": result.head.text,
        "preprocess": result.head.preprocess,
        "n_way": result.spec.n_way,
        "n_shot": result.spec.n_shot,
        "accuracy_percent": 100 * outcome.accuracy,
        "half_width_percent": 100 * outcome.half_width,
        "class_half_width_percent": None if class_half_width is None else 100 * class_half_width,
        **flat,
        "file": result.path.as_posix(),
    }


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the values of a flat result file (schema 1) to those of a nested one, without checks."""
    remaining = dict(flat)
    if isinstance(remaining.get("seen"), str):
        remaining["seen"] = reworded(remaining["seen"])

    def take(kind: type, names: Mapping[str, str] = {}) -> dict[str, Any]:
        pairs = ((field.name, names.get(field.name, field.name)) for field in fields(kind))
        return {name: remaining.pop(key) for name, key in pairs if key in remaining}

    task = {"spec": take(TaskSpec)}
    if "sampler" in remaining:
        task["sampler"] = remaining.pop("sampler")
    parts = {"data": take(Data), "model": take(Model), "head": take(HeadSettings, _HEAD)}
    return {"task": task, **parts, "outcome": take(Outcome), **remaining}


def _values(part: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name."""
    return {field.name: getattr(part, field.name) for field in fields(part)}
