"""Plots of results, features and training: pure functions that return a Matplotlib figure."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fsbench._util.errors import FsbenchError, unknown
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.features import store
from fsbench.models.checkpoint import is_safetensors
from fsbench.report.leaderboard import wording
from fsbench.report.plots import labels
from fsbench.report.plots.budget import budgets
from fsbench.report.plots.embedding import novel_features
from fsbench.report.plots.grids import cross_domain, recipe_by_head
from fsbench.report.plots.page import check_figure, save
from fsbench.report.plots.ranking import leaderboard
from fsbench.report.plots.selection import EVERYTHING, Selection
from fsbench.report.plots.sweeps import ways_and_shots
from fsbench.report.plots.tasks import task_accuracies
from fsbench.report.plots.training import time_curves, training_curves

__all__ = [
    "KINDS",
    "Selection",
    "budgets",
    "check_figure",
    "cross_domain",
    "leaderboard",
    "novel_features",
    "of_call",
    "plot",
    "recipe_by_head",
    "save",
    "task_accuracies",
    "time_curves",
    "training_curves",
    "ways_and_shots",
]

OF_RESULTS: Mapping[str, Callable[[Sequence[Result], Selection], Figure]] = {
    "leaderboard": leaderboard,
    "ways-shots": ways_and_shots,
    "recipe-head": recipe_by_head,
    "cross-domain": cross_domain,
    "budget": budgets,
    "task-accuracies": task_accuracies,
}
OF_RUNS = {"training": training_curves, "time": time_curves}
KINDS = (*OF_RESULTS, "features", *OF_RUNS)


def plot(kind: str, paths: Sequence[Path], selection: Selection = EVERYTHING) -> Figure:
    """Draw one of `KINDS` from result files or folders of them, from feature files, or from run folders.

    For the kind budget, a results folder stands for its folder `budget`, if it has one.

    Raises:
        FsbenchError: The kind is unknown, a file cannot be read, the files do not fit this kind of plot, or
            no result is selected.
    """
    if kind in OF_RUNS:
        return OF_RUNS[kind](paths, selection)
    if kind == "features":
        selection.only(kind)
        for path in paths:
            if path.is_dir():
                raise FsbenchError(
                    f"features: {path} is a folder; pass files of features, made with fsbench extract "
                    "CHECKPOINT --out FILE.h5"
                )
            if path.is_file() and is_safetensors(path):
                raise FsbenchError(f"{path}: is a checkpoint; extract features first: fsbench extract {path}")
        return novel_features([store.read(path) for path in paths])
    if kind not in OF_RESULTS:
        raise unknown("kind of plot", kind, KINDS)
    if kind == "budget":
        paths = [path / "budget" if (path / "budget").is_dir() else path for path in paths]
    files = [file for path in paths for file in (result_files.paths(path) if path.is_dir() else [path])]
    return OF_RESULTS[kind]([result_files.read(file) for file in dict.fromkeys(files)], selection)


def of_call(results: Sequence[Result]) -> Figure:
    """Draw the kind of plot that fits the results of one evaluation.

    Several pairs of source and target make a cross-domain matrix, several heads a heat map, several ways or
    shots a sweep, several recipes a heat map, and one result the distribution over its tasks.
    """
    # Selects all of them, so that none is left out.
    named = Selection(recipe=tuple({labels.recipe(result.model): None for result in results}))
    if len({(result.model.source, result.data.dataset) for result in results if result.model.source}) > 1:
        return cross_domain(results, named)
    if len({wording.head(result) for result in results}) > 1:
        return recipe_by_head(results, named)
    if len({(result.spec.n_way, result.spec.n_shot) for result in results}) > 1:
        return ways_and_shots(results, named)
    return recipe_by_head(results, named) if len(results) > 1 else task_accuracies(results, named)
