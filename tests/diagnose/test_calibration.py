"""Calibration: constructed distributions, and torchmetrics as the reference."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from fsbench.diagnose import _calibration as calibration


def sure(confidence):
    """Probabilities of three classes, of which the first has the given one."""
    return torch.tensor([[c, 1 - c, 0.0] for c in confidence])


def test_error_of_a_constructed_distribution():
    """Ten answers at 0.9 of which 6 are right, ten at 0.6 of which 7 are: (0.3 + 0.1) / 2."""
    probabilities = sure([0.9] * 10 + [0.6] * 10)
    answers = torch.tensor([0] * 6 + [1] * 4 + [0] * 7 + [1] * 3)
    reliability = calibration.reliability(probabilities, answers)
    assert reliability.error == pytest.approx(0.2)
    assert reliability.counts.sum() == 20
    full = reliability.counts > 0
    assert reliability.confidence[full].tolist() == pytest.approx([0.6, 0.9])
    assert reliability.accuracy[full].tolist() == pytest.approx([0.7, 0.6])
    assert (reliability.accuracy[~full] == 0).all()


def test_calibrated_answers_have_no_error():
    probabilities = sure([0.75] * 4 + [1.0] * 3)
    assert calibration.reliability(probabilities, torch.tensor([0, 0, 0, 1, 0, 0, 0])).error == 0


@pytest.mark.parametrize("bins", [10, 15])
@pytest.mark.parametrize("sharpness", [0.5, 5.0])
def test_error_equals_torchmetrics(bins, sharpness):
    rng = torch.Generator().manual_seed(0)
    probabilities = (sharpness * torch.randn(500, 7, generator=rng)).softmax(dim=1)
    answers = torch.randint(7, (500,), generator=rng)
    expected = multiclass_calibration_error(probabilities, answers, num_classes=7, n_bins=bins, norm="l1")
    assert calibration.reliability(probabilities, answers, bins).error == pytest.approx(
        expected.item(), abs=1e-6
    )


def test_partners_have_other_classes_and_are_used_once():
    labels = np.repeat(np.arange(5), 4)
    for seed in range(20):
        partners = calibration._of_other_classes(labels, np.random.default_rng(seed))
        assert (labels[partners] != labels).all()
        assert sorted(partners) == list(range(20))
