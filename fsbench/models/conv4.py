"""Conv4: four blocks of a 3x3 convolution with 64 channels, batch norm, ReLU and 2x2 max pooling."""

from torch import nn

_CHANNELS = 64


def conv4(image_size: int, dropout: float) -> tuple[nn.Sequential, nn.Module, int]:
    """Build blocks and tail; the features are the flattened last map (1600 at 80 and 84 px)."""
    assert dropout == 0
    blocks = nn.Sequential(_block(3), _block(_CHANNELS), _block(_CHANNELS), _block(_CHANNELS))
    return blocks, nn.Flatten(), _CHANNELS * (image_size // 16) ** 2


def _block(channels_in: int) -> nn.Sequential:
    """Build one block. ReLU follows the pooling: the result is the same, at a quarter of the work."""
    return nn.Sequential(
        nn.Conv2d(channels_in, _CHANNELS, 3, padding=1),
        nn.BatchNorm2d(_CHANNELS),
        nn.MaxPool2d(2),
        nn.ReLU(),
    )
