"""Whether a results folder is what it says: files where they belong, numbers and tables that follow."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import results
from fsbench.evaluation.results import Result
from fsbench.report import leaderboard
from fsbench.tasks.pinned import TaskList, read_task_list, task_list_names
from fsbench.tasks.spec import TaskSpec


def problems(folder: Path, readme: Path | None = None) -> Iterator[str]:
    """What is wrong below a results folder, one line per problem: its files, and tables that do not follow.

    Raises:
        FsbenchError: no such folder.
    """
    of_files = list(file_problems(folder))
    yield from of_files
    if not of_files:
        yield from (f"{path}: is stale" for path in leaderboard.stale(folder, readme))


def file_problems(folder: Path) -> Iterator[str]:
    """What is wrong with the result files below a folder, one line per problem.

    Each file is read (schema, and scores that give the accuracy), lies at the path that its keys give, has
    the half width that its scores give, and the digest of the pinned list where there is one for its tasks.

    Raises:
        FsbenchError: no such folder.
    """
    pinned = {
        (tasks.dataset, tasks.split, tasks.spec): tasks for tasks in map(read_task_list, task_list_names())
    }
    for path in results.paths(folder):
        try:
            result = results.read(path)
        except FsbenchError as error:
            yield str(error)
            continue
        yield from (f"{path}: {line}" for line in _problems(result, path.relative_to(folder), pinned))


def _problems(
    result: Result, place: Path, pinned: Mapping[tuple[str, str, TaskSpec], TaskList]
) -> Iterator[str]:
    if place != result.path:
        yield f"belongs at {result.path}"
    if result.interval == stats.INTERVAL:
        half_width = stats.mean_and_half_width(result.accuracies)[1]
        if abs(half_width - result.half_width) > 1e-9:
            yield f"half_width is {result.half_width}, but the scores give {half_width}"
    if result.class_values is not None:
        half_width = stats.mean_and_half_width(result.class_values)[1]
        if result.class_half_width is None or abs(half_width - result.class_half_width) > 1e-8:
            yield f"class_half_width is {result.class_half_width}, but class_values give {half_width}"
    known = pinned.get((result.dataset, result.split, result.spec))
    if known is not None and known.sampler == result.sampler and known.digest != result.task_digest:
        yield f"task_digest is {result.task_digest[:12]}, but the pinned list has {known.digest[:12]}"
