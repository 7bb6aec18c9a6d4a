import pytest
import torch
import torchvision
from torch.nn import functional as F

from fsbench._util.errors import FsbenchError
from fsbench.models.backbones import BACKBONES, build

WIDTH = {"conv4": {32: 256, 64: 1024, 80: 1600, 84: 1600, 224: 64 * 14 * 14}}
FLAT = {"resnet10": 512, "resnet12": 640, "resnet18": 512, "wrn28-10": 640}


def images(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


# The wide network takes most of the time.
every_backbone = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "wrn28-10")) for name in BACKBONES]
)


class TestEveryBackbone:
    @pytest.mark.parametrize("name", BACKBONES)
    @pytest.mark.parametrize("size", [32, 64, 80, 84, 224])
    def test_feature_width_at_each_image_size(self, name, size):
        with torch.device("meta"):  # shapes without the arithmetic
            backbone = build(name, size)
            features = backbone(torch.empty(2, 3, size, size))
        assert features.shape == (2, backbone.feature_dim)
        assert backbone.feature_dim == (WIDTH[name][size] if name in WIDTH else FLAT[name])

    @every_backbone
    def test_features_are_finite_and_distinguish_images(self, name):
        features = build(name, 32).eval()(images())
        assert features.isfinite().all()
        assert (features[0] - features[1]).abs().max() > 1e-3

    @every_backbone
    def test_every_mixing_point_splits_the_network_in_two(self, name):
        backbone = build(name, 32).eval()
        pictures = images()
        with torch.inference_mode():
            plain = backbone(pictures)
            for point in backbone.mixing_points:
                seen = []
                mixed = backbone(pictures, point, lambda hidden, seen=seen: seen.append(hidden) or hidden * 0)
                (hidden,) = seen
                torch.testing.assert_close(hidden, backbone.blocks[:point](pictures), rtol=0, atol=0)
                remainder = backbone.tail(backbone.blocks[point:](hidden * 0))
                torch.testing.assert_close(mixed, remainder, rtol=0, atol=0)
                same = backbone(pictures, point, lambda hidden: hidden)
                torch.testing.assert_close(same, plain, rtol=0, atol=0)
        assert list(backbone.mixing_points) == list(range(len(backbone.blocks) + 1))

    @every_backbone
    def test_weights_follow_the_seed_and_no_global_generator(self, name):
        torch.manual_seed(1)
        state = torch.random.get_rng_state()
        weights = torch.cat([p.flatten() for p in build(name, 32, seed=3).blocks.parameters()])
        torch.manual_seed(2)
        again = torch.cat([p.flatten() for p in build(name, 32, seed=3).blocks.parameters()])
        other = torch.cat([p.flatten() for p in build(name, 32, seed=4).blocks.parameters()])
        assert torch.equal(weights, again)
        assert not torch.equal(weights, other)
        torch.manual_seed(1)
        build(name, 32)
        assert torch.equal(torch.random.get_rng_state(), state)

    @every_backbone
    def test_too_small_images_are_refused(self, name):
        smallest = BACKBONES[name].smallest
        assert build(name, smallest).eval()(images(size=smallest)).isfinite().all()
        with pytest.raises(
            FsbenchError, match=f"image_size must be at least {smallest} for {name}, but is 4"
        ):
            build(name, 4)


@pytest.mark.parametrize(
    ("name", "millions"),
    # Conv4 by hand: 3*64*9 + 64 + 3 * (64*64*9 + 64) + 4 * 2*64; the others as published without a classifier
    [("conv4", 0.113088), ("resnet10", 4.9), ("resnet12", 12.42), ("resnet18", 11.17), ("wrn28-10", 36.47)],
)
def test_number_of_weights(name, millions):
    count = sum(p.numel() for p in build(name, 32).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0 if name == "conv4" else 0.01)


def test_resnet18_equals_torchvision_at_224():
    ours = build("resnet18", 224).eval()
    theirs = torchvision.models.resnet18(weights=None).eval()
    theirs.fc = torch.nn.Identity()
    with torch.no_grad():
        for parameter, expected in zip(theirs.parameters(), ours.parameters(), strict=True):
            parameter.copy_(expected)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images(1, 224)), theirs(images(1, 224)), rtol=1e-4, atol=1e-4)


def test_conv4_is_conv_norm_relu_pool():
    backbone = build("conv4", 32).train()
    hidden = images(8)
    for conv, norm, *_ in backbone.blocks:
        hidden = F.max_pool2d(F.relu(norm(conv(hidden))), 2)
    torch.testing.assert_close(backbone(images(8)), hidden.flatten(1))


def test_wrn_mixes_before_its_last_norm():
    backbone = build("wrn28-10", 8).eval()
    assert len(backbone.blocks) == 3
    hidden = backbone.blocks(images(size=8))
    norm = backbone.tail[0]
    torch.testing.assert_close(backbone(images(size=8)), F.relu(norm(hidden)).mean((2, 3)))


def test_dropout_defaults_to_that_of_the_network():
    assert build("wrn28-10", 8).dropout == 0.5
    assert build("wrn28-10", 8, dropout=0.1).dropout == 0.1
    assert build("conv4", 32).dropout == build("conv4", 32, dropout=0.0).dropout == 0
    with pytest.raises(FsbenchError, match=r"conv4 does not support dropout \(got 0\.3\)"):
        build("conv4", 32, dropout=0.3)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(FsbenchError, match="unknown backbone 'wrn28'; did you mean 'wrn28-10'"):
        build("wrn28", 32)


@pytest.mark.parametrize("name", ["resnet50", "ResNet-101"])
def test_another_depth_is_no_typing_mistake(name: str):
    with pytest.raises(FsbenchError, match=f"unknown backbone '{name}'; choose conv4, resnet10, resnet12, "):
        build(name, 32)
