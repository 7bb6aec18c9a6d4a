"""Read results and group those that answer the same question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.compare.rows import Group
from fsbench.report.grouping import evaluation, group_by, with_most_tasks

ADVICE = "evaluate a second checkpoint or head on the same tasks"


@dataclass(frozen=True)
class Selection:
    """The results of a call, grouped.

    Attributes:
        groups: Comparable results, two or more of each question.
        by_head: Whether results are only compared if their heads are equal.
        left_out: Files of results without another result of the same question.
        fewer_tasks: Files that are left out because another one differs in nothing but more tasks.
    """

    groups: Sequence[Group]
    by_head: bool
    left_out: Sequence[Path]
    fewer_tasks: Sequence[Path]


def select(paths: Sequence[Path]) -> Selection:
    """Read result files, or all results below folders, and group those that can be compared.

    Raises:
        FsbenchError: A file is not a result, there are fewer than two results, or no result of an argument
            can be compared with another one.
    """
    results = _read(paths)
    by_head = len(paths) > 1 and all(path.is_dir() for path in paths)
    kept = with_most_tasks(results, lambda path: results[path])
    fewer_tasks = [path for path in results if path not in kept]
    keys = {path: _key(results[path], by_head) for path in kept}
    groups = group_by(kept, lambda path: tuple(keys[path].values())).values()
    left_out = [path for group in groups if len(group) == 1 for path in group]
    lone = [*fewer_tasks, *left_out]
    comparable = [{path: results[path] for path in group} for group in groups if len(group) > 1]
    if not comparable:
        reason = _difference(lone[0], keys, results)
        raise FsbenchError(f"there is only one result per question: {reason}; {ADVICE}")
    for argument in paths:
        files = [path for path in results if path == argument or argument in path.parents]
        if set(files) <= set(lone):
            raise FsbenchError(
                f"{files[0]} cannot be compared: {_difference(files[0], keys, results)}; {ADVICE}"
            )
    return Selection(comparable, by_head, left_out, fewer_tasks)


def first_comparable(results: Sequence[Result], folder: Path) -> Path | None:
    """Find results that `compare` can compare, without reading more files than needed.

    Args:
        results: Results whose files are below a results folder.
        folder: The results folder.

    Returns:
        The folder of the first of the results that another result below it may be compared with, if any.
    """
    for result in results:
        place = folder / result.path.parts[0]
        for path in sorted(place.rglob(f"{result.spec.name}-*.json")):
            try:
                other = result_files.read(path)
            except FsbenchError:
                continue
            if _key(other, False) == _key(result, False) and evaluation(other) != evaluation(result):
                return place
    return None


def _read(paths: Sequence[Path]) -> dict[Path, Result]:
    """Read all results by their files, each file once."""
    results = {}
    for argument in paths:
        files = result_files.paths(argument) if argument.is_dir() else [argument]
        if not files:
            raise FsbenchError(f"{argument}: there is no result below this folder")
        for path in files:
            results[path] = result_files.read(path)
    if len(results) < 2:
        raise FsbenchError(
            f"compare needs at least two results, but there is only {', '.join(map(str, results))}; {ADVICE}"
        )
    return results


def _key(result: Result, by_head: bool) -> dict[str, object]:
    """Return the values by name that must be equal in comparable results."""
    data, head = result.data, result.head
    key: dict[str, object] = {
        "dataset": data.dataset,
        "split": data.split,
        "fingerprint": data.fingerprint,
        **vars(replace(result.spec, n_tasks=2, seed=0)),
        "sampler": result.task.sampler,
        "class_prior": head.class_prior,
    }
    return {**key, "head": head.text, "preprocess": head.preprocess} if by_head else key


def _difference(path: Path, keys: Mapping[Path, Mapping[str, object]], results: Group) -> str:
    """Describe how the most similar result differs from one that cannot be compared with any."""
    if path not in keys:
        same = evaluation(results[path])
        longer = next(other for other in keys if evaluation(results[other]) == same)
        return f"{longer} differs from {path} only in its larger number of tasks"

    def differences(other: Path) -> list[str]:
        return [name for name, value in keys[path].items() if keys[other][name] != value]

    nearest = min((other for other in keys if other != path), key=lambda other: len(differences(other)))
    name = differences(nearest)[0]
    values = (keys[file][name] for file in (path, nearest))
    value, nearest_value = ("unknown" if value is None else str(value) for value in values)
    return f"its {name} is {value}, but {nearest_value} in {nearest}"
