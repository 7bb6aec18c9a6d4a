"""From stored pixels to what a backbone takes; the name of a transform is a part of the key of features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fsbench.data.augment import MEAN, STD, eval_transform, resized, transform_name


@dataclass(frozen=True)
class Transform:
    """Pixels (b, h, w, 3) uint8 to images (b, 3, size, size) float32, on their device."""

    name: str  # another name for whatever gives other images
    size: int  # pixels
    apply: Callable[[Tensor], Tensor]
    resize: int | None = None  # pixels to which images are resized before the crop; None: not known

    @property
    def stored(self) -> int:
        """Side of the squares to store images as, in pixels: neither resized again nor enlarged."""
        return self.resize or resized(self.size)


def usual(size: int) -> Transform:
    """The evaluation transform of fsbench's own backbones."""
    return Transform(transform_name(size), size, partial(eval_transform, size=size), resized(size))


def resize_crop(
    resize: int,
    size: int,
    interpolation: str = "bilinear",
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> Transform:
    """Resize squares to `resize` pixels, cut `size` out of the centre, normalise: as timm and torchvision do.

    `interpolation` is nearest, bilinear or bicubic; channels in 0..1 lose `mean` and are divided by `std`.
    Pixels are resized as uint8 with antialiasing; a few are two grey levels off those of Pillow.
    """
    same = tuple(mean) == MEAN and tuple(std) == STD
    values = "imagenet" if same else "-".join(f"{value:.6g}" for value in (*mean, *std))
    name = f"resize-{resize}-{interpolation}-centre-{size}-{values}-1"
    apply = partial(
        _resize_crop, resize=resize, size=size, interpolation=interpolation, mean=tuple(mean), std=tuple(std)
    )
    return Transform(name, size, apply, resize)


def _resize_crop(
    pixels: Tensor,
    *,
    resize: int,
    size: int,
    interpolation: str,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    from torchvision.transforms.v2 import functional as F  # takes a second, and few need it

    images = pixels.permute(0, 3, 1, 2)
    images = F.resize(images, [resize, resize], F.InterpolationMode(interpolation), antialias=True)
    images = F.to_dtype(F.center_crop(images, [size, size]), torch.float32, scale=True)
    found: Tensor = F.normalize(images, list(mean), list(std))
    return found.contiguous(memory_format=torch.channels_last)
