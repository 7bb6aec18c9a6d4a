"""Deformations: rotations, shears and zooms whose pixels are known."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fsbench.diagnose import _deform as deform


@pytest.fixture
def images():
    return torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def test_a_neutral_deformation_returns_the_image(images):
    still = torch.zeros(2)
    for same in (deform.rotated(images, still), deform.sheared(images, still), deform.zoomed(images, 1.0)):
        torch.testing.assert_close(same, images)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("size", [8, 9])
def test_quarter_turns_are_rot90(turns, size):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    turned = deform.rotated(images, torch.full((2,), 90.0 * turns))
    torch.testing.assert_close(turned, torch.rot90(images, turns, (2, 3)), rtol=1e-4, atol=1e-4)


def test_each_image_has_its_own_angle(images):
    turned = deform.rotated(images, torch.tensor([0.0, 180.0]))
    torch.testing.assert_close(turned[0], images[0])
    torch.testing.assert_close(turned[1], images[1].flip(1, 2), rtol=1e-4, atol=1e-4)


def test_a_shear_of_45_degrees_moves_each_row_by_its_distance_from_the_middle(images):
    sheared = deform.sheared(images, torch.full((2,), 45.0))
    for row in range(9):
        shift = row - 4  # distance to the source pixel on the right
        expected = torch.zeros(2, 3, 9)
        columns = torch.arange(9)
        inside = (columns + shift >= 0) & (columns + shift < 9)
        expected[..., inside] = images[:, :, row, columns[inside] + shift]
        torch.testing.assert_close(sheared[:, :, row], expected, rtol=1e-4, atol=1e-4)


def test_zooming_in_shows_the_middle_larger():
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    middle = F.interpolate(images[..., 2:6, 2:6], scale_factor=2, mode="bilinear")
    zoomed = deform.zoomed(images, 0.5)
    torch.testing.assert_close(
        zoomed[..., 1:7, 1:7], middle[..., 1:7, 1:7]
    )  # edges blend with pixels from outside


def test_zooming_out_leaves_a_black_frame():
    zoomed = deform.zoomed(torch.ones(1, 3, 8, 8), 2.0)
    expected = torch.zeros(1, 3, 8, 8)
    expected[..., 2:6, 2:6] = 1
    torch.testing.assert_close(zoomed, expected)


def test_random_angles_are_drawn_for_each_image_by_the_given_stream(images):
    rotate = deform.DEFORMATIONS["rotate ±40°"]
    twice = images[:1].repeat(2, 1, 1, 1)
    turned = rotate(twice, np.random.default_rng(0))
    assert not torch.equal(turned[0], turned[1])
    assert torch.equal(turned, rotate(twice, np.random.default_rng(0)))
    angles = torch.from_numpy(np.random.default_rng(0).uniform(-40, 40, 2)).float()
    torch.testing.assert_close(turned, deform.rotated(twice, angles))
