"""Backbones: networks from images to features, built of blocks between which hidden features can be mixed.

Every backbone is a `Backbone` of blocks and a tail. Its mixing points are 0 (the images), 1 (after the first
block) up to the number of blocks (after the last block, before the tail).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fsbench._util.distributed import ALONE
from fsbench._util.errors import FsbenchError, unknown
from fsbench.models.conv4 import conv4
from fsbench.models.resnet import resnet10, resnet12, resnet18
from fsbench.models.wide_resnet import wrn28_10

Mix = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Architecture:
    """The builder of a backbone, and the limits of its settings.

    Attributes:
        make: Builder `(image_size, dropout) -> (blocks, tail, feature_dim)`.
        paper: Authors and arXiv number.
        smallest: Smallest image size in pixels; pooling would leave nothing of smaller images.
        dropout: Default dropout probability, in [0, 1). None: the architecture does not support dropout.
    """

    make: Callable[[int, float], tuple[nn.Sequential, nn.Module, int]]
    paper: str
    smallest: int
    dropout: float | None = None


BACKBONES: dict[str, Architecture] = {
    "conv4": Architecture(conv4, "Vinyals et al., arXiv:1606.04080", smallest=16),
    "resnet10": Architecture(resnet10, "Chen et al., arXiv:1904.04232", smallest=8),
    "resnet12": Architecture(resnet12, "Lee et al., arXiv:1904.03758", smallest=16, dropout=0.0),
    "resnet18": Architecture(resnet18, "He et al., arXiv:1512.03385", smallest=8),
    "wrn28-10": Architecture(wrn28_10, "Zagoruyko and Komodakis, arXiv:1605.07146", smallest=8, dropout=0.5),
}


class Backbone(nn.Module):
    """A network from images (b, 3, s, s) to features (b, feature_dim).

    When several processes train together, each computes its rows of a batch: see `distributed`.

    Args:
        name: Key of `BACKBONES`, or any name for a network that is not stored.
        image_size: Side of its images in pixels.
        dropout: Dropout probability of its layers, in [0, 1).
        blocks: Blocks (b, 3, s, s) -> (b, c, h, w); features can be mixed before and after each.
        tail: Module (b, c, h, w) -> (b, feature_dim).
        feature_dim: Number of features.
    """

    def __init__(
        self,
        name: str,
        image_size: int,
        dropout: float,
        blocks: nn.Sequential,
        tail: nn.Module,
        feature_dim: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.dropout = dropout
        self.blocks = blocks
        self.tail = tail
        self.feature_dim = feature_dim
        self.distributed = ALONE  # rank and number of the processes that share each batch

    @property
    def mixing_points(self) -> range:
        """Depths at which hidden features can be mixed: 0 is the input, k is after block k."""
        return range(len(self.blocks) + 1)

    def forward(self, images: Tensor, depth: int | None = None, mix: Mix | None = None) -> Tensor:
        """Compute the features of a batch, optionally mixed at one depth.

        Args:
            images: Normalised images, (b, 3, s, s).
            depth: Mixing point at which `mix` is applied.
            mix: Function from hidden features (b, ...) of the whole batch to mixed ones of the same shape.

        Returns:
            Features, (b, feature_dim).
        """
        hidden = self.distributed.mine(images)
        for point in self.mixing_points:
            if mix and point == depth:
                hidden = self.distributed.mine(mix(self.distributed.whole(hidden, len(images))))
            hidden = self.blocks[point](hidden) if point < len(self.blocks) else self.tail(hidden)
        return self.distributed.whole(hidden, len(images))


def build(name: str, image_size: int, dropout: float | None = None, seed: int = 0) -> Backbone:
    """Build an untrained backbone for square images.

    Args:
        name: Key of `BACKBONES`, such as "conv4" or "resnet12".
        image_size: Side of the images in pixels.
        dropout: Dropout probability, in [0, 1). Default: that of the architecture.
        seed: Seed of the initial weights.

    Returns:
        The backbone in training mode. Convolutions start normal with variance 2 / fan-out.

    Raises:
        FsbenchError: The name is unknown, the images are too small, or the architecture does not support
            dropout.

    Source:
        He et al., arXiv:1502.01852, equation 14 (initial weights).

    Example:
        >>> backbone = build("conv4", image_size=32)
        >>> backbone(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 256])
    """
    if name not in BACKBONES:
        raise unknown_backbone(name)
    architecture = BACKBONES[name]
    if image_size < architecture.smallest:
        raise FsbenchError(
            f"image_size must be at least {architecture.smallest} for {name}, but is {image_size}"
        )
    if dropout and architecture.dropout is None:
        raise FsbenchError(f"{name} does not support dropout (got {dropout})")
    rate = (architecture.dropout or 0.0) if dropout is None else dropout
    with torch.random.fork_rng(devices=[]):  # layers draw initial weights that are replaced below
        blocks, tail, feature_dim = architecture.make(image_size, rate)
    backbone = Backbone(name, image_size, rate, blocks, tail, feature_dim)
    generator = torch.Generator().manual_seed(seed)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return backbone


def unknown_backbone(name: str) -> FsbenchError:
    """Return the error for an unknown backbone.

    Another depth, such as that of resnet50, is another network and no typing mistake, so no similar name is
    suggested for it.

    Args:
        name: The unknown name.
    """
    family, depth = (re.sub(other, "", name.lower()) for other in ("[^a-z]", "[^0-9]"))
    depths = [re.sub("[^0-9]", "", key) for key in BACKBONES if re.sub("[^a-z]", "", key) == family]
    if depths and not any(other.startswith(depth) for other in depths):
        return FsbenchError(f"unknown backbone {name!r}; choose {', '.join(BACKBONES)}")
    return unknown("backbone", name, BACKBONES)
