"""Compare results in pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import isnan
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fsbench import stats
from fsbench.evaluation.result import Result
from fsbench.report.compare.comparable import select
from fsbench.report.compare.letters import letters
from fsbench.report.compare.rows import Group, Row, labels_of, rows_of
from fsbench.report.leaderboard import wording
from fsbench.stats.all_pairs import LEVEL, Measured, Over, Pairs, compare_pairs

Against = Literal["all", "first", "best"]


@dataclass(frozen=True)
class Entry:
    """One checkpoint or recipe of the comparison.

    Attributes:
        question: Description of data set and tasks.
        head: Head and preprocessing, where only results with equal heads are compared; None: with any head.
        label: Name that distinguishes it from other entries of the same question and head.
        files: The result files, one per training seed.
        accuracy: Accuracy, 0 to 1; the mean over training seeds.
        half_width: 95 % half width over tasks.
        class_half_width: 95 % half width over classes and their images.
        n_tasks: Number of tasks.
        compared: Whether it is part of pairs; a recipe with too few training seeds is not.
        seed_accuracies: Accuracy of each training seed; empty for a single checkpoint.
        group: Letters; entries of one question and head share a letter exactly if they do not differ
            significantly. Empty if the entry is not compared, for pairs of the first entry only, and where
            letters would not be clear: not all pairs are tested, a significant difference has another sign
            on the shared tasks, or more than 26 letters are needed.
        rank: 1 + the number of entries of one question and head that are significantly better. None if no
            pair of the entry is tested, and for pairs of the first entry only.
    """

    question: str
    head: str | None
    label: str
    files: tuple[str, ...]
    accuracy: float
    half_width: float
    class_half_width: float | None
    n_tasks: int
    compared: bool = True
    seed_accuracies: tuple[float, ...] = ()
    group: str = ""
    rank: int | None = None


@dataclass(frozen=True)
class Pair:
    """Two entries of one question.

    Attributes:
        question: Description of data set and tasks.
        head: The same as in `Entry`.
        first: Label of the first entry.
        second: Label of the second entry.
        same_tasks: Whether the task lists are equal, or one is the beginning of the other. If not, tests over
            tasks are Welch's.
        n_tasks: Number of tasks that the difference is over: shared tasks if `same_tasks`, otherwise all.
        difference: Accuracy of the first entry minus that of the second, -1 to 1.
        half_width: 95 % half width of the difference over tasks, and over training seeds if there are some.
        class_half_width: The same over classes; None: class values are missing or the images differ.
        p_tasks: p-value over tasks.
        p_classes: p-value over classes.
        p_holm: `p_tasks` or `p_classes`, see `Comparison.over`, adjusted over all pairs of the comparison.
        p_wilcoxon: p-value of Wilcoxon's test over tasks; None unless `Comparison.over` is tasks and the
            tasks are the same, and for recipes.
        correlation: Correlation of the task accuracies; None unless `Comparison.over` is tasks, if one does
            not vary, and if the tasks differ.
        tasks_needed: Tasks needed to find a true difference of this size with power 0.8; None unless
            `Comparison.over` is tasks, for 0, and for recipes.
    """

    question: str
    head: str | None
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
    p_wilcoxon: float | None = None
    correlation: float | None = None
    tasks_needed: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Compared entries and pairs, in the order of the arguments.

    Attributes:
        over: Whether adjusted p-values are over classes or over tasks.
        against: Which pairs of a question there are: all, each other entry minus the first one, or the best
            entry minus each other one.
        entries: The checkpoints or recipes.
        pairs: The pairs.
        adjusted_for: Number of pairs that p-values are adjusted for, whether they are in `pairs` or not.
        left_out: Files of results without another result of the same question.
        fewer_tasks: Files that are left out because another one differs in nothing but more tasks.
    """

    over: Over
    against: Against
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    adjusted_for: int
    left_out: tuple[str, ...]
    fewer_tasks: tuple[str, ...] = ()


def compare(
    paths: Sequence[Path], against: Against = "all", over: Over = "classes", *, each_seed: bool = False
) -> Comparison:
    """Compare result files, or all results below folders, in pairs.

    Results are compared if they answer the same question: target images and kind of task. Between several
    folders, which are usually several backbones, they are compared only if their heads are equal, too. Of
    results that differ only in the number of tasks, the one with the most tasks is compared.

    If two or more recipes of a question have three or more training seeds, recipes are compared: means over
    seeds, with the variance over seeds. Otherwise checkpoints are.

    Args:
        paths: Result files and folders of result files.
        against: Which pairs of a question are returned: `all`, each other entry minus the `first` one, or
            the `best` entry minus each other one. The first entry is chosen without looking at the data, so
            p-values are adjusted for its pairs only. The best entry is chosen by the data, so p-values are
            adjusted for all pairs.
        over: Adjust the p-values for new `classes`, or for other `tasks` from the same images.
        each_seed: Compare checkpoints in any case.

    Returns:
        The compared entries and their pairs.

    Raises:
        FsbenchError: A file is not a result, there are fewer than two results, or no result of an argument
            can be compared with another one.
    """
    selected = select(paths)
    comparison = compare_groups(selected.groups, against, over, by_head=selected.by_head, each_seed=each_seed)
    left_out, fewer_tasks = (tuple(map(str, each)) for each in (selected.left_out, selected.fewer_tasks))
    return replace(comparison, left_out=left_out, fewer_tasks=fewer_tasks)


def compare_groups(
    groups: Sequence[Group],
    against: Against = "all",
    over: Over = "classes",
    *,
    by_head: bool = False,
    each_seed: bool = False,
) -> Comparison:
    """Compare the results of each group in pairs.

    Args:
        groups: Results of one question each, by their files.
        against: Which pairs are returned, as of `compare`.
        over: What the adjusted p-values are about, as of `compare`.
        by_head: Whether the results of a group have equal heads.
        each_seed: Compare checkpoints in any case.

    Returns:
        The compared entries and their pairs.
    """
    tables = _labelled([rows_of(group, each_seed) for group in groups], by_head)
    kept = [[row for row in rows if row.measured is not None] for rows in tables]
    compared = [compare_pairs([row.measured for row in rows if row.measured]) for rows in kept]
    families = [
        [pair for pair in combinations(range(len(rows)), 2) if against != "first" or pair[0] == 0]
        for rows in kept
    ]
    raw = [
        pairs.over[over].p[pair] for pairs, family in zip(compared, families, strict=True) for pair in family
    ]
    adjusted = iter(stats.holm(raw).tolist())
    selected, entries = [], []
    for table, rows, pairs, family in zip(tables, kept, compared, families, strict=True):
        p_holm = {pair: _none_if_nan(next(adjusted)) for pair in family}
        places = {} if against == "first" else _places(rows, pairs.difference, p_holm)
        entries += [replace(_entry(row, by_head), **places.get(row.label, {})) for row in table]
        for first, second in _selected(rows, family, against):
            p = p_holm[min(first, second), max(first, second)]
            pair = _pair((rows[first], rows[second]), pairs, (first, second), p, by_head)
            selected.append(_with_details(pair, rows[first], rows[second]) if over == "tasks" else pair)
    return Comparison(
        over=over,
        against=against,
        entries=tuple(entries),
        pairs=tuple(selected),
        adjusted_for=int(np.count_nonzero(~np.isnan(raw))),
        left_out=(),
    )


def _labelled(tables: Sequence[Sequence[Row]], by_head: bool) -> list[list[Row]]:
    """Add labels that distinguish the rows of each question and, if only these are compared, head."""
    rows = [row for table in tables for row in table]
    questions = [f"{question(row.first)} {_head(row.first, by_head)}" for row in rows]
    labelled = (
        replace(row, label=label) for row, label in zip(rows, labels_of(rows, questions), strict=True)
    )
    return [[next(labelled) for _ in table] for table in tables]


def _selected(
    rows: Sequence[Row], family: Sequence[tuple[int, int]], against: Against
) -> list[tuple[int, int]]:
    """Select the pairs of a question that are returned, as indices of minuend and subtrahend."""
    if against == "first":
        return [(other, first) for first, other in family]
    if against != "best" or not rows:
        return list(family)
    best = max(range(len(rows)), key=lambda index: rows[index].accuracy)
    return [(best, other) for other in range(len(rows)) if other != best]


def _places(
    rows: Sequence[Row], difference: NDArray[np.float64], p_holm: Mapping[tuple[int, int], float | None]
) -> dict[str, dict[str, Any]]:
    """Return group and rank of the tested rows by label; groups are empty where letters are not clear."""
    tested = {index for pair, p in p_holm.items() if p is not None for index in pair}
    different = [pair for pair, p in p_holm.items() if p is not None and p < LEVEL]
    worse = Counter(second if difference[first, second] > 0 else first for first, second in different)
    clear = all(p is not None for pair, p in p_holm.items() if tested.issuperset(pair)) and all(
        difference[first, second] * (rows[first].accuracy - rows[second].accuracy) > 0
        for first, second in different
    )
    order = sorted(tested, key=lambda index: -rows[index].accuracy)
    groups = letters(order, different) if clear else None
    return {
        rows[index].label: {"group": groups[index] if groups else "", "rank": 1 + worse[index]}
        for index in order
    }


def _entry(row: Row, by_head: bool) -> Entry:
    """Describe one checkpoint or recipe of the comparison."""
    result, measured = row.first, row.measured
    scores = measured.scores if measured else np.mean(_equal_length(row), axis=0)
    class_half_width = result.outcome.class_half_width if len(row.results) == 1 else None
    if measured is not None and measured.n_seeds > 1 and measured.class_values is not None:
        class_half_width = stats.mean_and_half_width(measured.class_values)[1]
    accuracies = [seed.outcome.accuracy for seed in row.results.values()]
    return Entry(
        question(result),
        _head(result, by_head),
        row.label,
        tuple(map(str, row.results)),
        row.accuracy if len(accuracies) > 1 else stats.mean_and_half_width(result.accuracies)[0],
        stats.mean_and_half_width(scores)[1],
        class_half_width,
        len(scores),
        measured is not None,
        tuple(accuracies) if len(accuracies) > 1 else (),
    )


def _equal_length(row: Row) -> list[np.ndarray]:
    """Return the scores of each seed, those of the shortest task list."""
    scores = [result.accuracies for result in row.results.values()]
    return [each[: min(map(len, scores))] for each in scores]


def _pair(
    rows: tuple[Row, Row], pairs: Pairs, index: tuple[int, int], p_holm: float | None, by_head: bool
) -> Pair:
    """Describe the pair of two rows, whose values are at `index` of all pairs."""
    a, b = (row.measured for row in rows)
    assert isinstance(a, Measured)
    assert isinstance(b, Measured)
    same, lengths = a.task_identity == b.task_identity, (len(a.scores), len(b.scores))
    tasks, classes = pairs.over["tasks"], pairs.over["classes"]
    return Pair(
        question=question(rows[0].first),
        head=_head(rows[0].first, by_head),
        first=rows[0].label,
        second=rows[1].label,
        same_tasks=same,
        n_tasks=min(lengths) if same else sum(lengths),
        difference=float(pairs.difference[index]),
        half_width=float(tasks.half_width[index]),
        class_half_width=_none_if_nan(classes.half_width[index]),
        p_tasks=float(tasks.p[index]),
        p_classes=_none_if_nan(classes.p[index]),
        p_holm=p_holm,
    )


def _with_details(pair: Pair, first: Row, second: Row) -> Pair:
    """Add what the scores of the tasks tell about a pair; it takes longer than all else of a comparison."""
    a, b = first.measured, second.measured
    assert isinstance(a, Measured)
    assert isinstance(b, Measured)
    same, single = pair.same_tasks, a.n_seeds == b.n_seeds == 1
    x, y = (scores[: pair.n_tasks] for scores in (a.scores, b.scores))
    deviation = stats.standard_deviation(x - y) if same else float((x.var(ddof=1) + y.var(ddof=1)) ** 0.5)
    return replace(
        pair,
        p_wilcoxon=stats.wilcoxon_p(x, y) if same and single else None,
        correlation=stats.correlation(x, y) if same else None,
        tasks_needed=stats.tasks_needed(pair.difference, deviation) if single else None,
    )


def question(result: Result) -> str:
    """Describe data set and tasks of a result, such as "cifar-fs novel, 5-way 1-shot, ..."."""
    data, spec = result.data, result.spec
    queries = "all other images as queries" if spec.n_query is None else f"{spec.n_query} queries per class"
    tasks = (f"{spec.n_way}-way {spec.n_shot}-shot", queries, *spec.unusual)
    known, drawn = ["class counts given"] * result.head.class_prior, ["synthetic images"] * data.synthetic
    return ", ".join([f"{data.dataset} {data.split}", *tasks, *known, *drawn])


def _head(result: Result, by_head: bool) -> str | None:
    return wording.head(result) if by_head else None


def _none_if_nan(value: float) -> float | None:
    """Replace NaN, which stands for an unknown value, by None."""
    return None if isnan(value) else float(value)
