"""Check a results folder: paths of files, intervals, digests of tasks, and tables that are up to date."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report import leaderboard
from fsbench.tasks.pinned import TaskList, read_task_list, task_list_names
from fsbench.tasks.spec import TaskSpec


def problems(folder: Path, readme: Path | None = None) -> Iterator[str]:
    """Check the files of a results folder and, if they have no problems, its tables.

    Args:
        folder: The results folder.
        readme: A Markdown file with leaderboard markers, or None.

    Yields:
        One line per problem.

    Raises:
        FsbenchError: The folder does not exist, or has neither results nor pages.
    """
    problems_of_files = list(file_problems(folder))
    yield from problems_of_files
    if not problems_of_files:
        command = f"fsbench leaderboard {folder}{f' --readme {readme}' if readme else ''}"
        for path in leaderboard.stale(folder, readme):
            state = "is stale" if path.exists() else "is missing"
            yield f"{path}: {state}; write it again: {command}"


def file_problems(folder: Path) -> Iterator[str]:
    """Yield the problems of the result files below a folder, one line each.

    A file must be readable and at the path that follows from its content. Accuracy and half widths must
    follow from the scores. If the tasks are those of a pinned list, the digest must be equal, too.

    Raises:
        FsbenchError: The folder does not exist.
    """
    pinned = {
        (tasks.dataset, tasks.split, tasks.spec): tasks for tasks in map(read_task_list, task_list_names())
    }
    for path in result_files.paths(folder):
        try:
            result = result_files.read(path)
        except FsbenchError as error:
            yield str(error)
            continue
        yield from (f"{path}: {line}" for line in _problems(result, path.relative_to(folder), pinned))


def _problems(
    result: Result, path: Path, pinned: Mapping[tuple[str, str, TaskSpec], TaskList]
) -> Iterator[str]:
    """Yield the problems of a result whose file is at `path`, relative to the results folder."""
    outcome = result.outcome
    if path != result.path:
        yield f"belongs at {result.path}"
    if outcome.interval == stats.INTERVAL:
        half_width = stats.mean_and_half_width(result.accuracies)[1]
        if abs(half_width - outcome.half_width) > 1e-9:
            yield f"half_width is {outcome.half_width}, but the scores give {half_width}"
    if outcome.class_values is not None:
        half_width = stats.mean_and_half_width(outcome.class_values)[1]
        if outcome.class_half_width is None or abs(half_width - outcome.class_half_width) > 1e-8:
            yield f"class_half_width is {outcome.class_half_width}, but class_values give {half_width}"
    pin = pinned.get((result.data.dataset, result.data.split, result.spec))
    if pin is not None and pin.sampler == result.task.sampler and pin.digest != outcome.task_digest:
        yield f"task_digest is {outcome.task_digest[:12]}, but the pinned list has {pin.digest[:12]}"
