"""What compiled heads share equals NumPy: the exponential, and inner products of points."""

import numpy as np
import pytest
import torch

from fsbench.heads._gram import inner_products
from fsbench.heads._numba import exp


def test_compiled_exponential_equals_that_of_numpy():
    x = np.concatenate([np.linspace(-87, 88, 40_001), np.linspace(-1, 1, 10_001)]).astype(np.float32)
    actual = np.array([exp(value) for value in x], np.float64)
    np.testing.assert_allclose(actual, np.exp(x.astype(np.float64)), rtol=2e-7)
    assert exp(np.float32(0)) == 1
    assert exp(np.float32(-np.inf)) == exp(np.float32(-87))
    assert np.isfinite(exp(np.float32(np.inf)))
    assert np.isnan(exp(np.float32(np.nan)))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12, 13, 75])
def test_compiled_inner_products_equal_those_of_numpy(n):
    points = torch.rand(3, n, 37, generator=torch.Generator().manual_seed(n)) - 0.5
    actual = inner_products(points).numpy()
    expected = points.double().numpy() @ points.double().numpy().swapaxes(1, 2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(actual, actual.swapaxes(1, 2))
    np.testing.assert_array_equal(inner_products(points[1:2]).numpy(), actual[1:2])


def test_inner_products_have_gradients():
    points = torch.rand(2, 3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(inner_products(points).sum(), points)
    torch.testing.assert_close(gradient, 2 * points.sum(dim=1, keepdim=True).expand_as(points))


def test_inner_products_of_half_precision_are_those_of_torch():
    points = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(inner_products(points), points @ points.mT)
