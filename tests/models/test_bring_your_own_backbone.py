"""Backbones that fsbench did not train: from libraries, functions and weights files."""

import hashlib
import json
import pickle
import re
import socket
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.cli import main
from fsbench.data.augment import eval_transform
from fsbench.features import store
from fsbench.features.extract import embed, extract_features
from fsbench.models import checkpoint, pretrained
from fsbench.models.backbones import build
from fsbench.models.pretrained import overlap
from fsbench.models.pretrained.transform import resize_crop, standard_transform

CPU = torch.device("cpu")
SMALL = "timm:test_vit.r160_in1k"


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Two smooth images with an edge, (2, 96, 96, 3) uint8."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)) for _ in range(2)]
    return torch.from_numpy(np.stack([np.asarray(image.resize((96, 96))) for image in coarse]))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """A small model of timm with its classifier, and the file of its weights."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False).eval()
    path = tmp_path_factory.mktemp("timm") / "vit.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    return model, path


class TestTransforms:
    @pytest.mark.parametrize("name", ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k", "test_vit"])
    def test_images_equal_those_of_timm(self, name, pixels):
        model = timm.create_model(name, pretrained=False)
        config = timm.data.resolve_model_data_config(model)
        theirs = timm.data.create_transform(**config, is_training=False)
        ours = pretrained.libraries.timm_model(name, pretrained=False).transform
        assert ours.size == config["input_size"][1]
        self.compare(ours, theirs, pixels, min(config["std"]))

    @pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "efficientnet_b0.IMAGENET1K_V1"])
    def test_images_equal_those_of_torchvision(self, name, pixels):
        weights = torchvision.models.get_model_weights(name.partition(".")[0]).DEFAULT
        ours = pretrained.libraries.torchvision_model(name, pretrained=False).transform
        self.compare(ours, weights.transforms(), pixels, 0.224)

    def compare(self, ours, theirs, pixels, std):
        transformed = ours.apply(pixels)
        expected = torch.stack([theirs(Image.fromarray(image.numpy())) for image in pixels])
        assert transformed.shape == expected.shape
        off = (transformed - expected).abs() * 255 * std  # grey levels
        assert off.max() < 2.01
        assert (off > 0.5).float().mean() < 0.25  # 0.21 with the oldest torchvision, below 0.1 with new ones

    @pytest.mark.gpu
    def test_a_gpu_gives_the_same_images(self, pixels):
        transform = resize_crop(168, 160, "bicubic")
        off = (transform.apply(pixels.cuda()).cpu() - transform.apply(pixels)).abs() * 255 * 0.229
        assert off.max() < 2.01

    def test_each_number_is_in_the_name(self):
        names = {
            resize_crop(*args).name
            for args in [
                (256, 224),
                (248, 224),
                (256, 192),
                (256, 224, "bicubic"),
                (256, 224, "bilinear", (0.5, 0.5, 0.5)),
                (256, 224, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        }
        assert len(names) == 6

    def test_the_standard_transform_equals_the_evaluation_transform(self, pixels):
        torch.testing.assert_close(
            standard_transform(84).apply(pixels), eval_transform(pixels, 84), rtol=0, atol=0
        )


class TestLibraries:
    def test_weights_in_a_file_give_the_models_features(self, vit, pixels):
        model, path = vit
        backbone = pretrained.find(path, SMALL)
        images = backbone.transform.apply(pixels)
        with torch.inference_mode():
            expected = model.forward_head(model.forward_features(images), pre_logits=True)
            torch.testing.assert_close(backbone.network(images), expected)
        assert backbone.model.backbone == SMALL
        assert backbone.model.run.startswith("timm-test_vit.r160_in1k-vit-")

    def test_an_imagenet_classifier_implies_its_classes_were_seen(self, vit, tmp_path):
        model, path = vit
        assert pretrained.find(path, SMALL).seen.source == "imagenet-1k"
        weights = {k: v[:7] if k.startswith("head.") else v for k, v in model.state_dict().items()}
        torch.save(weights, tmp_path / "seven.pth")
        assert pretrained.find(tmp_path / "seven.pth", SMALL).seen is None

    def test_timm_needs_only_the_hub_cache(self, vit, tmp_path, monkeypatch, no_network):
        model, path = vit
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        folder = tmp_path / "models--timm--test_vit.r160_in1k"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        save_file(model.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
        backbone = pretrained.find("timm:test_vit")
        assert backbone.model.checkpoint == pretrained.find(path, SMALL).model.checkpoint
        assert (backbone.model.run, backbone.seen.source) == ("timm-test_vit.r160_in1k", "imagenet-1k")

    def test_torchvision_needs_only_the_hub_cache(self, tmp_path, monkeypatch, no_network, pixels):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
        torch.manual_seed(0)
        model = torchvision.models.shufflenet_v2_x0_5().eval()
        (tmp_path / "checkpoints").mkdir()
        path = tmp_path / "checkpoints" / weights.url.rpartition("/")[2]
        torch.save(model.state_dict(), path)
        backbone = pretrained.find("torchvision:shufflenet_v2_x0_5")
        images = backbone.transform.apply(pixels)
        with torch.inference_mode():
            values = backbone.network(images)
            torch.testing.assert_close(model.fc(values), model(images))
        assert backbone.model.backbone == "torchvision:shufflenet_v2_x0_5.IMAGENET1K_V1"
        assert (
            backbone.model.checkpoint
            == pretrained.find(path, "torchvision:shufflenet_v2_x0_5").model.checkpoint
        )

    @pytest.mark.parametrize("name", ["timm:test_vit", "torchvision:shufflenet_v2_x0_5"])
    def test_unavailable_weights_give_one_line(self, name, tmp_path, monkeypatch, no_network):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        with pytest.raises(
            FsbenchError, match=f"{name}: weights cannot be loaded.*FILE --backbone {name}"
        ) as caught:
            pretrained.find(name)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("timm:resnet5", "timm has no model 'resnet5'; did you mean 'resnet"),
            (
                "timm:nix",
                "timm has no model 'nix'; did you mean '[a-z0-9_]+', '[a-z0-9_]+' or '[a-z0-9_]+'[?]$",
            ),
            ("timm:test_vit.nonsense", "timm:test_vit.nonsense: weights cannot be loaded"),
            ("torchvision:resnet19", "torchvision has no model 'resnet19'; did you mean 'resnet1"),
            (
                "torchvision:resnet18.IMAGENET",
                "torchvision:resnet18 has no weights 'IMAGENET'; did you mean",
            ),
            ("torchvision:squeezenet1_1", "torchvision:squeezenet1_1: must end in a linear classifier"),
        ],
    )
    def test_unknown_models_are_named(self, name, message, tmp_path):
        torch.save({}, tmp_path / "x.pth")
        with pytest.raises(FsbenchError, match=message):
            pretrained.find(tmp_path / "x.pth", name)

    @pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
    def test_classifiers_of_torchvision_are_removed(self, name, pixels):
        backbone = pretrained.libraries.torchvision_model(name, pretrained=False)
        with torch.inference_mode():
            values = backbone.network.eval()(backbone.transform.apply(pixels[:1]))
        width = getattr(torchvision.models, name)().get_submodule(backbone.classifier[0]).in_features
        assert values.shape == (1, width)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("there is no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def randomise(module: nn.Module) -> nn.Module:
    """Give each layer its own random weights and statistics, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 1
            tensor.copy_(
                noise + 0.5 if name.endswith("var") else (noise - 0.5) * scale + (tensor.ndim == 1) / 2
            )
    return module.eval()


class TheirBlock(nn.Module):
    """A layer of closer-look's Conv4, under its names: each weight is listed twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.C, self.BN = nn.Conv2d(width, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.trunk = nn.Sequential(self.C, self.BN, nn.ReLU(), nn.MaxPool2d(2))


class TheirSimpleBlock(nn.Module):
    """A block of closer-look's ResNets, under its names."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.C1, self.BN1 = nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.C2, self.BN2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        if width != out:
            self.shortcut, self.BNshortcut = nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        body = self.BN2(self.C2(F.relu(self.BN1(self.C1(x)))))
        return F.relu(body + (self.BNshortcut(self.shortcut(x)) if hasattr(self, "shortcut") else x))


class TheirWideBlock(nn.Module):
    """A block of S2M2's WRN-28-10, under its names."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(out), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.convShortcut = nn.Conv2d(width, out, 1, stride, bias=False) if width != out else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.bn1(x))
        body = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return body + (x if self.convShortcut is None else self.convShortcut(active))


class TheirWideResNet(nn.Module):
    """S2M2's WRN-28-10 with its cosine classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        for number, (width, out, stride) in enumerate([(16, 160, 1), (160, 320, 2), (320, 640, 2)], start=1):
            others = [TheirWideBlock(out, out, 1) for _ in range(3)]
            layer = nn.Sequential(TheirWideBlock(width, out, stride), *others)
            self.add_module(f"block{number}", nn.ModuleDict({"layer": layer}))
        self.bn1 = nn.BatchNorm2d(640)
        self.linear = nn.utils.parametrizations.weight_norm(nn.Linear(640, 200, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        for block in (self.block1, self.block2, self.block3):
            x = block["layer"](x)
        return F.relu(self.bn1(x)).mean(dim=(2, 3))


class TheirResNetBlock(nn.Module):
    """A block of MetaOptNet's ResNet-12, under its names."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv3, self.bn3 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.downsample = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.leaky_relu(self.bn1(self.conv1(x)), 0.1)
        hidden = F.leaky_relu(self.bn2(self.conv2(hidden)), 0.1)
        return F.max_pool2d(F.leaky_relu(self.bn3(self.conv3(hidden)) + self.downsample(x), 0.1), 2)


class TheirResNet12(nn.Module):
    """MetaOptNet's ResNet-12 with average pooling."""

    def __init__(self) -> None:
        super().__init__()
        for number, (width, out) in enumerate([(3, 64), (64, 160), (160, 320), (320, 640)], start=1):
            self.add_module(f"layer{number}", nn.Sequential(TheirResNetBlock(width, out)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(2, 3))


class TestForeignCheckpoints:
    """S2M2 and closer-look save `{"epoch", "state"}`, with names of DataParallel and of the whole model."""

    def save(self, path: Path, state: dict, *, counters: bool = True) -> Path:
        kept = {name: t for name, t in state.items() if counters or "num_batches" not in name}
        torch.save({"epoch": 399, "state": kept}, path)
        return path

    def test_conv4_of_closer_look(self, tmp_path):
        layers = nn.Sequential(*[TheirBlock(3 if number == 0 else 64) for number in range(4)])
        model = randomise(
            nn.ModuleDict({"feature": nn.ModuleDict({"trunk": layers}), "classifier": nn.Linear(1600, 200)})
        )
        path = self.save(tmp_path / "399.tar", model.state_dict())
        images = torch.randn(2, 3, 84, 84, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = nn.Sequential(*[layer.trunk for layer in layers])(images).flatten(1)
            torch.testing.assert_close(pretrained.find(path, "conv4", 84).network(images), expected)

    def test_resnet10_of_closer_look_from_before_batches_were_counted(self, tmp_path):
        blocks = [
            TheirSimpleBlock(a, b, s) for a, b, s in [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        ]
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        trunk = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        model = randomise(
            nn.ModuleDict({"feature": nn.ModuleDict({"trunk": trunk}), "classifier": nn.Linear(512, 200)})
        )
        path = self.save(tmp_path / "399.tar", model.state_dict(), counters=False)
        images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            torch.testing.assert_close(pretrained.find(path, "resnet10", 224).network(images), trunk(images))
        with pytest.raises(FsbenchError, match=r"is weight \(64, 3, 7, 7\), needed weight \(64, 3, 3, 3\)"):
            pretrained.find(path, "resnet10", 84)  # has a different stem

    def test_wide_resnet_of_s2m2(self, tmp_path):
        model = randomise(TheirWideResNet())
        state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
        path = self.save(tmp_path / "best.tar", state)
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        backbone = pretrained.find(path, "wrn28-10", 80)
        with torch.inference_mode():
            torch.testing.assert_close(backbone.network(images), model(images))
        assert backbone.transform.name == "resize-92-centre-80-imagenet-1"

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_resnet12_of_metaoptnet(self, prefix, tmp_path, caplog):
        """`{"embedding", "head"}`; the head is a few-shot classifier with one scale."""
        model = randomise(TheirResNet12())
        embedding = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
        assert f"{prefix}layer1.0.conv1.weight" in embedding
        path = tmp_path / "best_model.pth"
        torch.save({"embedding": embedding, "head": {"scale": torch.ones(1)}}, path)
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        backbone = pretrained.find(path, "resnet12", 84)
        assert caplog.messages == [f"fsbench: {path}: only its embedding is read, and head is ignored"]
        with torch.inference_mode():
            torch.testing.assert_close(backbone.network(images), model(images))
        with pytest.raises(FsbenchError, match=r"is weight \(64, 3, 3, 3\), needed .* for blocks.0.0"):
            pretrained.find(path, "wrn28-10", 84)

    def test_an_embedding_alone_is_read_without_a_line(self, tmp_path, caplog):
        torch.save({"embedding": build("conv4", 16).state_dict()}, tmp_path / "x.pth")
        pretrained.find(tmp_path / "x.pth", "conv4", 16)
        assert caplog.messages == []

    def test_code_in_a_file_does_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return Path.touch, (tmp_path / "ran",)

        torch.save({"state": {"a": torch.zeros(1)}, "evil": Evil()}, tmp_path / "evil.tar")
        (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
        for name in ("evil.tar", "evil.pkl"):
            with pytest.raises(FsbenchError, match="holds more than tensors and plain values"):
                pretrained.find(tmp_path / name, "conv4", 84)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_weights_under_fsbenchs_own_names(self, trained, suffix, tmp_path, pixels):
        tensors, _ = checkpoint.read(trained / "best.safetensors")
        path = tmp_path / f"mine{suffix}"
        torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)
        ours, theirs = pretrained.find(trained / "best.safetensors"), pretrained.find(path, "conv4", 16)
        values = [embed(f.network, f.transform, pixels.numpy(), Session(quiet=True)) for f in (ours, theirs)]
        np.testing.assert_array_equal(*values)
        assert ours.dataset == "tiny"
        assert theirs.dataset is None

    @pytest.mark.parametrize("size", [[], ["--image-size", "16"]])
    def test_a_checkpoint_of_fsbench_has_its_own_architecture(self, trained, size, tmp_path, capsys):
        path = str(trained / "best.safetensors")
        assert main(["evaluate", path, "--backbone", "conv4", *size, "--out", str(tmp_path)]) == 2
        assert capsys.readouterr().err == (
            f"fsbench: --backbone conv4: checkpoint {path} of fsbench names its own backbone; "
            "leave out --backbone and --image-size\n"
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda w: w.pop("blocks.3.0.bias"), r"blocks.3.1.weight is weight \(64,\), needed bias \(64,\)"),
            (lambda w: w.update({"more": torch.zeros(3, 3, 1, 1)}), "more is not part of it"),
            (
                lambda w: w.update({"blocks.3.0.bias": torch.zeros(9)}),
                r"blocks.3.0.bias is \(9,\), needed \(64,\)",
            ),
        ],
    )
    def test_other_networks_are_refused(self, change, message, tmp_path):
        weights = dict(build("conv4", 84).state_dict())
        change(weights)
        torch.save(weights, tmp_path / "x.pth")
        with pytest.raises(FsbenchError, match=message):
            pretrained.find(tmp_path / "x.pth", "conv4", 84)

    @pytest.mark.parametrize(
        ("write", "architecture", "size", "message"),
        [
            (
                lambda p: p.write_bytes(b"PK\x03\x04torn"),
                "conv4",
                84,
                "damaged, or not a torch file|holds more than",
            ),
            (lambda p: torch.save({"epoch": 3}, p), "conv4", 84, "must hold tensors by name"),
            (lambda p: torch.save([1], p), "conv4", 84, "must hold tensors by name"),
            (lambda p: None, "conv4", 84, "cannot read .*x.pth: no such file"),
            (lambda p: None, "conv4", None, "--image-size is missing: conv4 takes images of any size"),
            (lambda p: None, "conv5", 84, "unknown backbone 'conv5'; choose conv4, resnet10"),
            (
                lambda p: None,
                SMALL,
                84,
                "--image-size 84: the input size of timm:test_vit.r160_in1k is fixed",
            ),
        ],
    )
    def test_bad_files_give_one_line(self, write, architecture, size, message, tmp_path):
        write(tmp_path / "x.pth")
        with pytest.raises(FsbenchError, match=message):
            pretrained.find(tmp_path / "x.pth", architecture, size)


MINE = """
import torch
from torch import nn
from fsbench.models.pretrained.transform import resize_crop, Transform

def pooled():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())

def sized():
    return pooled(), 16

def transformed():
    return pooled(), Transform("plain", 16, lambda pixels: pixels.permute(0, 3, 1, 2) / 255)

def pretrained():
    return pooled(), 16, "imagenet-1k"

def pretrained_elsewhere():
    return pooled(), 16, "street-signs"

def wrong():
    return "a backbone"

def failing():
    return nn.Linear(3)

def flat():
    return nn.Identity(), 16

a_number = 3
"""


class TestFunctions:
    @pytest.fixture
    def mine(self, tmp_path: Path) -> Path:
        (tmp_path / "mine.py").write_text(MINE)
        return tmp_path / "mine.py"

    def test_a_module_and_a_size(self, mine, pixels):
        backbone = pretrained.find(f"{mine}:sized")
        expected = F.adaptive_avg_pool2d(eval_transform(pixels, 16), 2).flatten(1)
        values = embed(backbone.network, backbone.transform, pixels.numpy(), Session(quiet=True))
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
        assert (backbone.model.backbone, backbone.model.image_size) == ("mine.sized", 16)
        assert backbone.model.run == f"mine.sized-{backbone.model.checkpoint[:8]}"

    def test_a_module_without_a_size_uses_that_of_the_command(self, mine):
        assert pretrained.find(f"{mine}:pooled", image_size=16).transform.name == standard_transform(16).name
        with pytest.raises(FsbenchError, match="must return a torch module"):
            pretrained.find(f"{mine}:pooled")

    def test_a_module_and_a_transform(self, mine, pixels):
        backbone = pretrained.find(f"{mine}:transformed")
        values = embed(backbone.network, backbone.transform, pixels.numpy(), Session(quiet=True))
        expected = (
            pixels.double().view(2, 2, 48, 2, 48, 3).mean(dim=(2, 4)).permute(0, 3, 1, 2).flatten(1) / 255
        )
        np.testing.assert_allclose(values, expected, rtol=1e-5)

    def test_in_a_package(self, mine, monkeypatch):
        (mine.parent / "a_package_of_mine").mkdir()
        mine.rename(mine.parent / "a_package_of_mine" / "models.py")
        monkeypatch.syspath_prepend(mine.parent)
        assert pretrained.find("a_package_of_mine.models:sized").transform.size == 16

    def test_the_declared_pretraining_data_set_is_the_source(self, mine):
        backbone = pretrained.find(f"{mine}:pretrained")
        assert backbone.seen == overlap.imagenet_1k()
        assert (backbone.model.source, backbone.model.source_classes) == ("imagenet-1k", 1000)
        elsewhere = pretrained.find(f"{mine}:pretrained_elsewhere")
        assert elsewhere.seen == overlap.Seen("street-signs", None)
        assert (elsewhere.model.source, elsewhere.model.source_classes) == (
            "street-signs",
            None,
        )

    def test_other_code_is_another_backbone(self, mine):
        before = pretrained.find(f"{mine}:sized").model.checkpoint
        assert pretrained.find(f"{mine}:sized").model.checkpoint == before
        mine.write_text(MINE.replace("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"))
        assert pretrained.find(f"{mine}:sized").model.checkpoint != before

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("wrong", "must return a torch module.* but returned str"),
            ("failing", r"TypeError: .*missing 1 required.* \(mine.py, line \d+\)"),
            ("a_number", "must be a function, but is int"),
            ("absent", "mine.py does not define absent"),
        ],
    )
    def test_invalid_backbones_give_one_line(self, mine, name, message):
        with pytest.raises(FsbenchError, match=message):
            pretrained.find(f"{mine}:{name}")

    def test_invalid_features_give_one_line(self, mine, pixels):
        backbone = pretrained.find(f"{mine}:flat")
        with pytest.raises(
            FsbenchError, match=r"must return features \(2, d\), but returned \(2, 3, 16, 16\)"
        ):
            embed(backbone.network, backbone.transform, pixels.numpy(), Session(quiet=True))


class TestKeys:
    def test_features_are_keyed_by_weights_and_transform(self, cache, tmp_path):
        made = {}
        for seed in (0, 1):
            torch.save(build("conv4", 16, seed=seed).state_dict(), tmp_path / "same.pth")
            for size in (16, 32):
                if size == 32:
                    torch.save(build("conv4", 32, seed=seed).state_dict(), tmp_path / "same.pth")
                backbone = pretrained.find(tmp_path / "same.pth", "conv4", size)
                path, features = extract_features(
                    backbone, "tiny", "novel", session=Session(cache, quiet=True)
                )
                made[path] = features.digest
                assert store.read(path).origin.transform == standard_transform(size).name
        assert len(made) == len(set(made.values())) == 4

    def test_equal_weights_in_two_files_have_one_key(self, tmp_path):
        weights = build("conv4", 16).state_dict()
        torch.save(weights, tmp_path / "a.pth")
        save_file(weights, tmp_path / "b.safetensors")
        first, second = (
            pretrained.find(tmp_path / name, "conv4", 16).model.checkpoint
            for name in ("a.pth", "b.safetensors")
        )
        assert first == second

    def test_a_checkpoint_of_fsbench_is_keyed_by_its_file(self, trained):
        path = trained / "best.safetensors"
        assert pretrained.find(path).model.checkpoint == hashlib.sha256(path.read_bytes()).hexdigest()


class TestSeen:
    def test_all_classes_of_mini_and_tiered_imagenet_are_in_imagenet(self):
        from fsbench.data.class_lists import class_list

        for dataset in ("mini-imagenet", "tiered-imagenet"):
            names = class_list(dataset)["novel"]
            assert overlap.overlap(overlap.imagenet_1k(), names) == tuple(names)

    def test_synsets_have_their_names(self):
        classes = overlap.imagenet_1k().classes
        theirs = timm.data.ImageNetInfo("imagenet-1k").label_descriptions(as_dict=True)
        assert list(classes) == list(theirs)
        differ = [wordnet for wordnet in classes if classes[wordnet] not in theirs[wordnet]]
        assert differ == ["n02012849", "n03710721"]  # crane bird, maillot tank suit: torchvision says more

    @pytest.mark.parametrize(
        ("name", "is_seen"),
        [
            ("n01530575", True),  # brambling
            ("n99999999", False),
            ("chimpanzee", True),
            ("lawn_mower", True),
            ("sweet_pepper", False),
            ("whale", True),  # grey whale, killer whale
            ("014.Indigo_Bunting", True),
            ("001.Black_footed_Albatross", True),
            ("092.Nighthawk", False),
            ("rat", False),  # not the end of a word
        ],
    )
    def test_classes_are_compared_by_id_and_by_word(self, name, is_seen):
        assert bool(overlap.overlap(overlap.imagenet_1k(), [name])) is is_seen

    def test_cub_has_its_own_warning(self):
        text = overlap.text(overlap.imagenet_1k(), "cub", ["076.Dark_eyed_Junco", "092.Nighthawk"])
        assert text == (
            "pretrained on imagenet-1k, which contains 1 of the 2 classes (for example 076.Dark_eyed_Junco); "
            "some images of CUB are part of ImageNet"
        )

    @pytest.mark.parametrize(
        ("tag", "n_classes", "source"),
        [
            (".a1_in1k", 1000, "imagenet-1k"),
            (".augreg_in21k_ft_in1k", 1000, "imagenet-21k-goog and imagenet-1k"),
            (".augreg_in21k", 21843, "imagenet-21k-goog"),
            ("", 1000, "imagenet-1k"),
            (".lvd142m", 0, "lvd142m"),
        ],
    )
    def test_tags_of_timm_determine_the_seen_classes(self, tag, n_classes, source):
        seen = pretrained.libraries._seen_by(tag, n_classes)
        assert seen.source == source
        assert (seen.classes is None) == (tag == ".lvd142m")

    def test_unknown_pretraining_gives_a_warning(self):
        seen = pretrained.libraries._seen_by(".lvd142m", 0)
        assert overlap.text(seen, "tiny", ["a"]) == "pretrained on lvd142m, whose classes are unknown"

    def test_unseen_classes_give_no_warning(self):
        assert overlap.text(overlap.imagenet_1k(), "tiny", ["novel-1"]) == ""


def test_evaluate_from_the_command_line(vit, tmp_path, capsys, caplog, monkeypatch):
    """Class names that ImageNet has: a warning, and a line in the result."""
    from fsbench.data.preparation import prepare

    rng = np.random.default_rng(0)
    for name in ("n01530575", "n01614925", "goldfish", "mine", "yours"):
        (tmp_path / "images" / "novel" / name).mkdir(parents=True)
        for item in range(4):
            image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            image.save(tmp_path / "images" / "novel" / name / f"{item}.png")
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
    prepare("birds", tmp_path / "images", quiet=True)
    command = [
        "evaluate", str(vit[1]), "--backbone", SMALL, "--dataset", "birds", "--n-shot", "1", "--n-query", "3",
        "--n-tasks", "20", "--head", "nearest-mean", "--out", str(tmp_path / "results"), "--quiet", "--json",
    ]  # fmt: skip
    for _ in range(2):  # features are extracted, then read
        caplog.clear()
        assert main(command) == 0
        (result,) = json.loads(capsys.readouterr().out)
        assert result["backbone"] == SMALL
        assert result["transform"] == "resize-168-bicubic-centre-160-0.5-0.5-0.5-0.5-0.5-0.5-1"
        assert (result["source"], result["source_classes"]) == ("imagenet-1k", 1000)
        seen = (
            r"pretrained on imagenet-1k, which contains 3 of the 5 classes "
            r"\(for example (goldfish|n01530575|n01614925)\)"
        )
        assert re.fullmatch(seen, result["seen"])
        enlarged, warning = caplog.messages
        assert "images are stored at 16 px, but" in enlarged
        assert warning.endswith(f"on birds novel: {result['seen']}")
    assert main([*command[:4], *command[6:]]) == 2
    assert "was not trained on a data set of fsbench; name one with --dataset" in capsys.readouterr().err
    assert main(["evaluate", str(vit[1]), "--dataset", "birds"]) == 2
    assert "for other weights, add --backbone NAME" in capsys.readouterr().err


def test_base_features_come_from_a_file_of_the_same_backbone(cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FSBENCH_CACHE", str(cache))
    (tmp_path / "mine.py").write_text(MINE)
    subject, base = f"{tmp_path / 'mine.py'}:sized", str(tmp_path / "base.h5")
    command = ["--dataset", "tiny", "--preprocess", "cl2n", "--n-shot", "1", "--n-tasks", "20", "--quiet"]
    command += ["--out", str(tmp_path / "results"), "--head", "nearest-mean"]
    assert main(["evaluate", subject, *command]) == 2
    assert "needs base features; name them with --base FILE" in capsys.readouterr().err
    assert main(["extract", subject, "--dataset", "tiny", "--split", "base", "--out", base, "--quiet"]) == 0
    assert main(["evaluate", subject, *command, "--base", base]) == 0
    other = f"{tmp_path / 'mine.py'}:transformed"
    assert main(["evaluate", other, *command, "--base", base]) == 2
    assert "its features come from another checkpoint" in capsys.readouterr().err
