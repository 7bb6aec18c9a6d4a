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
from scipy.stats import t as student

from fsbench.evaluation.result import Result
from fsbench.stats import CONFIDENCE, holm

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
    scores: NDArray[np.float64]
    class_values: NDArray[np.float64] | None
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

    half_width: NDArray[np.float64]
    p: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of m accuracies.

    Attributes:
        difference: The row's accuracy minus the column's, shape (m, m).
        over: The claim about it over classes, and the one over tasks.
    """

    difference: NDArray[np.float64]
    over: Mapping[Over, Claim]


def of_result(result: Result) -> Measured:
    """Take the accuracy of one result, with what its intervals follow from.

    Args:
        result: A result of one checkpoint and head.

    Returns:
        Its accuracy.
    """
    return Measured(
        accuracy=result.outcome.accuracy,
        scores=result.accuracies,
        class_values=None if result.outcome.class_values is None else np.array(result.outcome.class_values),
        task_identity=result.task_identity,
        image_identity=result.image_identity,
    )


def of_seeds(results: Sequence[Result]) -> Measured | None:
    """Compute the mean accuracy of one recipe over its training seeds.

    Args:
        results: One result for each seed.

    Returns:
        The mean; None for fewer than three seeds, and for seeds that were not measured on the same tasks.
    """
    tasks = {(result.task_identity, result.spec.n_tasks) for result in results}
    if len(results) < FEWEST_SEEDS or len(tasks) > 1:
        return None
    every = [of_result(result) for result in results]
    values = [one.class_values for one in every if one.class_values is not None]
    accuracies = np.array([one.accuracy for one in every])
    return Measured(
        accuracy=float(accuracies.mean()),
        scores=np.mean([one.scores for one in every], axis=0),
        class_values=np.mean(values, axis=0) if len(values) == len(every) else None,
        task_identity=every[0].task_identity,
        image_identity=every[0].image_identity,
        n_seeds=len(every),
        seed_variance=float(accuracies.var(ddof=1)) / len(every),
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
    difference, *errors = _over_tasks(measured)
    return Pairs(
        difference,
        {
            "classes": _claim(measured, difference, *_over_classes(measured)),
            "tasks": _claim(measured, difference, *errors),
        },
    )


def adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust the p-values of all pairs (m, m) by Holm, as one family; NaN stays and does not count.

    Since the family holds every pair, any of them may be picked after the fact, for example those with the
    best accuracy.
    """
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

    accuracies: NDArray[np.float64]
    pairs: Pairs
    p: NDArray[np.float64]

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
    """Compare accuracies with each other; p-values are of the claim over classes or over tasks.

    All pairs are one family, so that the best row may be picked after the fact and any two compared.
    """
    pairs = compare_pairs(measured)
    return Compared(np.array([one.accuracy for one in measured]), pairs, adjusted(pairs.over[over].p))


def _over_tasks(
    measured: Sequence[Measured],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Differences, their variances over tasks and the degrees of freedom, each (m, m)."""
    means = np.array([one.accuracy for one in measured])
    difference = means[:, None] - means
    number = np.array([len(one.scores) for one in measured], dtype=np.float64)
    variances = np.array([one.scores.var(ddof=1) for one in measured]) / number
    variance, freedom = _sum_of_variances(variances, number - 1)  # Welch's test
    for places in _alike([one.task_identity for one in measured]):
        for shortest in sorted({len(measured[place].scores) for place in places}):
            longer = [place for place in places if len(measured[place].scores) >= shortest]
            scores = np.stack([measured[place].scores[:shortest] for place in longer])
            mean, block = scores.mean(axis=1), np.ix_(longer, longer)
            difference[block] = mean[:, None] - mean
            variance[block], freedom[block] = _variance_of_pairs(scores), shortest - 1
    return difference.round(12), variance, freedom  # rounded, so that the difference of equal means is 0


def _over_classes(measured: Sequence[Measured]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances of the differences over classes, NaN: unknown, and degrees of freedom, each (m, m)."""
    variance = np.full((len(measured), len(measured)), np.nan)
    freedom = np.ones_like(variance)
    values = {place: one.class_values for place, one in enumerate(measured) if one.class_values is not None}
    places_with_values = list(values)
    for places in _alike(
        [(measured[place].image_identity, len(values[place])) for place in places_with_values]
    ):
        same = [places_with_values[place] for place in places]
        block = np.ix_(same, same)
        variance[block] = _variance_of_pairs(np.stack([values[place] for place in same]))
        freedom[block] = len(values[same[0]]) - 1
    return variance, freedom


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """The places of equal keys."""
    places = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return list(places.values())


def _variance_of_pairs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The variance of the mean difference of each two rows of `values` (m, n), shape (m, m)."""
    n = values.shape[1]
    centred = values - values.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T / (n - 1)
    own = covariance.diagonal()
    variance: NDArray[np.float64] = np.maximum(own[:, None] + own - 2 * covariance, 0) / n
    return variance


def _sum_of_variances(
    parts: NDArray[np.float64], freedom: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of each two variances `parts` (m,), and Satterthwaite's degrees of freedom of it, (m, m)."""
    weights = np.divide(parts**2, freedom, out=np.zeros_like(parts), where=parts > 0)
    total = parts[:, None] + parts
    both = weights[:, None] + weights
    return total, np.divide(total**2, both, out=np.ones_like(total), where=both > 0)


def _claim(
    measured: Sequence[Measured],
    difference: NDArray[np.float64],
    variance: NDArray[np.float64],
    freedom: NDArray[np.float64],
) -> Claim:
    """Half widths and p-values of differences (m, m), with the variances over training seeds added."""
    seeds = np.array([one.seed_variance for one in measured])
    if seeds.any():
        of_seeds, freedom_of_seeds = _sum_of_variances(
            seeds, np.array([one.n_seeds - 1.0 for one in measured])
        )
        weights = variance**2 / freedom + of_seeds**2 / freedom_of_seeds
        variance = variance + of_seeds
        freedom = np.divide(variance**2, weights, out=np.ones_like(weights), where=weights > 0)
    error = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where((difference == 0) & (error == 0), 0.0, np.abs(difference) / error)
    kinds, place = np.unique(freedom, return_inverse=True)  # a quantile takes long, and most are of one kind
    quantile = np.asarray(student.ppf((1 + CONFIDENCE) / 2, kinds))[place].reshape(freedom.shape)
    return Claim(quantile * error, 2 * np.asarray(student.sf(t, freedom)))
