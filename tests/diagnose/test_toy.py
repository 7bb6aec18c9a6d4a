"""Toy problems: the two-dimensional figures of the papers, as numbers."""

import math

import numpy as np
import pytest
import torch

from fsbench.diagnose import _toy as toy


@pytest.fixture(scope="module")
def trained():
    return {
        (problem, way): toy.train(problem, way, seed=0)
        for problem, (_, ways) in toy.PROBLEMS.items()
        for way in ways
    }


def test_spiral_arms_are_half_a_turn_apart():
    points, labels = toy.spiral(np.random.default_rng(0))
    radius = points.norm(dim=1)
    angle = torch.atan2(points[:, 1], points[:, 0])
    off = angle - math.pi * (3 * radius + labels)  # angle from the point's own arm: whole turns plus noise
    assert off.cos()[radius > 0.3].min() > 0  # nearer to its own arm than to the other, half a turn away
    assert off.cos().mean() > 0.95
    assert labels.bincount().tolist() == [100, 100]
    assert radius.max() < 1.1


def test_rings_are_apart():
    points, labels = toy.rings(np.random.default_rng(0))
    radius = points.norm(dim=1)
    assert radius[labels == 0].max() < 0.6 < 0.75 < radius[labels == 1].min()


def test_confident_fraction_counts_points_above_the_limit():
    shares = torch.tensor([[0.97, 0.03], [0.5, 0.5], [0.04, 0.96], [0.94, 0.06]])
    assert toy.confident_fraction(shares.log()) == 0.5


def test_all_ways_start_from_the_same_points_and_weights(trained):
    erm, mixed = toy.train("spiral", "erm", 0, steps=0), toy.train("spiral", "manifold-mixup", 0, steps=0)
    assert torch.equal(erm.points, mixed.points)
    assert torch.equal(toy.hidden(erm.network, erm.points), toy.hidden(mixed.network, mixed.points))
    assert torch.equal(erm.points, trained["spiral", "mixup"].points)


def test_the_global_stream_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    toy.build(5)
    assert torch.equal(torch.rand(1), expected)


def test_erm_learns_the_points_and_is_sure_of_nearly_everything(trained):
    for problem in toy.PROBLEMS:
        assert trained[problem, "erm"].accuracy == 1
        assert trained[problem, "erm"].confident > 0.9


def test_mixing_makes_a_broad_region_unsure(trained):
    """mixup's figure 1b and Manifold Mixup's figure 1."""
    for problem, way in (("rings", "mixup"), ("spiral", "mixup"), ("spiral", "manifold-mixup")):
        assert trained[problem, way].confident < trained[problem, "erm"].confident - 0.1


def test_manifold_mixup_concentrates_classes_and_still_learns_them(trained):
    """Manifold Mixup's figures 1 and 2: a class varies less against the whole, in both directions.

    Mixup of inputs lowers the largest singular value by less.
    """
    of_manifold, of_erm, of_mixup = (
        trained["spiral", way].singular_values.mean(dim=0) for way in ("manifold-mixup", "erm", "mixup")
    )
    assert trained["spiral", "manifold-mixup"].accuracy > 0.98
    assert (of_manifold < 0.8 * of_erm).all()
    assert of_manifold[0] < 0.8 * of_mixup[0]
