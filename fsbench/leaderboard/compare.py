"""Every pair of a column: which accuracies differ, and the ranks that follow."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from fsbench.results import Result
from fsbench.stats import holm

LEVEL = 0.05  # of a whole column: the chance that any of its equal pairs is called different


def adjusted_p(results: Sequence[Result]) -> NDArray[np.float64]:
    """Two-sided p for equal accuracies of each pair, Holm-adjusted over all of them, symmetric (m, m).

    All pairs are one family, so that the best row may be picked after the fact and any two compared.
    """
    upper = np.triu_indices(len(results), 1)
    adjusted = np.ones((len(results), len(results)))
    adjusted[upper] = holm(list(pairwise_p(results)[upper]))
    adjusted.T[upper] = adjusted[upper]
    return adjusted


def ranks(results: Sequence[Result], p: NDArray[np.float64]) -> list[int]:
    """For each result 1 + the number of those that are better by the test; `p` (m, m) is adjusted."""
    accuracy = np.array([result.accuracy for result in results])
    better = (accuracy[None, :] > accuracy[:, None]) & (p < LEVEL)
    return [1 + int(count) for count in better.sum(axis=1)]


def equals_of_best(results: Sequence[Result], p: NDArray[np.float64]) -> list[bool]:
    """For each result whether it is the best or does not differ from it; `p` (m, m) is adjusted."""
    best = max(range(len(results)), key=lambda place: results[place].accuracy)
    return [bool(value >= LEVEL) for value in p[best]]


def pairwise_p(results: Sequence[Result]) -> NDArray[np.float64]:
    """The p-value of each pair, (m, m): paired t test on the same tasks, Welch's on others.

    What `stats.paired_p` and `stats.welch_p` give, for all pairs at once.
    """
    scores = [result.accuracies for result in results]
    number = np.array([len(score) for score in scores], dtype=np.float64)
    mean = np.array([result.accuracy for result in results])
    part = np.array([score.var(ddof=1) for score in scores]) / number  # variance of each mean
    variance = part[:, None] + part
    weights = part**2 / (number - 1)
    with np.errstate(invalid="ignore"):  # two constant scores have no degrees of freedom, and need none
        freedom = variance**2 / (weights[:, None] + weights)

    lists = defaultdict(list)
    for place, result in enumerate(results):
        lists[result.fingerprint, result.task_digest, result.n_tasks].append(place)
    for places in lists.values():
        n_tasks = number[places[0]]
        centred = np.stack([scores[place] for place in places]) - mean[places, None]
        covariance = centred @ centred.T / (n_tasks - 1)
        own = covariance.diagonal()
        block = np.ix_(places, places)
        variance[block] = np.maximum(own[:, None] + own - 2 * covariance, 0) / n_tasks
        freedom[block] = n_tasks - 1

    difference = np.abs(mean[:, None] - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0, difference / np.sqrt(variance))
    return 2 * np.asarray(student.sf(t, np.where(np.isnan(freedom), 1, freedom)))
