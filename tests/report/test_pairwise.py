"""The test of a pair on the leaderboard: paired on the same tasks, Welch's on other tasks."""

from pathlib import Path

import numpy as np
import pytest

from fsbench import stats
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.measured import of_result
from fsbench.stats.all_pairs import compare_pairs
from tests.changed import with_correct

GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard" / "results"
BASE = result_files.read(GOLDEN / "cifar-fs" / "erm-conv4-s0" / "5w1s3q-nearest-mean-l2-20t-s0.json")
HARD = [3, 5, 7, 9, 11, 13]  # right answers of 15; tasks differ far more than the two results


def made(correct: list[int], **changes) -> Result:
    """A result with the number of right answers of 15 in each task."""
    return with_correct(BASE, correct, **changes)


FIRST = made([count + 1 + place % 2 for place, count in enumerate(HARD)], run="first")


def pairs_of(results: list[Result]) -> np.ndarray:
    """The p-values over tasks of all pairs."""
    return compare_pairs([of_result(result) for result in results]).over["tasks"].p


def p_of(**changes) -> float:
    """The p-value of FIRST against a result with as many tasks and these changes."""
    p = pairs_of([FIRST, made(HARD, run="second", **changes)])
    assert p[0, 1] == p[1, 0]
    return float(p[0, 1])


def test_the_same_tasks_are_compared_in_pairs():
    """Differences 1 2 1 2 1 2 of 15: mean 1.5, s = sqrt(0.3), t = 1.5 / sqrt(0.3 / 6) = 6.708."""
    assert p_of() == pytest.approx(0.00111, abs=1e-5)
    assert p_of() == pytest.approx(stats.paired_p(FIRST.accuracies, np.array(HARD) / 15))


@pytest.mark.parametrize("change", [{"seed": 1}, {"sampler": "other"}, {"fingerprint": "0" * 64}])
def test_other_tasks_or_images_are_compared_by_means(change):
    """With equal numbers of tasks, the difference of 1.5 is small against the tasks' spread of 3.7."""
    assert p_of(**change) == pytest.approx(stats.welch_p(FIRST.accuracies, np.array(HARD) / 15))
    assert p_of(**change) > 0.4


def test_each_pair_of_a_column_has_its_own_test():
    """Two results on one task list and two on another: pairs within a list, means across."""
    other = {"seed": 1}
    results = [FIRST, made(HARD, run="b"), made(HARD, run="c", **other), made(HARD[::-1], run="d", **other)]
    p = pairs_of(results)
    scores = [result.accuracies for result in results]
    for first in range(4):
        for second in range(first + 1, 4):
            test = stats.paired_p if (first < 2) == (second < 2) else stats.welch_p
            assert p[first, second] == pytest.approx(test(scores[first], scores[second])), (first, second)
