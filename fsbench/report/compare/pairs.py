"""Compare result files in pairs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isnan
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import results
from fsbench.evaluation.results import Result
from fsbench.report.pairwise import Over, Pairs, compare_pairs, of_result

Against = Literal["all", "first", "best"]
Group = Mapping[Path, Result]  # results of one question, by their files

QUESTION = (  # results that differ in one of these do not measure the same
    "dataset", "split", "fingerprint", "n_way", "n_shot", "n_query", "query_alpha", "least_shot", "classes",
    "disjoint", "sampler",
)  # fmt: skip
HEAD = ("head", "preprocess")
LABEL = {  # fields that name a result, the most telling one first
    "run": "{}",
    "head": "{}",
    "preprocess": "({})",
    "train_seed": "train seed {}",
    "seed": "task seed {}",
    "n_tasks": "{:,} tasks",
    "epoch": "epoch {}",
    "stored_size": "stored at {} px",
    "checkpoint": "checkpoint {:.8}",
    "feature_digest": "features {:.8}",
}


@dataclass(frozen=True)
class Entry:
    """One result of the comparison; accuracies 0..1, 95 % half widths."""

    question: str
    label: str
    path: str
    accuracy: float
    half_width: float  # over tasks
    class_half_width: float | None  # over classes and their images
    n_tasks: int


@dataclass(frozen=True)
class Pair:
    """Two results of one question, named by their labels; differences 0..1, first minus second."""

    question: str
    first: str
    second: str
    same_tasks: bool  # one list is the other or its beginning; else the tests over tasks are Welch's
    n_tasks: int  # that the difference is over: where tasks are the same those that both have
    difference: float
    half_width: float  # over tasks
    class_half_width: float | None  # over classes; None: class values are missing or the images differ
    p_tasks: float
    p_classes: float | None
    p_holm: float | None  # of the claim that was chosen, adjusted over all pairs of the comparison
    p_wilcoxon: float | None  # over tasks; this and the correlation need the same tasks
    correlation: float | None  # of the task accuracies; None also where those of one do not vary
    tasks_needed: int | None  # to find a true difference of this size with power 0.8; None for 0


@dataclass(frozen=True)
class Comparison:
    """Compared results and pairs, in the order of the arguments."""

    over: Over  # what the adjusted p-values are about
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    adjusted_for: int  # pairs; those against the best result are adjusted for all others, too
    left_out: tuple[str, ...]  # files whose question no other one answers


def compare(paths: Sequence[Path], against: Against = "all", over: Over = "classes") -> Comparison:
    """Compare result files, or all results below folders, with each other.

    Results are compared when they answer one question: the same target images and kind of task. Several
    folders are several backbones, so they are compared head by head.

    Args:
        paths: Result files and folders of result files.
        against: Which pairs of a question are shown: `all`, or those of its `first` or `best` result. The
            first one is chosen before the data are seen, so its p-values are adjusted for its own pairs. The
            best one is chosen by the data, so its p-values are adjusted for all pairs.
        over: What the adjusted p-values are about: new `classes`, or other `tasks` from the same images.

    Raises:
        FsbenchError: a file that is no result, fewer than two results, or an argument without any result
            that may be compared with another one.
    """
    read = _read(paths)
    key = (*QUESTION, *HEAD) if len(paths) > 1 and all(path.is_dir() for path in paths) else QUESTION
    groups: dict[tuple[Any, ...], dict[Path, Result]] = defaultdict(dict)
    for path, result in read.items():
        groups[tuple(getattr(result, name) for name in key)][path] = result
    left_out = [path for group in groups.values() if len(group) == 1 for path in group]
    for argument in paths:
        own = [path for path in read if path == argument or argument in path.parents]
        if set(own) <= set(left_out):
            raise _stands_alone(own[0], read, key)
    return compare_groups([group for group in groups.values() if len(group) > 1], against, over, left_out)


def compare_groups(
    groups: Sequence[Group],
    against: Against = "all",
    over: Over = "classes",
    left_out: Sequence[Path] = (),
) -> Comparison:
    """Compare the results of each group, which answer one question; arguments as `compare`."""
    labels = _labels({path: result for group in groups for path, result in group.items()})
    compared = [compare_pairs([of_result(result) for result in group.values()]) for group in groups]
    families = [
        [pair for pair in combinations(range(len(group)), 2) if against != "first" or pair[0] == 0]
        for group in groups
    ]
    raw = [
        pairs.over[over].p[pair] for pairs, family in zip(compared, families, strict=True) for pair in family
    ]
    adjusted = iter(stats.holm(raw).tolist())
    shown = []
    for group, pairs, family in zip(groups, compared, families, strict=True):
        p_holm = {pair: _known(next(adjusted)) for pair in family}
        files = list(group)
        for first, second in _shown(group, family, against):
            entries = [(labels[files[place]], group[files[place]]) for place in (first, second)]
            p = p_holm[min(first, second), max(first, second)]
            shown.append(_pair(entries, pairs, (first, second), p))
    return Comparison(
        over=over,
        entries=tuple(
            _entry(labels[path], path, result) for group in groups for path, result in group.items()
        ),
        pairs=tuple(shown),
        adjusted_for=int(np.count_nonzero(~np.isnan(raw))),
        left_out=tuple(map(str, left_out)),
    )


def _read(paths: Sequence[Path]) -> dict[Path, Result]:
    """All results by their files, each file once."""
    read = {}
    for argument in paths:
        files = sorted(argument.rglob("*.json")) if argument.is_dir() else [argument]
        if not files:
            raise FsbenchError(f"{argument}: there is no result below this folder")
        for path in files:
            read[path] = results.read(path)
            if read[path].n_tasks < 2:
                raise FsbenchError(f"{path}: n_tasks must be at least 2, but is {read[path].n_tasks}")
    if len(read) < 2:
        raise FsbenchError(f"compare needs at least two results, but found only {', '.join(map(str, read))}")
    return read


def _stands_alone(path: Path, read: Group, key: Sequence[str]) -> FsbenchError:
    """The error for a result that no other one may be compared with: how the nearest one differs from it."""

    def apart(other: Path) -> list[str]:
        return [name for name in key if getattr(read[other], name) != getattr(read[path], name)]

    nearest = min((other for other in read if other != path), key=lambda other: len(apart(other)))
    name = apart(nearest)[0]
    mine, its = (_text(getattr(read[file], name)) for file in (path, nearest))
    return FsbenchError(f"{path} cannot be compared: its {name} is {mine}, but {its} in {nearest}")


def _shown(group: Group, family: Sequence[tuple[int, int]], against: Against) -> Sequence[tuple[int, int]]:
    """The pairs of a group that are shown, by places in it."""
    if against != "best":
        return family
    accuracies = [result.accuracy for result in group.values()]
    best = accuracies.index(max(accuracies))
    return [(best, place) for place in range(len(group)) if place != best]


def _entry(label: str, path: Path, result: Result) -> Entry:
    accuracy, half_width = stats.mean_and_half_width(result.accuracies)
    return Entry(
        _question(result), label, str(path), accuracy, half_width, result.class_half_width, result.n_tasks
    )


def _pair(
    entries: Sequence[tuple[str, Result]], pairs: Pairs, place: tuple[int, int], p_holm: float | None
) -> Pair:
    """Two labelled results and what is claimed of their difference, which stands at `place` of all pairs."""
    (first, a), (second, b) = entries
    same = a.task_identity == b.task_identity
    n_tasks = min(a.n_tasks, b.n_tasks) if same else a.n_tasks + b.n_tasks
    x, y = a.accuracies[:n_tasks], b.accuracies[:n_tasks]
    deviation = stats.standard_deviation(x - y) if same else float((x.var(ddof=1) + y.var(ddof=1)) ** 0.5)
    difference = float(pairs.difference[place])
    tasks, classes = pairs.over["tasks"], pairs.over["classes"]
    return Pair(
        question=_question(a),
        first=first,
        second=second,
        same_tasks=same,
        n_tasks=n_tasks,
        difference=difference,
        half_width=float(tasks.half_width[place]),
        class_half_width=_known(classes.half_width[place]),
        p_tasks=float(tasks.p[place]),
        p_classes=_known(classes.p[place]),
        p_holm=p_holm,
        p_wilcoxon=stats.wilcoxon_p(x, y) if same else None,
        correlation=stats.correlation(x, y) if same else None,
        tasks_needed=stats.tasks_needed(difference, deviation),
    )


def _labels(read: Group) -> dict[Path, str]:
    """A name for each result: as much as tells it from the others of its question, else its path."""
    names = [name for name in LABEL if len({getattr(result, name) for result in read.values()}) > 1]
    for count in range(1, len(names) + 1):
        labels = {path: _label(result, names[:count]) for path, result in read.items()}
        if len({(_question(read[path]), label) for path, label in labels.items()}) == len(read):
            return labels
    return {path: str(path) for path in read}


def _label(result: Result, names: Sequence[str]) -> str:
    return " ".join(LABEL[name].format(_text(getattr(result, name))) for name in names)


def _question(result: Result) -> str:
    return f"{result.dataset} {result.split} {result.spec.name}{', synthetic images' * result.synthetic}"


def _known(value: float) -> float | None:
    """A number as JSON has it: None for NaN, which says that nothing is claimed."""
    return None if isnan(value) else float(value)


def _text(value: object) -> object:
    return "not given" if value is None else value
