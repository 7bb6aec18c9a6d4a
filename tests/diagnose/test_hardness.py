"""Task hardness by hand."""

import numpy as np
import pytest
import torch

from fsbench.diagnose import _hardness as hardness

E1, E2 = [1.0, 0.0], [0.0, 1.0]


def task(support, query, answers):
    """Hardness of one task: support (n_way, n_shot, d)."""
    tensors = (torch.tensor([support]), torch.tensor([query]), torch.tensor([answers]))
    return hardness.hardness(*tensors).item()


def test_queries_on_their_class_have_the_odds_of_one_cosine():
    """p = e / (e + 1), so log((1 - p) / p) = -1; for the wrong class it is +1, and the mean of both is 0."""
    support = [[E1], [E2]]
    assert task(support, [E1, E2], [0, 1]) == pytest.approx(-1)
    assert task(support, [E1, E2], [1, 0]) == pytest.approx(1)
    assert task(support, [E1, E1], [0, 1]) == pytest.approx(0, abs=1e-6)


def test_a_query_between_n_classes_has_the_odds_of_n_minus_one():
    support = torch.eye(4).unsqueeze(1).tolist()
    assert task(support, [[1.0, 1, 1, 1]], [2]) == pytest.approx(np.log(3))


def test_length_and_negative_parts_do_not_matter():
    support = [[[3.0, -5.0]], [[-1.0, 0.2]]]
    assert task(support, [[10.0, -1.0]], [0]) == pytest.approx(-1)


def test_shots_are_averaged_as_unit_vectors():
    """Shots along e1 (long) and e2 have the mean direction (1, 1): cosine 1 / sqrt(2) with e1."""
    support = [[[9.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
    assert task(support, [[1.0, 0.0, 0.0]], [0]) == pytest.approx(-(2**-0.5))


def test_area_below_a_known_line():
    """Accuracy 80 - 20 x meets zero at 4: a triangle of 160."""
    x = np.array([0.5, 1.0, 2.0])
    line = hardness.fit(x, 80 - 20 * x)
    assert (line.intercept, line.slope, line.r) == pytest.approx((80, -20, -1))
    assert line.area == pytest.approx(160)
    assert hardness.fit(x, 10 + x).area is None
