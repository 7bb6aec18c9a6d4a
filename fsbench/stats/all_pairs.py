"""Differences between all pairs of accuracies: over tasks, over classes and over training seeds.

A claim over tasks is about other tasks from the same images. A claim over classes is about new classes with
new images. Both are computed for single results (claims about checkpoints) and for means over training seeds
(claims about recipes).
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsbench.stats._t_test import Array, Variance, add_all_pairs, add_variances, all_paired_variances, t_test
from fsbench.stats.pairs import holm

Over = Literal["classes", "tasks"]  # what a claim is about; the more general one is the default everywhere

LEVEL = 0.05  # familywise error rate: probability of any false positive among all pairs
FEWEST_SEEDS = 3  # a recipe needs at least so many training seeds to be compared with others


@dataclass(frozen=True, eq=False)
class Measured:
    """The accuracy of one result, or its mean over training seeds, with the values that intervals need.

    Attributes:
        accuracy: The accuracy, 0 to 1.
        scores: Accuracy of each task, (n_tasks,).
        class_values: Value of each class (`fsbench.stats.class_values`), (classes,); None if unknown.
        task_identity: Key of the tasks; equal keys mean the same tasks, up to the length of the list.
        image_identity: Key of the images; equal keys mean the same images.
        n_seeds: Number of training seeds.
        seed_variance: Variance of the mean over seeds; 0 for a single result.
    """

    accuracy: float
    scores: Array
    class_values: Array | None
    task_identity: Hashable
    image_identity: Hashable
    n_seeds: int = 1
    seed_variance: float = 0.0


@dataclass(frozen=True, eq=False)
class Claim:
    """Intervals and p-values of all differences, over tasks or over classes; NaN where they are unknown.

    Attributes:
        half_width: 95 % half widths, (m, m).
        p: Two-sided p-values, (m, m).
    """

    half_width: Array
    p: Array


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of m accuracies.

    Attributes:
        difference: Accuracy of the row minus accuracy of the column, (m, m).
        over: The claims about `difference`: over classes and over tasks.
    """

    difference: Array
    over: Mapping[Over, Claim]


def mean_over_seeds(seeds: Sequence[Measured]) -> Measured | None:
    """Compute the mean accuracy of one recipe over its training seeds.

    Args:
        seeds: The accuracy of each seed.

    Returns:
        The mean; None for fewer than three seeds, and for seeds that were not measured on the same tasks.
    """
    tasks = {(seed.task_identity, len(seed.scores)) for seed in seeds}
    if len(seeds) < FEWEST_SEEDS or len(tasks) > 1:
        return None
    values = [seed.class_values for seed in seeds if seed.class_values is not None]
    accuracies = np.array([seed.accuracy for seed in seeds])
    return Measured(
        accuracy=float(accuracies.mean()),
        scores=np.mean([seed.scores for seed in seeds], axis=0),
        class_values=np.mean(values, axis=0) if len(values) == len(seeds) else None,
        task_identity=seeds[0].task_identity,
        image_identity=seeds[0].image_identity,
        n_seeds=len(seeds),
        seed_variance=float(accuracies.var(ddof=1)) / len(seeds),
    )


def compare_pairs(measured: Sequence[Measured]) -> Pairs:
    """Compare all pairs of accuracies that answer one question.

    Over tasks: the paired t test on the tasks that both lists contain, or Welch's test for unrelated lists.
    The difference is that of the means over the tested tasks. Over classes: the paired t test on class
    values. The claim is NaN if class values are missing or if the images are not known to be the same. Both
    claims add the variances over training seeds, if any, with the degrees of freedom of Satterthwaite. The
    variation between classes from seed to seed is then counted twice, so claims about recipes are slightly
    conservative.

    Args:
        measured: m accuracies that answer one question.

    Returns:
        Their differences, half widths and p-values.

    Source:
        Satterthwaite, Biometrics Bulletin 2 (1946), 110-114.
    """
    difference, over_tasks = _over_tasks(measured)
    variances: dict[Over, Variance] = {"classes": _over_classes(measured), "tasks": over_tasks}
    seed_variances = np.array([accuracy.seed_variance for accuracy in measured])
    if seed_variances.any():
        freedom = np.array([accuracy.n_seeds - 1.0 for accuracy in measured])
        over_seeds = add_all_pairs(Variance(seed_variances, freedom))
        variances = {over: add_variances(variance, over_seeds) for over, variance in variances.items()}
    return Pairs(
        difference, {over: Claim(*t_test(difference, variance)) for over, variance in variances.items()}
    )


def _adjusted(p: Array) -> Array:
    """Adjust the p-values of all pairs (m, m) by Holm, as one family; NaN stays and does not count."""
    upper = np.triu_indices(len(p), 1)
    result = np.ones_like(p)
    result[upper] = holm(p[upper].tolist())
    result.T[upper] = result[upper]
    return result


@dataclass(frozen=True, eq=False)
class Compared:
    """Accuracies that are compared with each other.

    Attributes:
        accuracies: The accuracies, (m,), 0 to 1.
        pairs: All pairs of them.
        p: p-values adjusted over all pairs, (m, m); NaN where they are unknown.
    """

    accuracies: Array
    pairs: Pairs
    p: Array

    @property
    def ranks(self) -> list[int | None]:
        """1 + the number of significantly better accuracies; None for an accuracy without any p-value."""
        better = (self.pairs.difference.T > 0) & (self.p < LEVEL)
        return [
            1 + int(count) if has_p or len(self.p) == 1 else None
            for count, has_p in zip(better.sum(axis=1), self._has_p, strict=True)
        ]

    @property
    def best(self) -> list[bool]:
        """Whether each is the highest of two or more, or not significantly different from the highest."""
        if len(self.p) < 2:
            return [False] * len(self.p)
        highest = int(self.accuracies.argmax())
        has_p = self._has_p[highest]
        return [bool(has_p if i == highest else p >= LEVEL) for i, p in enumerate(self.p[highest])]

    @property
    def _has_p(self) -> NDArray[np.bool_]:
        """Whether each accuracy has a p-value with any other one, (m,)."""
        others = ~np.isnan(self.p) & ~np.eye(len(self.p), dtype=bool)
        return np.asarray(others.any(axis=1))


def compared(measured: Sequence[Measured], over: Over) -> Compared:
    """Compare accuracies with each other, with p-values adjusted by Holm's method.

    All pairs are one family, so any of them may be selected afterwards, for example those of the highest
    accuracy.

    Args:
        measured: m accuracies that answer one question.
        over: What the p-values are about: new "classes", or other "tasks" from the same images.

    Returns:
        All pairs, ranks and the best.
    """
    pairs = compare_pairs(measured)
    accuracies = np.array([accuracy.accuracy for accuracy in measured])
    return Compared(accuracies, pairs, _adjusted(pairs.over[over].p))


def _over_tasks(measured: Sequence[Measured]) -> tuple[Array, Variance]:
    """Differences and their variances over tasks, each (m, m)."""
    means = np.array([accuracy.accuracy for accuracy in measured])
    difference = means[:, None] - means
    n_tasks = np.array([len(accuracy.scores) for accuracy in measured], dtype=np.float64)
    variances = np.array([accuracy.scores.var(ddof=1) for accuracy in measured]) / n_tasks
    variance = add_all_pairs(Variance(variances, n_tasks - 1))  # Welch's test
    for rows in _rows_by_key([accuracy.task_identity for accuracy in measured]):
        for shortest in sorted({len(measured[row].scores) for row in rows}):
            longer = [row for row in rows if len(measured[row].scores) >= shortest]
            scores = np.stack([measured[row].scores[:shortest] for row in longer])
            mean, block = scores.mean(axis=1), np.ix_(longer, longer)
            difference[block] = mean[:, None] - mean
            variance.value[block], variance.freedom[block] = all_paired_variances(scores)
    return difference.round(12), variance  # rounded, so that the difference of equal means is 0


def _over_classes(measured: Sequence[Measured]) -> Variance:
    """Variances of the differences over classes, (m, m).

    Class values of different task lists may be compared, because the classes are the same. They then contain
    the noise of the tasks of both lists, so the intervals are wider than for equal lists.
    """
    shape = (len(measured), len(measured))
    variance = Variance(np.full(shape, np.nan), np.ones(shape))
    keys = [
        (accuracy.image_identity, 0 if accuracy.class_values is None else len(accuracy.class_values))
        for accuracy in measured
    ]
    for rows in _rows_by_key(keys):
        values = [values for row in rows if (values := measured[row].class_values) is not None]
        if values:  # rows with equal keys have class values either all or none
            block = np.ix_(rows, rows)
            variance.value[block], variance.freedom[block] = all_paired_variances(np.stack(values))
    return variance


def _rows_by_key(keys: Sequence[Hashable]) -> list[list[int]]:
    """Group the indices of equal keys."""
    rows = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return list(rows.values())
