"""ResNet-10 and ResNet-18 of two-convolution blocks, ResNet-12 of three-convolution blocks.

All end in global average pooling, so every image size works.
"""

from itertools import pairwise

from torch import Tensor, nn

_LARGE = 112  # ResNet-10 and ResNet-18 use the ImageNet stem for images of at least this size


def resnet10(image_size: int, dropout: float) -> tuple[nn.Sequential, nn.Module, int]:
    """Build ResNet-10 of CloserLookFewShot's code: one two-convolution block per stage."""
    return _resnet(image_size, dropout, blocks_per_stage=1)


def resnet18(image_size: int, dropout: float) -> tuple[nn.Sequential, nn.Module, int]:
    """Build ResNet-18: two two-convolution blocks per stage."""
    return _resnet(image_size, dropout, blocks_per_stage=2)


def resnet12(image_size: int, dropout: float) -> tuple[nn.Sequential, nn.Module, int]:
    """Build ResNet-12 of MetaOptNet (arXiv:1904.03758, section 4.1); plain dropout replaces DropBlock."""
    widths = (3, 64, 160, 320, 640)
    stages = [_WideBlock(c_in, c_out, dropout) for c_in, c_out in pairwise(widths)]
    return nn.Sequential(*stages), _pool(), widths[-1]


def _resnet(image_size: int, dropout: float, blocks_per_stage: int) -> tuple[nn.Sequential, nn.Module, int]:
    """Build a stem and four stages of 64 to 512 channels; the stem belongs to the first block.

    Images below 112 px get a 3x3 stem of stride 1 without pooling, as in PT-MAP's code for S2M2: the ImageNet
    stem would leave one pixel of a 32 px image.
    """
    assert dropout == 0
    if image_size >= _LARGE:
        stem = [*_conv_norm(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    else:
        stem = [*_conv_norm(3, 64, 3), nn.ReLU()]
    stages: list[nn.Module] = []
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        layers: list[nn.Module] = list(stem) if stage == 0 else []
        for block in range(blocks_per_stage):
            layers.append(_BasicBlock(channels, width, stride=2 if stage > 0 and block == 0 else 1))
            channels = width
        stages.append(nn.Sequential(*layers))
    return nn.Sequential(*stages), _pool(), channels


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_norm(channels_in, channels, 3, stride), nn.ReLU(), *_conv_norm(channels, channels, 3)
        )
        same = channels_in == channels and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*_conv_norm(channels_in, channels, 1, stride))
        )
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.activation(self.body(images) + self.shortcut(images))
        return hidden


class _WideBlock(nn.Module):
    """Three 3x3 convolutions beside a 1x1 shortcut, leaky ReLU of slope 0.1, then 2x2 max pooling."""

    def __init__(self, channels_in: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_norm(channels_in, channels, 3),
            nn.LeakyReLU(0.1),
            *_conv_norm(channels, channels, 3),
            nn.LeakyReLU(0.1),
            *_conv_norm(channels, channels, 3),
        )
        self.shortcut = nn.Sequential(*_conv_norm(channels_in, channels, 1))
        self.end = nn.Sequential(nn.MaxPool2d(2), nn.LeakyReLU(0.1), nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.end(self.body(images) + self.shortcut(images))
        return hidden


def _conv_norm(channels_in: int, channels: int, kernel: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """Build a convolution that keeps the size (at stride 1) and its batch norm, which replaces a bias."""
    conv = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(channels)


def _pool() -> nn.Sequential:
    """Build global average pooling."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
