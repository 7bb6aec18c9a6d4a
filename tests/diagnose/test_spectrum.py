"""Spectra of matrices with known singular values."""

import pytest
import torch

from fsbench.diagnose import _spectrum as spectrum


def test_spectra_of_two_known_classes():
    """Class means are 10 apart; one class varies by 3 and 1 along the axes, the other in one direction."""
    first = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    second = torch.tensor([[10.0, 2], [10, -2], [10, 0], [10, 0]])
    features, labels = torch.cat([first, second]), torch.tensor([0] * 4 + [1] * 4)
    whole = (8 * 25 + 18 + 2 + 8) ** 0.5  # means are 5 from the common one
    expected = torch.tensor([[18**0.5, 2**0.5], [8**0.5, 0]]) / whole
    torch.testing.assert_close(spectrum.class_spectra(features, labels), expected, atol=1e-6, rtol=1e-5)


def test_scaling_shifting_and_rotating_features_changes_nothing():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(30, 5, generator=rng, dtype=torch.float64)
    labels = torch.arange(3).repeat_interleave(10)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=torch.float64)).Q
    moved = 7 * features @ turn + 3
    torch.testing.assert_close(
        spectrum.class_spectra(moved, labels), spectrum.class_spectra(features, labels)
    )
    assert spectrum.variance_ratio(moved, labels) == pytest.approx(spectrum.variance_ratio(features, labels))


def test_singular_values_of_a_gaussian_match_its_deviations():
    """n draws with deviations 3, 2, 1 have singular values near sqrt(n) times those."""
    deviations = torch.tensor([3.0, 2, 1])
    features = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) * deviations
    singular_values = spectrum.class_spectra(features, torch.zeros(20_000))[0]
    torch.testing.assert_close(singular_values, deviations / deviations.norm(), atol=0.01, rtol=0)


def test_effective_rank_of_known_spectra():
    assert spectrum.effective_rank(torch.tensor([2.0, 2, 2, 2])).item() == pytest.approx(4)
    assert spectrum.effective_rank(torch.tensor([5.0, 0, 0])).item() == pytest.approx(1)
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])
    expected = [2.0, 2.0**1.5]  # entropies of 1 and 1.5 bits
    assert spectrum.effective_rank(shares).tolist() == pytest.approx(expected)


def test_variance_ratio_by_hand():
    """Within: 1 in each class; means at 0 and 4, so between: 4."""
    features = torch.tensor([[-1.0], [1], [3], [5]])
    assert spectrum.variance_ratio(features, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.25)


def test_flatter_classes_have_a_lower_rank_and_smaller_minor_values():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(50)
    means = 5 * torch.eye(4, 8).repeat_interleave(50, dim=0)
    noise = torch.randn(200, 8, generator=rng)
    round_, flat = (
        spectrum.describe(means + noise * torch.tensor([1.0] + [deviation] * 7), labels)
        for deviation in (1.0, 0.1)
    )
    assert (flat["effective rank"] < round_["effective rank"]).all()
    assert (flat["sum of others"] < round_["sum of others"]).all()
    assert flat["within / between"] < round_["within / between"]
