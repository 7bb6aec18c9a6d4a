"""Transforms from stored pixels to the input of a backbone; their names are part of the key of features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fsbench.data.augment import MEAN, STD, eval_transform, resized, transform_name


@dataclass(frozen=True)
class Transform:
    """Transform from pixels (b, h, w, 3) uint8 to images (b, 3, size, size) float32 on the same device.

    Attributes:
        name: Name of the transform; different transforms have different names.
        size: Side of the images, in pixels.
        apply: The transform.
        resize: Side to which images are resized before the crop, in pixels; None: unknown.
    """

    name: str
    size: int
    apply: Callable[[Tensor], Tensor]
    resize: int | None = None

    @property
    def stored(self) -> int:
        """Side in pixels at which images should be stored, so that they need not be resized twice."""
        return self.resize or resized(self.size)


def standard_transform(size: int) -> Transform:
    """Return the evaluation transform of the backbones of fsbench for images of `size` pixels."""
    return Transform(transform_name(size), size, partial(eval_transform, size=size), resized(size))


def resize_crop(
    resize: int,
    size: int,
    interpolation: str = "bilinear",
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> Transform:
    """Make the common transform of timm and torchvision: resize, cut out the centre, normalise.

    Pixels are resized as uint8 with antialiasing; a few differ by two grey levels from those of Pillow.

    Args:
        resize: Side to which images are resized, in pixels.
        size: Side of the centre that is cut out, in pixels.
        interpolation: `nearest`, `bilinear` or `bicubic`.
        mean: Mean of each channel, of values in 0 to 1.
        std: Standard deviation of each channel.

    Returns:
        The transform.
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
    """Resize, crop and normalise pixels (b, h, w, 3); returns images (b, 3, size, size)."""
    from torchvision.transforms.v2 import functional as F  # here, since the import takes a second

    images = pixels.permute(0, 3, 1, 2)
    images = F.resize(images, [resize, resize], F.InterpolationMode(interpolation), antialias=True)
    images = F.to_dtype(F.center_crop(images, [size, size]), torch.float32, scale=True)
    normalised: Tensor = F.normalize(images, list(mean), list(std))
    return normalised.contiguous(memory_format=torch.channels_last)
