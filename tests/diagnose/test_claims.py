"""Claims compared with measurements: paired differences by hand."""

import numpy as np
import pytest

from fsbench.diagnose import _claims as claims
from fsbench.diagnose._section import Claim

SAMPLES = {"erm": [1.0, 5.0, 9.0], "mixup": [2.0, 7.0, 12.0], "rotation": [0.0, 5.0, 10.0]}


def claim(sign, **samples):
    measurements = {name: np.array(values) for name, values in samples.items()}
    return Claim("a number", "a paper", sign, 2, measurements)


def test_differences_are_taken_in_pairs():
    """1, 2 and 3 more: 2 on average, ± t(2) = 4.303 times 1 / sqrt(3), though erm itself varies by more."""
    section = claims.section([claim(+1, **SAMPLES)])
    ((title, claimed, reference, mixup, rotation),) = section.tables[0].rows
    assert (title, claimed, reference) == ("a number", "higher: a paper", "5.00")
    assert mixup == "+2.00 ± 2.48"
    assert rotation == "+0.00 ± 2.48"
    values = section.values["a number"]["differences"]["mixup"]
    assert values["mean"] == pytest.approx(2)
    assert values["half width"] == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("sign", "difference", "half_width", "mark"),
    [(+1, 2, 1, "✓"), (+1, -2, 1, "✗"), (-1, -2, 1, "✓"), (-1, 2, 1, "✗"), (+1, 1, 1, ""), (0, 2, 1, "")],
)
def test_verdicts(sign, difference, half_width, mark):
    assert claims.verdict(sign, difference, half_width) == mark


def test_a_number_that_some_networks_lack_is_left_out():
    section = claims.section([claim(+1, **SAMPLES), claim(+1, erm=[1.0, 2.0], mixup=[1.0, 2.0])])
    assert len(section.tables[0].rows) == 1


def test_a_single_network_has_no_comparison():
    assert claims.section([claim(+1, erm=[1.0, 2.0])]) is None
    assert claims.section([]) is None
