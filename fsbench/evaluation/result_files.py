"""Result files: one JSON file per result, at a path that is unique to its question."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import write_text
from fsbench._util.settings import are_readable
from fsbench._util.untrusted import InvalidValueError, check_file_name, typed
from fsbench.evaluation.flat import nested
from fsbench.evaluation.result import Question, Result

# Folders whose files are not part of the leaderboard.
OTHER_FOLDERS = ("bench", "budget", "diagnose", "precision", "tuning")
SCHEMA = 2  # schema 1 was flat; keys with a default were added later, so that files without them still load


def to_json(result: Result) -> dict[str, Any]:
    """Convert a result to plain JSON values, schema number first."""
    return {"schema": SCHEMA, **_json_value(result)}


def _json_value(value: Any) -> Any:
    """Convert dataclasses to dictionaries and tuples to lists."""
    if is_dataclass(value):
        return {field.name: _json_value(getattr(value, field.name)) for field in fields(value)}
    return list(value) if isinstance(value, tuple) else value


def write(folder: Path, result: Result) -> Path:
    """Write one result file, with one key per line and each list on one line.

    Args:
        folder: The results folder.
        result: The result.

    Returns:
        The path of the file.
    """
    path = folder / result.path
    write_text(path, f"{_lines(to_json(result))}\n")
    return path


def _lines(values: Mapping[str, Any], indent: str = "") -> str:
    """Format JSON with one key per line, so that a change of one number is one line of a diff."""
    inner = f"{indent}  "
    lines = (
        f"{inner}{json.dumps(key)}: {_lines(value, inner) if isinstance(value, dict) else json.dumps(value)}"
        for key, value in values.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}" if values else "{}"


def read(path: Path) -> Result:
    """Read one result file of any schema.

    Args:
        path: The file.

    Returns:
        The result.

    Raises:
        FsbenchError: The file cannot be read, is not JSON, has an unknown schema, key or type, a value out of
            range, a name that leads out of the results folder, or scores that contradict the accuracy.
    """
    try:
        document = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FsbenchError(f"{path}: not a result file ({error})") from error
    schema = document.pop("schema", None) if isinstance(document, dict) else None
    if schema not in range(1, SCHEMA + 1):
        raise FsbenchError(f"{path}: not a result file of schema 1 to {SCHEMA}")
    try:
        result = typed(nested(document) if schema == 1 else document, Result)
        check_names(result.question)
        _check_scores(result)
    except (InvalidValueError, FsbenchError) as error:
        raise FsbenchError(f"{path}: {error}") from error
    return result


def check_names(question: Question) -> None:
    """Refuse names that would lead out of the results folder, or that `--head` would read as another head.

    Raises:
        InvalidValueError: A name is not that of a file or folder, or the head or a setting has another form.
    """
    check_file_name("dataset", question.data.dataset)
    check_file_name("run", question.model.run)
    head = question.head
    if not are_readable(head.name, head.settings):
        raise InvalidValueError(f"head must be NAME or NAME:a=1,b=false, but is {head.text!r:.80}")
    path = question.path
    if len(path.parts) != 3:
        raise InvalidValueError(f"split, head or preprocess lead to another folder: {path}")
    for part in path.parts:
        check_file_name("a part of its path", part)


def _check_scores(result: Result) -> None:
    """Refuse scores that contradict the number of tasks, the queries or the accuracy."""
    n_tasks, outcome = result.spec.n_tasks, result.outcome
    values = outcome.class_values
    if values is not None and (len(values) < 2 or max(map(abs, values)) > len(values)):
        raise InvalidValueError("class_values must be two or more numbers, none larger than their count")
    for name, numbers in (("correct", outcome.correct), ("queries", outcome.queries)):
        if isinstance(numbers, tuple) and len(numbers) != n_tasks:
            raise InvalidValueError(
                f"{name} must have one number for each of {n_tasks} tasks, but has {len(numbers)}"
            )
    correct, queries = result.n_correct, result.n_queries
    if not (correct.min() >= 0 and (correct <= queries).all() and queries.min() > 0):
        raise InvalidValueError("correct must be at least 0 and at most the number of queries in each task")
    # With the same number of queries everywhere, no array of scores is made.
    mean = result.accuracies.mean() if queries.ndim else correct.mean() / queries
    if not abs(mean - outcome.accuracy) <= 1e-9:
        raise InvalidValueError(
            f"accuracy is {outcome.accuracy}, but the mean of the per-task scores is {mean:.6g}"
        )


def paths(folder: Path) -> list[Path]:
    """List every result file below a folder, sorted, without those in `OTHER_FOLDERS`.

    Raises:
        FsbenchError: The folder does not exist, or a folder in it cannot be read.
    """
    if not folder.is_dir():
        raise FsbenchError(
            f"results folder {folder}: there is no such folder; fsbench evaluate writes results"
        )
    files: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        if Path(place) == folder:
            folders[:] = (name for name in folders if name not in OTHER_FOLDERS)
        files += (Path(place, name) for name in names if name.endswith(".json"))
    return sorted(files, key=lambda path: path.parts)


def _refuse(error: OSError) -> None:
    """Raise the error; without this, os.walk skips folders that it cannot read."""
    raise FsbenchError(f"cannot read {error.filename}: {reason(error)}") from error


def read_all(folder: Path) -> Iterator[Result]:
    """Read every result below a folder.

    Args:
        folder: The results folder.

    Returns:
        The results, in the order of their paths.

    Raises:
        FsbenchError: The folder does not exist, or one of its `.json` files is not a result.
    """
    return map(read, paths(folder))
