"""The exponential of compiled heads equals that of NumPy."""

import numpy as np

from fsbench.heads._numba import exp


def test_compiled_exponential_equals_that_of_numpy():
    x = np.concatenate([np.linspace(-87, 88, 40_001), np.linspace(-1, 1, 10_001)]).astype(np.float32)
    actual = np.array([exp(value) for value in x], np.float64)
    np.testing.assert_allclose(actual, np.exp(x.astype(np.float64)), rtol=2e-7)
    assert exp(np.float32(0)) == 1
    assert exp(np.float32(-np.inf)) == exp(np.float32(-87))
    assert np.isfinite(exp(np.float32(np.inf)))
    assert np.isnan(exp(np.float32(np.nan)))
