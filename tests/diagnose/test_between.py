"""Behaviour between samples: misses by hand, gradients by the closed form of softmax regression."""

import torch

from fsbench.diagnose import _between as between


def test_a_miss_is_a_third_class():
    scores = torch.tensor([[3.0, 1, 2], [1, 3, 2], [1, 2, 3]])
    first, second = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])
    assert between.misses(scores, first, second).tolist() == [False, False, True]


def test_gradient_norm_of_a_linear_model():
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 12, generator=rng)
    images = torch.rand(6, 3, 2, 2, generator=rng)
    first, second = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 2, 3, 0, 2, 3])

    scores, norms = between.gradient_norms(lambda x: x.flatten(1) @ weights.T, images, first, second, 0.3)

    target = torch.zeros(6, 4)
    target[torch.arange(6), first] = 0.3
    target[torch.arange(6), second] = 0.7
    torch.testing.assert_close(scores, images.flatten(1) @ weights.T)
    torch.testing.assert_close(norms, ((scores.softmax(dim=1) - target) @ weights).norm(dim=1))
