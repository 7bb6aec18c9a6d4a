"""WRN-28-10: three groups of four pre-activation blocks, 160, 320 and 640 channels wide."""

from torch import Tensor, nn

_WIDTHS = (160, 320, 640)
_BLOCKS_PER_GROUP = 4


def wrn28_10(image_size: int, dropout: float) -> tuple[nn.Sequential, nn.Module, int]:
    """Build blocks and tail of a network with 640 features.

    The mixing points are those of S2M2's code: the input and the end of each group. The last one is before
    the final batch norm and ReLU, which are part of the tail.
    """
    groups: list[nn.Module] = []
    channels = 16
    for index, width in enumerate(_WIDTHS):
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)] if index == 0 else []
        for block in range(_BLOCKS_PER_GROUP):
            layers.append(_PreActivationBlock(channels, width, 2 if index > 0 and block == 0 else 1, dropout))
            channels = width
        groups.append(nn.Sequential(*layers))
    tail = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*groups), tail, channels


class _PreActivationBlock(nn.Module):
    """Batch norm and ReLU before each of two 3x3 convolutions, dropout between them, beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.start = nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )
        self.shortcut = (
            nn.Conv2d(channels_in, channels, 1, stride, bias=False) if channels_in != channels else None
        )

    def forward(self, images: Tensor) -> Tensor:
        """Add body and shortcut; where the width changes, both start from the activated input."""
        active = self.start(images)
        body: Tensor = self.body(active)
        return body + (images if self.shortcut is None else self.shortcut(active))
