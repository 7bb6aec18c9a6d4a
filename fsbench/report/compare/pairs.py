"""Compare result files in pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import isnan
from pathlib import Path
from typing import Literal

import numpy as np

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.grouping import distinguishing, evaluation, group_by, with_most_tasks
from fsbench.report.measured import of_result
from fsbench.stats.all_pairs import Over, Pairs, compare_pairs

Against = Literal["all", "first", "best"]
Group = Mapping[Path, Result]  # results of one question, by their files

_ADVICE = "evaluate a second checkpoint or head on the same tasks"


@dataclass(frozen=True)
class Entry:
    """One result of the comparison.

    Attributes:
        question: Description of data set and tasks.
        label: Name that distinguishes it from other results of the same question.
        path: The file.
        accuracy: Accuracy, 0 to 1.
        half_width: 95 % half width over tasks.
        class_half_width: 95 % half width over classes and their images.
        n_tasks: Number of tasks.
    """

    question: str
    label: str
    path: str
    accuracy: float
    half_width: float
    class_half_width: float | None
    n_tasks: int


@dataclass(frozen=True)
class Pair:
    """Two results of one question.

    Attributes:
        question: Description of data set and tasks.
        first: Label of the first result.
        second: Label of the second result.
        same_tasks: Whether the task lists are equal, or one is the beginning of the other. If not, tests over
            tasks are Welch's.
        n_tasks: Number of tasks that the difference is over: shared tasks if `same_tasks`, otherwise all.
        difference: Accuracy of the first result minus that of the second, -1 to 1.
        half_width: 95 % half width of the difference over tasks.
        class_half_width: The same over classes; None: class values are missing or the images differ.
        p_tasks: p-value over tasks.
        p_classes: p-value over classes.
        p_holm: `p_tasks` or `p_classes`, see `Comparison.over`, adjusted over all pairs of the comparison.
        p_wilcoxon: p-value of Wilcoxon's test over tasks; None unless the tasks are the same.
        correlation: Correlation of the task accuracies; None if one does not vary or the tasks differ.
        tasks_needed: Tasks needed to find a true difference of this size with power 0.8; None for 0.
    """

    question: str
    first: str
    second: str
    same_tasks: bool
    n_tasks: int
    difference: float
    half_width: float
    class_half_width: float | None
    p_tasks: float
    p_classes: float | None
    p_holm: float | None
    p_wilcoxon: float | None
    correlation: float | None
    tasks_needed: int | None


@dataclass(frozen=True)
class Comparison:
    """Compared results and pairs, in the order of the arguments.

    Attributes:
        over: Whether adjusted p-values are over classes or over tasks.
        entries: The results.
        pairs: The pairs that are shown.
        adjusted_for: Number of pairs that p-values are adjusted for, whether shown or not.
        left_out: Files of results without another result of the same question.
        fewer_tasks: Files that are left out because another one differs in nothing but more tasks.
    """

    over: Over
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    adjusted_for: int
    left_out: tuple[str, ...]
    fewer_tasks: tuple[str, ...] = ()


def compare(paths: Sequence[Path], against: Against = "all", over: Over = "classes") -> Comparison:
    """Compare result files, or all results below folders, in pairs.

    Results are compared if they answer the same question: target images and kind of task. Between several
    folders, which are usually several backbones, they are compared only if their heads are equal, too. Of
    results that differ only in the number of tasks, the one with the most tasks is compared.

    Args:
        paths: Result files and folders of result files.
        against: Which pairs of a question are shown: `all`, or those of its `first` or `best` result. The
            first result is chosen without looking at the data, so p-values are adjusted for its pairs only.
            The best result is chosen by the data, so p-values are adjusted for all pairs.
        over: Adjust the p-values for new `classes`, or for other `tasks` from the same images.

    Returns:
        The compared results and their pairs.

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
        raise FsbenchError(f"there is only one result per question: {reason}; {_ADVICE}")
    for argument in paths:
        files = [path for path in results if path == argument or argument in path.parents]
        if set(files) <= set(lone):
            raise FsbenchError(
                f"{files[0]} cannot be compared: {_difference(files[0], keys, results)}; {_ADVICE}"
            )
    comparison = compare_groups(comparable, against, over, left_out)
    return replace(comparison, fewer_tasks=tuple(map(str, fewer_tasks)))


def compare_groups(
    groups: Sequence[Group],
    against: Against = "all",
    over: Over = "classes",
    left_out: Sequence[Path] = (),
) -> Comparison:
    """Compare the results of each group in pairs.

    Args:
        groups: Results of one question each, by their files.
        against: Which pairs are shown, as of `compare`.
        over: What the adjusted p-values are about, as of `compare`.
        left_out: Files to mention as left out.

    Returns:
        The compared results and their pairs.
    """
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
        p_holm = {pair: _none_if_nan(next(adjusted)) for pair in family}
        files = list(group)
        for first, second in _shown(group, family, against):
            entries = [(labels[files[i]], group[files[i]]) for i in (first, second)]
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
        files = sorted(argument.rglob("*.json")) if argument.is_dir() else [argument]
        if not files:
            raise FsbenchError(f"{argument}: there is no result below this folder")
        for path in files:
            results[path] = result_files.read(path)
    if len(results) < 2:
        raise FsbenchError(
            f"compare needs at least two results, but there is only {', '.join(map(str, results))}; {_ADVICE}"
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
    }
    return {**key, "head": head.name, "preprocess": head.preprocess} if by_head else key


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
    value, nearest_value = (_text(keys[file][name]) for file in (path, nearest))
    return f"its {name} is {value}, but {nearest_value} in {nearest}"


def _shown(group: Group, family: Sequence[tuple[int, int]], against: Against) -> Sequence[tuple[int, int]]:
    """Select the pairs of a group that are shown, as indices."""
    if against != "best":
        return family
    accuracies = [result.outcome.accuracy for result in group.values()]
    best = accuracies.index(max(accuracies))
    return [(best, other) for other in range(len(group)) if other != best]


def _entry(label: str, path: Path, result: Result) -> Entry:
    """Describe one result of the comparison."""
    accuracy, half_width = stats.mean_and_half_width(result.accuracies)
    return Entry(
        _question(result),
        label,
        str(path),
        accuracy,
        half_width,
        result.outcome.class_half_width,
        result.spec.n_tasks,
    )


def _pair(
    entries: Sequence[tuple[str, Result]], pairs: Pairs, index: tuple[int, int], p_holm: float | None
) -> Pair:
    """Describe the pair of two labelled results, whose values are at `index` of all pairs."""
    (first, a), (second, b) = entries
    same = a.task_identity == b.task_identity
    n_tasks = min(a.spec.n_tasks, b.spec.n_tasks) if same else a.spec.n_tasks + b.spec.n_tasks
    x, y = a.accuracies[:n_tasks], b.accuracies[:n_tasks]
    deviation = stats.standard_deviation(x - y) if same else float((x.var(ddof=1) + y.var(ddof=1)) ** 0.5)
    difference = float(pairs.difference[index])
    tasks, classes = pairs.over["tasks"], pairs.over["classes"]
    return Pair(
        question=_question(a),
        first=first,
        second=second,
        same_tasks=same,
        n_tasks=n_tasks,
        difference=difference,
        half_width=float(tasks.half_width[index]),
        class_half_width=_none_if_nan(classes.half_width[index]),
        p_tasks=float(tasks.p[index]),
        p_classes=_none_if_nan(classes.p[index]),
        p_holm=p_holm,
        p_wilcoxon=stats.wilcoxon_p(x, y) if same else None,
        correlation=stats.correlation(x, y) if same else None,
        tasks_needed=stats.tasks_needed(difference, deviation),
    )


def _labels(results: Group) -> dict[Path, str]:
    """Name each result by the details that distinguish it within its question, or else by its path."""
    questions = [_question(result) for result in results.values()]
    details = distinguishing(questions, [_details(result) for result in results.values()])
    labels = [" ".join(texts) for texts in details]
    distinct = len(set(zip(questions, labels, strict=True))) == len(results)
    return dict(zip(results, labels if distinct else map(str, results), strict=True))


def _details(result: Result) -> dict[str, str]:
    """Return texts that can distinguish results, the most informative one first."""
    model = result.model
    return {
        "run": model.run,
        "head": result.head.name,
        "preprocess": f"({result.head.preprocess})",
        "train_seed": f"train seed {_text(model.train_seed)}",
        "seed": f"task seed {result.spec.seed}",
        "n_tasks": f"{result.spec.n_tasks:,} tasks",
        "epoch": f"epoch {_text(model.epoch)}",
        "stored_size": f"stored at {_text(result.data.stored_size)} px",
        "checkpoint": f"checkpoint {_text(model.checkpoint):.8}",
        "feature_digest": f"features {result.data.feature_digest:.8}",
    }


def _question(result: Result) -> str:
    """Describe data set and tasks of a result."""
    data = result.data
    return f"{data.dataset} {data.split} {result.spec.name}{', synthetic images' * data.synthetic}"


def _none_if_nan(value: float) -> float | None:
    """Replace NaN, which stands for an unknown value, by None."""
    return None if isnan(value) else float(value)


def _text(value: object) -> str:
    return "unknown" if value is None else str(value)
