"""Calibration: constructed distributions, and torchmetrics as the reference."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from fsbench.diagnose import _calibration as calibration


def sure(confidence):
    """Probabilities of three classes, the first of so much."""
    return torch.tensor([[c, 1 - c, 0.0] for c in confidence])


def test_error_of_a_constructed_distribution():
    """Ten answers at 0.9 of which 6 are right, ten at 0.6 of which 7 are: (0.3 + 0.1) / 2."""
    probabilities = sure([0.9] * 10 + [0.6] * 10)
    answers = torch.tensor([0] * 6 + [1] * 4 + [0] * 7 + [1] * 3)
    found = calibration.reliability(probabilities, answers)
    assert found.error == pytest.approx(0.2)
    assert found.counts.sum() == 20
    full = found.counts > 0
    assert found.confidence[full].tolist() == pytest.approx([0.6, 0.9])
    assert found.accuracy[full].tolist() == pytest.approx([0.7, 0.6])
    assert (found.accuracy[~full] == 0).all()


def test_answers_as_often_right_as_they_are_sure_have_no_error():
    probabilities = sure([0.75] * 4 + [1.0] * 3)
    assert calibration.reliability(probabilities, torch.tensor([0, 0, 0, 1, 0, 0, 0])).error == 0


@pytest.mark.parametrize("bins", [10, 15])
@pytest.mark.parametrize("sharpness", [0.5, 5.0])
def test_error_is_that_of_torchmetrics(bins, sharpness):
    rng = torch.Generator().manual_seed(0)
    probabilities = (sharpness * torch.randn(500, 7, generator=rng)).softmax(dim=1)
    answers = torch.randint(7, (500,), generator=rng)
    expected = multiclass_calibration_error(probabilities, answers, num_classes=7, n_bins=bins, norm="l1")
    assert calibration.reliability(probabilities, answers, bins).error == pytest.approx(
        expected.item(), abs=1e-6
    )


def test_partners_are_of_other_classes_and_used_once():
    labels = np.repeat(np.arange(5), 4)
    for seed in range(20):
        partners = calibration._of_other_classes(labels, np.random.default_rng(seed))
        assert (labels[partners] != labels).all()
        assert sorted(partners) == list(range(20))
