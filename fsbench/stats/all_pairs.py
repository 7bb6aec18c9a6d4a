"""Differences between all pairs of accuracies: over tasks, over classes and over training seeds.

A claim says what a difference is expected to hold for. Over tasks: other tasks from the same images. Over
classes: new classes with their images. Both are made here for single results (claims about checkpoints) and
for means over training seeds (claims about recipes).
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fsbench.stats._t_test import Array, Variance, all_paired, sum_of, sum_of_pairs, t_test
from fsbench.stats.pairs import holm

Over = Literal["classes", "tasks"]  # what a claim is about; the wider one is the default everywhere
OVER: tuple[Over, ...] = get_args(Over)
LEVEL = 0.05  # familywise: the chance that any of several equal pairs is called significantly different
FEWEST_SEEDS = 3  # of a recipe that is compared with others


@dataclass(frozen=True, eq=False)
class Measured:
    """An accuracy with the values from which its intervals follow: of one result, or of several seeds.

    Attributes:
        accuracy: The accuracy, 0 to 1.
        scores: Accuracy of each task, shape (n_tasks,).
        class_values: Value of each class, shape (classes,); None where it is unknown.
        task_identity: Equal only for lists of the same tasks.
        image_identity: Equal only for the same images.
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
    """A claim about all differences; NaN: nothing is claimed.

    Attributes:
        half_width: 95 % half widths, shape (m, m).
        p: Two-sided p-values, shape (m, m).
    """

    half_width: Array
    p: Array


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of m accuracies.

    Attributes:
        difference: The row's accuracy minus the column's, shape (m, m).
        over: The claim about it over classes, and the one over tasks.
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

    Over tasks: the paired t test on the tasks that both lists hold, Welch's test where the tasks are others;
    the difference is over the same tasks as the test. Over classes: the t test over the differences of class
    values, paired class by class; nothing is claimed where class values are missing or the images are not
    proved to be the same. Both add the variances over training seeds where there are some, with the degrees
    of freedom of Satterthwaite (Biometrics Bulletin 1946). What varies between the classes from seed to seed
    is then counted twice, so the claim about recipes is a little cautious.

    Args:
        measured: m accuracies that answer one question.

    Returns:
        Their differences, half widths and p-values.

    Source:
        Satterthwaite, Biometrics Bulletin 2 (1946), 110-114.
    """
    difference, over_tasks = _over_tasks(measured)
    variances: dict[Over, Variance] = {"classes": _over_classes(measured), "tasks": over_tasks}
    seeds = np.array([one.seed_variance for one in measured])
    if seeds.any():
        freedom = np.array([one.n_seeds - 1.0 for one in measured])
        over_seeds = sum_of_pairs(Variance(seeds, freedom))
        variances = {over: sum_of(variance, over_seeds) for over, variance in variances.items()}
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
        accuracies: The accuracies, shape (m,), 0 to 1.
        pairs: All pairs of them.
        p: p-values adjusted over all pairs, shape (m, m); NaN where nothing is claimed.
    """

    accuracies: Array
    pairs: Pairs
    p: Array

    @property
    def ranks(self) -> list[int | None]:
        """1 + the number of significantly better ones; None for one that no claim is made of."""
        better = (self.pairs.difference.T > 0) & (self.p < LEVEL)
        return [
            1 + int(count) if claimed or len(self.p) == 1 else None
            for count, claimed in zip(better.sum(axis=1), self._claimed, strict=True)
        ]

    @property
    def best(self) -> list[bool]:
        """Whether each is the highest of two or more, or not significantly different from the highest."""
        if len(self.p) < 2:
            return [False] * len(self.p)
        highest = int(self.accuracies.argmax())
        claimed = self._claimed[highest]
        return [bool(claimed if place == highest else p >= LEVEL) for place, p in enumerate(self.p[highest])]

    @property
    def _claimed(self) -> NDArray[np.bool_]:
        """Whether each is compared with any other one."""
        others = ~np.isnan(self.p) & ~np.eye(len(self.p), dtype=bool)
        return np.asarray(others.any(axis=1))


def compared(measured: Sequence[Measured], over: Over) -> Compared:
    """Compare accuracies with each other, with p-values adjusted by Holm's method.

    All pairs are one family, so any of them may be picked after the fact, for example those with the best
    accuracy.

    Args:
        measured: m accuracies that answer one question.
        over: What the p-values are about: new "classes", or other "tasks" from the same images.

    Returns:
        All pairs, ranks and the best.
    """
    pairs = compare_pairs(measured)
    return Compared(np.array([one.accuracy for one in measured]), pairs, _adjusted(pairs.over[over].p))


def _over_tasks(measured: Sequence[Measured]) -> tuple[Array, Variance]:
    """Differences and their variances over tasks, each (m, m)."""
    means = np.array([one.accuracy for one in measured])
    difference = means[:, None] - means
    number = np.array([len(one.scores) for one in measured], dtype=np.float64)
    own = np.array([one.scores.var(ddof=1) for one in measured]) / number
    variance = sum_of_pairs(Variance(own, number - 1))  # Welch's test
    for places in _alike([one.task_identity for one in measured]):
        for shortest in sorted({len(measured[place].scores) for place in places}):
            longer = [place for place in places if len(measured[place].scores) >= shortest]
            scores = np.stack([measured[place].scores[:shortest] for place in longer])
            mean, block = scores.mean(axis=1), np.ix_(longer, longer)
            difference[block] = mean[:, None] - mean
            variance.value[block], variance.freedom[block] = all_paired(scores)
    return difference.round(12), variance  # rounded, so that the difference of equal means is 0


def _over_classes(measured: Sequence[Measured]) -> Variance:
    """Variances of the differences over classes, (m, m)."""
    shape = (len(measured), len(measured))
    variance = Variance(np.full(shape, np.nan), np.ones(shape))
    numbers = [0 if one.class_values is None else len(one.class_values) for one in measured]
    for places in _alike([(one.image_identity, n) for one, n in zip(measured, numbers, strict=True)]):
        values = [values for place in places if (values := measured[place].class_values) is not None]
        if values:  # all of these places have them or none
            block = np.ix_(places, places)
            variance.value[block], variance.freedom[block] = all_paired(np.stack(values))
    return variance


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """The places of equal keys."""
    places = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return list(places.values())
