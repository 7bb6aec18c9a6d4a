"""From result files to compared pairs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from fsbench import results, stats
from fsbench.errors import FsbenchError
from fsbench.results import Result

Against = Literal["all", "first", "best"]
Group = Mapping[Path, Result]  # results that may be compared, by their files

QUESTION = (  # results that differ in one of these do not measure the same
    "dataset", "split", "fingerprint", "n_way", "n_shot", "n_query", "query_alpha", "least_shot", "classes",
    "disjoint", "sampler",
)  # fmt: skip
HEAD = ("head", "preprocess")
LABEL = {  # what tells results apart, most telling first
    "run": "{}",
    "head": "{}",
    "preprocess": "({})",
    "train_seed": "train seed {}",
    "seed": "task seed {}",
    "n_tasks": "{:,} tasks",
    "feature_digest": "features {:.8}",
}


@dataclass(frozen=True)
class Entry:
    """One result that takes part; accuracies 0..1."""

    question: str
    label: str
    path: str
    accuracy: float
    half_width: float  # student-t over tasks
    n_tasks: int


@dataclass(frozen=True)
class Pair:
    """Two results of one question, named by their labels; differences 0..1, first minus second."""

    question: str
    first: str
    second: str
    same_tasks: bool  # else Welch's test, and what needs pairs is None
    difference: float
    half_width: float
    p_t: float
    p_holm: float  # p_t adjusted over all pairs of the comparison
    p_wilcoxon: float | None
    correlation: float | None  # None also where the accuracies of one do not vary
    tasks_needed: int | None  # to find a true difference of this size with power 0.8; None for 0


@dataclass(frozen=True)
class Comparison:
    """All results that take part and their pairs, in the order of the arguments."""

    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]  # files whose question no other one answers


def compare(paths: Sequence[Path], against: Against = "all") -> Comparison:
    """Compare result files, or all results below folders, with each other.

    Results are compared when they answer one question: the same target images and kind of task. Several
    folders are several backbones, so they are compared head by head. Of each question every pair is compared,
    or its `first` or `best` result with each other one.

    Raises:
        FsbenchError: a file that is no result, fewer than two results, or an argument without any result
            that may be compared with another one.
    """
    found = _read(paths)
    key = (*QUESTION, *HEAD) if len(paths) > 1 and all(path.is_dir() for path in paths) else QUESTION
    groups: dict[tuple[Any, ...], dict[Path, Result]] = defaultdict(dict)
    for path, result in found.items():
        groups[tuple(getattr(result, name) for name in key)][path] = result
    compared = [group for group in groups.values() if len(group) > 1]
    left_out = [path for group in groups.values() if len(group) == 1 for path in group]
    for argument in paths:
        own = [path for path in found if path == argument or argument in path.parents]
        if set(own) <= set(left_out):
            raise _stands_alone(own[0], found, key)
    labels = _labels({path: result for group in compared for path, result in group.items()})
    pairs = [
        _pair((labels[a], group[a]), (labels[b], group[b]))
        for group in compared
        for a, b in _chosen(group, against)
    ]
    adjusted = stats.holm([pair.p_t for pair in pairs]).tolist()
    return Comparison(
        entries=tuple(
            _entry(labels[path], path, result) for group in compared for path, result in group.items()
        ),
        pairs=tuple(replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)),
        left_out=tuple(map(str, left_out)),
    )


def _read(paths: Sequence[Path]) -> dict[Path, Result]:
    """All results by their files, each file once."""
    found = {}
    for argument in paths:
        files = sorted(argument.rglob("*.json")) if argument.is_dir() else [argument]
        if not files:
            raise FsbenchError(f"{argument}: there is no result below this folder")
        for path in files:
            found[path] = results.read(path)
            if found[path].n_tasks < 2:
                raise FsbenchError(f"{path}: n_tasks must be at least 2, but is {found[path].n_tasks}")
    if len(found) < 2:
        raise FsbenchError(f"compare needs at least two results, but found only {', '.join(map(str, found))}")
    return found


def _stands_alone(path: Path, found: Group, key: Sequence[str]) -> FsbenchError:
    """The error for a result that no other one may be compared with: what keeps it from the nearest one."""

    def apart(other: Path) -> list[str]:
        return [name for name in key if getattr(found[other], name) != getattr(found[path], name)]

    nearest = min((other for other in found if other != path), key=lambda other: len(apart(other)))
    name = apart(nearest)[0]
    mine, its = (_known(getattr(found[file], name)) for file in (path, nearest))
    return FsbenchError(f"{path} cannot be compared: its {name} is {mine}, but {its} in {nearest}")


def _chosen(group: Group, against: Against) -> Iterator[tuple[Path, Path]]:
    """The pairs of one question that are compared."""
    if against == "all":
        yield from combinations(group, 2)
        return
    reference = next(iter(group)) if against == "first" else max(group, key=lambda path: group[path].accuracy)
    yield from ((reference, path) for path in group if path != reference)


def _entry(label: str, path: Path, result: Result) -> Entry:
    accuracy, half_width = stats.mean_and_half_width(result.accuracies)
    return Entry(_question(result), label, str(path), accuracy, half_width, result.n_tasks)


def _pair(first: tuple[str, Result], second: tuple[str, Result]) -> Pair:
    """Two labelled results compared, before the adjustment for other pairs."""
    (label, a), (other_label, b) = first, second
    x, y = a.accuracies, b.accuracies
    same = a.task_digest == b.task_digest
    difference, half_width = (stats.paired_difference if same else stats.welch_difference)(x, y)
    p = (stats.paired_p if same else stats.welch_p)(x, y)
    deviation = stats.standard_deviation(x - y) if same else float((x.var(ddof=1) + y.var(ddof=1)) ** 0.5)
    return Pair(
        question=_question(a),
        first=label,
        second=other_label,
        same_tasks=same,
        difference=difference,
        half_width=half_width,
        p_t=p,
        p_holm=p,
        p_wilcoxon=stats.wilcoxon_p(x, y) if same else None,
        correlation=stats.correlation(x, y) if same else None,
        tasks_needed=stats.tasks_needed(difference, deviation),
    )


def _labels(found: Group) -> dict[Path, str]:
    """A name for each result: as much as tells it from the others of its question, else its path."""
    names = [name for name in LABEL if len({getattr(result, name) for result in found.values()}) > 1]
    for count in range(1, len(names) + 1):
        labels = {path: _label(result, names[:count]) for path, result in found.items()}
        if len({(_question(found[path]), label) for path, label in labels.items()}) == len(found):
            return labels
    return {path: str(path) for path in found}


def _label(result: Result, names: Sequence[str]) -> str:
    return " ".join(LABEL[name].format(_known(getattr(result, name))) for name in names)


def _question(result: Result) -> str:
    return f"{result.dataset} {result.split} {result.spec.name}{', synthetic images' * result.synthetic}"


def _known(value: object) -> object:
    return "not given" if value is None else value
