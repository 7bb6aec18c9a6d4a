"""Backbones: from images to features, as a row of blocks between which hidden features can be mixed.

Every backbone is a `Backbone` of blocks and a tail. Its mixing points are 0 (the images), 1 (after the first
block) up to the number of blocks (after the last one, before the tail).
"""

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
    """How a backbone is built and what it can take."""

    make: Callable[[int, float], tuple[nn.Sequential, nn.Module, int]]  # -> blocks, tail, feature_dim
    paper: str
    smallest: int  # image size below which nothing is left of an image
    dropout: float | None = None  # unless a recipe names another; None: the network has no place for it


BACKBONES: dict[str, Architecture] = {
    "conv4": Architecture(conv4, "Vinyals et al., arXiv:1606.04080", smallest=16),
    "resnet10": Architecture(resnet10, "Chen et al., arXiv:1904.04232", smallest=8),
    "resnet12": Architecture(resnet12, "Lee et al., arXiv:1904.03758", smallest=16, dropout=0.0),
    "resnet18": Architecture(resnet18, "He et al., arXiv:1512.03385", smallest=8),
    "wrn28-10": Architecture(wrn28_10, "Zagoruyko and Komodakis, arXiv:1605.07146", smallest=8, dropout=0.5),
}


class Backbone(nn.Module):
    """Blocks and a tail; features are (b, feature_dim)."""

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
        self.share = ALONE  # of each batch, when several processes train together

    @property
    def mixing_points(self) -> range:
        """The depths at which hidden features can be mixed: 0 is the input, k is after block k."""
        return range(len(self.blocks) + 1)

    def forward(self, images: Tensor, depth: int | None = None, mix: Mix | None = None) -> Tensor:
        """Features (b, feature_dim) of images (b, 3, s, s), with `mix` applied at one mixing point."""
        hidden = self.share.mine(images)
        for point in self.mixing_points:
            if mix and point == depth:
                hidden = self.share.mine(mix(self.share.whole(hidden, len(images))))
            hidden = self.blocks[point](hidden) if point < len(self.blocks) else self.tail(hidden)
        return self.share.whole(hidden, len(images))


def build(name: str, image_size: int, dropout: float | None = None, seed: int = 0) -> Backbone:
    """An untrained backbone for square images of `image_size` pixels, its weights drawn from `seed`.

    Convolutions start normal with variance 2 / fan-out (He et al., arXiv:1502.01852).

    Raises:
        FsbenchError: unknown name, images too small for it, or dropout where it has none.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    architecture = BACKBONES[name]
    if image_size < architecture.smallest:
        raise FsbenchError(
            f"image_size must be at least {architecture.smallest} for {name}, but is {image_size}"
        )
    if dropout and architecture.dropout is None:
        raise FsbenchError(f"dropout must be 0 for {name}, which has no place for it, but is {dropout}")
    rate = (architecture.dropout or 0.0) if dropout is None else dropout
    with torch.random.fork_rng(devices=[]):  # layers draw from the global stream before they are drawn again
        blocks, tail, feature_dim = architecture.make(image_size, rate)
    backbone = Backbone(name, image_size, rate, blocks, tail, feature_dim)
    generator = torch.Generator().manual_seed(seed)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return backbone
