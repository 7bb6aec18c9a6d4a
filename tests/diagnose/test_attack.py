"""Attacks, compared with their closed form for a linear model."""

import pytest
import torch
from torch.nn import functional as F

from fsbench.diagnose import _attack as attack
from fsbench.diagnose.study import Batch


@pytest.fixture
def linear():
    """A linear classifier of two classes, images away from 0 and 1, and its answers."""
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3 * 4 * 4, generator=rng)
    images = 0.3 + 0.4 * torch.rand(20, 3, 4, 4, generator=rng)

    def scores(images):
        return images.flatten(1) @ weights.T

    return Batch(images, scores(images).argmax(dim=1), scores), weights


def test_gradient_is_the_closed_form_of_softmax_regression(linear):
    batch, weights = linear
    error = batch.scores(batch.images).softmax(dim=1) - F.one_hot(batch.answers, 2)
    expected = (error @ weights).view_as(batch.images)
    torch.testing.assert_close(attack.loss_gradient(batch.scores, batch.images, batch.answers), expected)


def test_fgsm_on_a_linear_model_moves_along_the_sign_of_the_weight_difference(linear):
    batch, weights = linear
    other = 1 - batch.answers
    direction = (weights[other] - weights[batch.answers]).sign().view_as(batch.images)
    gradient = attack.loss_gradient(batch.scores, batch.images, batch.answers)
    torch.testing.assert_close(
        attack.fgsm(batch.images, gradient, 8 / 255), batch.images + 8 / 255 * direction
    )


def test_iterated_fgsm_ends_where_one_step_ends_when_the_model_is_linear(linear):
    batch, _ = linear
    gradient = attack.loss_gradient(batch.scores, batch.images, batch.answers)
    torch.testing.assert_close(
        attack.iterated_fgsm(batch.scores, batch.images, batch.answers, 0.02),
        attack.fgsm(batch.images, gradient, 0.02),
    )


def test_attacked_images_stay_within_epsilon_and_the_range_of_pixels():
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(8, 3, 4, 4, generator=rng)  # some near the edges
    weights = torch.randn(5, 48, generator=rng)

    def scores(images):
        return torch.sin(9 * images).flatten(1) @ weights.T  # its gradient turns within epsilon

    answers = torch.arange(8) % 5
    attacked = attack.iterated_fgsm(scores, images, answers, 0.1)
    assert (attacked - images).abs().max() <= 0.1 + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    single = attack.fgsm(images, attack.loss_gradient(scores, images, answers), 0.1)
    loss = [F.cross_entropy(scores(changed), answers).item() for changed in (images, single, attacked)]
    first = attack.loss_gradient(scores, images, answers)
    assert torch.equal(attack.iterated_fgsm(scores, images, answers, 0.1, first=first), attacked)
    assert loss[0] < loss[2]
    assert loss[1] < loss[2]  # several steps follow a gradient that one step overshoots


def test_epsilon_zero_changes_nothing(linear):
    batch, _ = linear
    gradient = attack.loss_gradient(batch.scores, batch.images, batch.answers)
    assert torch.equal(attack.fgsm(batch.images, gradient, 0.0), batch.images)


def test_answers_change_at_the_epsilon_of_their_margin():
    """Two pixels determine the answer: the score difference is 0.05 and changes by 2 epsilon."""
    images = torch.full((1, 3, 1, 1), 0.5)
    images[0, 0] += 0.05 / 2
    images[0, 1] -= 0.05 / 2

    def scores(images):
        return images.flatten(1)[:, :2]

    batch = Batch(images, torch.tensor([0]), scores)
    right = attack.answers_under_attack([batch], attack.gradients([batch]), None)
    assert right["clean", 0].item()
    for epsilon in attack.EPSILONS:
        assert right["FGSM", epsilon].item() == (2 * epsilon / 255 < 0.05)
    for epsilon in attack.ITERATED:
        assert right["iterated", epsilon].item() == (2 * epsilon / 255 < 0.05)
    assert not any(name == "transferred" for name, _ in right)


def test_a_transferred_attack_uses_the_gradient_of_the_other_network(linear):
    """The gradient of an opposite network improves answers; an identical one gives the white-box attack."""
    batch, _ = linear
    opposite = Batch(batch.images, batch.answers, lambda images: -batch.scores(images))
    gradients, opposite_gradients = attack.gradients([batch]), attack.gradients([opposite])
    helped = attack.answers_under_attack([batch], gradients, opposite_gradients)
    twin = attack.answers_under_attack([batch], gradients, gradients)
    for epsilon in attack.EPSILONS:
        assert helped["transferred", epsilon].all()
        assert torch.equal(twin["transferred", epsilon], twin["FGSM", epsilon])
    assert not twin["FGSM", 8].all()
