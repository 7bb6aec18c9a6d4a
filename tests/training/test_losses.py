"""Losses compared with formulas by hand, with every random draw injected."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fsbench.models.backbones import BACKBONES, build
from fsbench.models.classifiers import Network
from fsbench.training import losses
from fsbench.training.recipe import load_recipe

N_CLASSES = 5


class Fixed:
    """A generator that returns the given numbers."""

    def __init__(self, depth: int, weight: float, order: list[int]) -> None:
        self.depth, self.weight, self.order = depth, weight, order

    def choice(self, depths):
        assert self.depth in list(depths)
        return self.depth

    def integers(self, n):
        assert self.depth < n
        return self.depth

    def beta(self, a, b):
        assert a == b
        return self.weight

    def permutation(self, n):
        assert n == len(self.order)
        return np.array(self.order)


ORDER = [2, 0, 3, 1]
LABELS = torch.tensor([0, 3, 3, 4])


def network(backbone: str = "conv4", size: int = 32, classifier: str = "cosine") -> Network:
    torch.manual_seed(0)
    return Network(build(backbone, size, dropout=0.0, seed=0), N_CLASSES, classifier, None, {"rotation": 4})


def images(count: int = 4, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def one_hot_cross_entropy(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * F.log_softmax(scores, dim=1)).sum(1).mean()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "wrn28-10")) for name in BACKBONES]
)
def test_manifold_mixup_equals_the_formula_at_every_mixing_point(name):
    """Rows and targets are mixed by hand between two parts of the network, including running statistics."""
    size = BACKBONES[name].smallest
    first, second = network(name, size), network(name, size)
    weight = 0.3
    for depth in first.backbone.mixing_points:
        loss = losses.manifold_mixup(first, images(size=size), LABELS, Fixed(depth, weight, ORDER), alpha=2.0)

        hidden = second.backbone.blocks[:depth](images(size=size))
        rows = torch.stack([0.3 * hidden[i] + 0.7 * hidden[j] for i, j in enumerate(ORDER)])
        scores = second.classifier(second.backbone.tail(second.backbone.blocks[depth:](rows)))
        target = torch.zeros(4, N_CLASSES)
        for i, j in enumerate(ORDER):
            target[i, LABELS[i]] += 0.3
            target[i, LABELS[j]] += 0.7
        torch.testing.assert_close(loss, one_hot_cross_entropy(scores, target), rtol=1e-5, atol=1e-5)
    for (key, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


def test_input_mixup_equals_the_formula():
    step = load_recipe("mixup").stages[0].step
    terms = step(network(), images(), LABELS, Fixed(0, 0.25, ORDER))
    mixed = 0.25 * images() + 0.75 * images()[ORDER]
    target = 0.25 * F.one_hot(LABELS, N_CLASSES) + 0.75 * F.one_hot(LABELS[ORDER], N_CLASSES)
    torch.testing.assert_close(terms["mixed"], one_hot_cross_entropy(network()(mixed), target))


@pytest.mark.parametrize("recipe", ["mixup", "manifold-mixup"])
@pytest.mark.parametrize("depth", range(5))
def test_weight_one_equals_erm_bit_by_bit(recipe, depth):
    """Compare the loss and every gradient."""
    step = load_recipe(recipe).stages[0].step
    first, second = network(), network()
    step(first, images(), LABELS, Fixed(depth, 1.0, ORDER))["mixed"].backward()
    load_recipe("erm").stages[0].step(second, images(), LABELS, None)["class"].backward()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        if a.grad is not None:
            assert torch.equal(a.grad, b.grad)
    assert first.classifier.direction.grad.any()


def test_alpha_zero_draws_one_and_small_alpha_zero_or_one():
    rng = np.random.default_rng(0)
    assert losses.draw_weight(rng, 0.0) == 1.0
    draws = np.array([losses.draw_weight(rng, 1e-3) for _ in range(500)])
    assert (np.minimum(draws, 1 - draws) < 1e-3).mean() > 0.95
    assert 0.4 < draws.mean() < 0.6


def test_weights_follow_beta_and_depths_are_uniform():
    from scipy import stats

    rng = np.random.default_rng(1)
    draws = [losses.draw_weight(rng, 2.0) for _ in range(2000)]
    assert stats.kstest(draws, stats.beta(2, 2).cdf).pvalue > 1e-3
    depths = []
    net = network(size=16)
    forward = net.backbone.forward
    net.backbone.forward = lambda images, depth, mix: depths.append(depth) or forward(images, depth, mix)
    net.eval()
    with torch.inference_mode():
        for _ in range(300):
            losses.manifold_mixup(net, images(2, 16), LABELS[:2], rng, 2.0)
    counts = np.bincount(depths, minlength=5)
    assert len(counts) == 5
    assert stats.chisquare(counts).pvalue > 1e-3


def test_only_named_depths_are_drawn():
    net, depths = network(size=16).eval(), []
    forward = net.backbone.forward
    net.backbone.forward = lambda images, depth, mix: depths.append(depth) or forward(images, depth, mix)
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for _ in range(20):
            losses.manifold_mixup(net, images(2, 16), LABELS[:2], rng, 2.0, depths=(1, 3))
    assert set(depths) == {1, 3}


def test_each_loss_is_computed_on_the_device_of_its_images():
    """The device `meta` refuses tensors on the CPU."""
    net = network(size=16).to("meta")
    pictures, labels = images(size=16).to("meta"), LABELS.to("meta")
    rng = np.random.default_rng(0)
    tensors = [
        losses.draw_permutation(rng, labels),
        losses.all_rotations(pictures),
        losses.manifold_mixup(net, pictures, labels, rng, 2.0),
        *losses.rotation_losses(net, pictures, labels, rng).values(),
        *losses.exemplar_losses(net, torch.cat([pictures, pictures]), labels).values(),
    ]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_official_manifold_mixup_is_binary_cross_entropy():
    step = load_recipe("manifold-mixup", "official-code").stages[0].step
    loss = step(network(classifier="linear"), images(), LABELS, Fixed(2, 0.3, ORDER))["mixed"]
    net = network(classifier="linear")
    hidden = net.backbone.blocks[:2](images())
    features = net.backbone.tail(net.backbone.blocks[2:](0.3 * hidden + 0.7 * hidden[ORDER]))
    target = 0.3 * F.one_hot(LABELS, N_CLASSES) + 0.7 * F.one_hot(LABELS[ORDER], N_CLASSES)
    expected = F.binary_cross_entropy(net.classifier(features).softmax(1), target)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("asks_gradient", [False, True])  # the CPU kernel, or the code for other devices
def test_rotations_match_rot90_and_their_labels(layout, asks_gradient):
    pictures = images().contiguous(memory_format=layout).requires_grad_(asks_gradient)
    turned = losses.all_rotations(pictures)
    for turn in range(4):
        for i in range(4):
            assert torch.equal(turned[turn * 4 + i], torch.rot90(pictures[i], turn, (1, 2)))
    # rotation by 90 degrees as in the reference code
    assert torch.equal(turned[4:8], pictures.transpose(3, 2).flip(2))


@pytest.mark.parametrize(
    ("pictures", "compiled"),
    [(images(), True), (images().requires_grad_(), False), (images().bfloat16(), False)],
    ids=["float32", "with gradient", "bfloat16"],
)
def test_rotations_of_plain_images_are_compiled(monkeypatch, pictures, compiled):
    from fsbench.data import _augment_numba

    calls = []
    turn = _augment_numba.turn_images
    monkeypatch.setattr(_augment_numba, "turn_images", lambda rows, into: calls.append(1) or turn(rows, into))
    turned = losses.all_rotations(pictures)
    assert len(calls) == compiled
    assert torch.equal(turned[8:12], torch.rot90(pictures, 2, (2, 3)))


def test_rotation_losses_equal_the_plain_loop():
    class_loss, rotation_loss = losses.rotation_losses(
        network(), images(), LABELS, np.random.default_rng(0)
    ).values()
    net = network()
    rows, classes, turns = [], [], []
    for turn in range(4):
        for picture, label in zip(images(), LABELS, strict=True):
            rows.append(torch.rot90(picture, turn, (1, 2)))
            classes.append(label)
            turns.append(turn)
    features = net.backbone(torch.stack(rows))
    torch.testing.assert_close(class_loss, F.cross_entropy(net.classifier(features), torch.stack(classes)))
    scores = net.auxiliary_classifiers["rotation"](features)
    torch.testing.assert_close(rotation_loss, F.cross_entropy(scores, torch.tensor(turns)))


class TestHardestTriplets:
    def test_equals_the_plain_loop(self):
        features = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
        total = 0.0
        for v in range(3):
            for i in range(4):
                anchor = features[v, i]
                positive = max((anchor - features[u, i]).norm() for u in range(3) if u != v)
                negative = min((anchor - features[u, j]).norm() for u in range(3) for j in range(4) if j != i)
                total += torch.log(1 + torch.exp(positive - negative))
        torch.testing.assert_close(losses.hardest_triplet_loss(features), total / 12)

    def test_decreases_with_closer_positives_and_farther_negatives(self):
        generator = torch.Generator().manual_seed(0)
        centres, noise = torch.randn(1, 4, 6, generator=generator), torch.randn(3, 4, 6, generator=generator)
        by_spread = [losses.hardest_triplet_loss(centres + s * noise).item() for s in (1.0, 0.5, 0.25, 0.1)]
        assert by_spread == sorted(by_spread, reverse=True)
        by_distance = [losses.hardest_triplet_loss(s * centres + 0.1 * noise).item() for s in (1, 2, 4)]
        assert by_distance == sorted(by_distance, reverse=True)

    def test_gradient_is_finite_where_views_coincide(self):
        features = torch.zeros(2, 3, 4, requires_grad=True)
        losses.hardest_triplet_loss(features).backward()
        assert features.grad.isfinite().all()


def test_each_image_is_rotated_by_its_own_number():
    pictures, turns = images(), torch.tensor([2, 0, 3, 1])
    by_turns = losses.all_rotations(pictures).view(4, 4, *pictures.shape[1:])
    assert torch.equal(losses.rotated(pictures, turns), by_turns[turns, torch.arange(4)])


def test_random_rotations_have_the_expected_losses_of_all_four():
    """The mean over the four draws that rotate all images equally; batch statistics would differ."""

    class Alike:
        def __init__(self, turn: int) -> None:
            self.turn = turn

        def integers(self, high: int, size: int) -> np.ndarray:
            assert high == 4
            return np.full(size, self.turn)

    net = network().eval()
    by_turn = [losses.random_rotation_losses(net, images(), LABELS, Alike(turn)) for turn in range(4)]
    for name, expected in losses.rotation_losses(net, images(), LABELS, np.random.default_rng(0)).items():
        torch.testing.assert_close(torch.stack([terms[name] for terms in by_turn]).mean(), expected)


def test_fast_rotation_sees_as_many_images_as_erm():
    seen = []
    net = network(size=16)
    forward = net.backbone.forward
    net.backbone.forward = lambda rows, *mixing: seen.append(len(rows)) or forward(rows, *mixing)
    for name in ("rotation", "s2m2-r"):
        for stage in load_recipe(name, "fast").stages:
            stage.step(net, images(8, 16), torch.arange(8) % N_CLASSES, np.random.default_rng(0))
    assert set(seen) == {8}


def test_exemplar_losses_take_views_in_blocks():
    pictures = images(8)
    class_loss, exemplar_loss = losses.exemplar_losses(network(), pictures, LABELS).values()
    net = network()
    features = net.backbone(pictures)
    torch.testing.assert_close(
        class_loss, F.cross_entropy(net.classifier(features), torch.cat([LABELS, LABELS]))
    )
    by_view = torch.stack([features[:4], features[4:]])
    torch.testing.assert_close(exemplar_loss, losses.hardest_triplet_loss(by_view))


def test_exemplar_distances_of_unit_length_features():
    pictures = images(8)
    exemplar_loss = losses.exemplar_losses(network(), pictures, LABELS, unit_length=True)["exemplar"]
    features = network().backbone(pictures)
    unit = features / features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(exemplar_loss, losses.hardest_triplet_loss(unit.view(2, 4, -1)))


def test_s2m2_second_stage_is_mixed_plus_half_of_the_first():
    first, second = (stage.step for stage in load_recipe("s2m2-r", "paper").stages)
    draws = Fixed(3, 0.4, ORDER)
    terms = second(network(), images(), LABELS, draws)
    net = network()
    mixed = losses.manifold_mixup(net, images(), LABELS, draws, 2.0)
    first_stage = first(net, images(), LABELS, draws)
    torch.testing.assert_close(terms["mixed"], mixed)
    torch.testing.assert_close(terms["class"], 0.5 * first_stage["class"])
    torch.testing.assert_close(terms["rotation"], 0.5 * first_stage["rotation"])


def test_official_rotation_halves_both_losses():
    (paper,), (code,) = (load_recipe("rotation", preset).stages for preset in ("paper", "official-code"))
    whole, half = (stage.step(network(), images(), LABELS, None) for stage in (paper, code))
    assert {name: loss.item() for name, loss in half.items()} == {
        name: loss.item() / 2 for name, loss in whole.items()
    }


def test_official_s2m2_rotates_a_quarter_of_the_batch():
    seen = []
    net = network(size=16)
    forward = net.backbone.forward
    net.backbone.forward = lambda rows, *mixing: seen.append(len(rows)) or forward(rows, *mixing)
    labels = torch.arange(8) % N_CLASSES
    load_recipe("s2m2-r", "official-code").stages[1].step(
        net, images(8, 16), labels, np.random.default_rng(0)
    )
    assert seen == [8, 8]  # the whole batch mixed, then 8 / 4 images in four rotations
    assert net.backbone.blocks[0][1].num_batches_tracked == 2  # both forward passes update running statistics
