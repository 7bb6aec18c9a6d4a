"""Transforms for training and evaluation: from batches of uint8 pixels to normalised float tensors.

A random resized crop with flip is one matrix for the rows of an image and one for its columns. A whole batch
is thus two batched matrix products on any device, without a loop over images. On CPUs a compiled kernel
computes the same. Random numbers are drawn on the host, so that every device sees the same crops.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.threads import in_threads

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels
_GREY = (0.299, 0.587, 0.114)  # ITU-R 601-2 luma
_ATTEMPTS = 10  # to draw a crop that fits; then the centre is used


@dataclass(frozen=True)
class Augment:
    """Augmentation: a random resized crop (default, as S2M2) or a padded crop, flip, then colour jitter.

    Attributes:
        scale: Smallest and largest area of a crop relative to the image; None: no resized crop.
        ratio: Smallest and largest width of a crop relative to its height.
        flip: Probability of a horizontal flip.
        jitter: Brightness, contrast and colour are scaled by random factors from 1 - jitter to 1 + jitter.
        padding: Width in pixels of a black border that is added to the image at the size of the network's
            input; a crop of that size is then cut out at random. 0: no padded crop.

    Raises:
        FsbenchError: `padding` is negative, or not 0 while `scale` is not None.
    """

    scale: tuple[float, float] | None = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: float = 0.4
    padding: int = 0

    def __post_init__(self) -> None:
        """Refuse two crops at once."""
        if self.padding < 0:
            raise FsbenchError(f"padding must be at least 0, but is {self.padding}")
        if self.padding and self.scale is not None:
            raise FsbenchError(
                f"padding must be 0 if scale is not None, but is {self.padding}; choose one crop"
            )


OFF = Augment(scale=None, flip=0.0, jitter=0.0)


@dataclass(frozen=True, eq=False)
class Draws:
    """The random choices for each image of a batch."""

    boxes: NDArray[np.int64] | None  # (b, 4) top, left, height and width of its crop; None: the centre
    flipped: NDArray[np.bool_]  # (b,)
    factors: NDArray[np.float32]  # (b, 3) of brightness, contrast and colour
    shifts: NDArray[np.int64] | None = None  # (b, 2) pixels down and right, of its padded crop


def train_augment(pixels: Tensor, size: int, rng: np.random.Generator, augment: Augment) -> Tensor:
    """Augment a batch of images at random and normalise it with ImageNet's mean and deviation.

    Every image has its own random choices. Crop and flip follow torchvision's `RandomResizedCrop`, or
    `RandomCrop` with padding, and `RandomHorizontalFlip`; then brightness, contrast and colour are changed in
    this order.

    Args:
        pixels: RGB images, (b, h, w, 3) uint8.
        size: Side of the returned images in pixels.
        rng: Source of the random choices.
        augment: Strength of the augmentation.

    Returns:
        Images (b, 3, size, size) float32, channels last, on the device of `pixels`.

    Source:
        S2M2 (arXiv:1907.12087): `ImageJitter` of its code.

    Example:
        >>> pixels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        >>> train_augment(pixels, 32, np.random.default_rng(0), Augment()).shape
        torch.Size([2, 3, 32, 32])
    """
    if augment == OFF:
        return eval_transform(pixels, size)
    count, height, width = pixels.shape[:3]
    draws = draw(rng, count, height, width, augment)
    if pixels.device.type == "cpu" and draws.boxes is not None:
        return by_kernel(pixels, size, draws)
    return by_matrices(pixels, size, draws)


def draw(rng: np.random.Generator, count: int, height: int, width: int, augment: Augment) -> Draws:
    """Draw the random choices for `count` images of height x width pixels."""
    boxes, shifts = None, None
    if augment.scale is not None:
        boxes = _crops(rng, count, height, width, augment.scale, augment.ratio)
    elif augment.padding:
        boxes = np.tile(np.array([0, 0, height, width]), (count, 1))
        shifts = rng.integers(-augment.padding, augment.padding, (count, 2), endpoint=True)
    flipped = rng.random(count) < augment.flip
    factors = 1 + augment.jitter * (2 * rng.random((count, 3)) - 1)
    return Draws(boxes, flipped, factors.astype(np.float32), shifts)


def by_matrices(pixels: Tensor, size: int, draws: Draws) -> Tensor:
    """Compute the result of `train_augment` for given draws, on any device."""
    count, height, width = pixels.shape[:3]
    flipped, factors = (torch.from_numpy(x).to(pixels.device) for x in (draws.flipped, draws.factors))
    if draws.boxes is None:
        rows, columns = (
            _centre(length, size, pixels.device).expand(count, -1, -1) for length in (height, width)
        )
    else:
        top, left, tall, wide = torch.from_numpy(draws.boxes.astype(np.float32)).to(pixels.device).unbind(1)
        rows, columns = _resize(top, tall, size, height), _resize(left, wide, size, width)
        if draws.shifts is not None:
            down, right = torch.from_numpy(draws.shifts).to(pixels.device).unbind(1)
            rows, columns = _shifted(rows, down), _shifted(columns, right)
    columns = torch.lerp(columns, columns.flip(1), flipped[:, None, None].float())
    brightness, contrast, colour = factors.unbind(1)
    images = _resample(pixels, rows * brightness[:, None, None], columns).clamp_(0, 1)
    return _normalise(_recoloured(images, contrast, colour))


def by_kernel(pixels: Tensor, size: int, draws: Draws) -> Tensor:
    """Compute the result of `train_augment` for given draws with crops, on as many CPU threads as torch."""
    from fsbench.data._augment_numba import augment_images  # compiles on its first call, 2 s

    assert draws.boxes is not None
    images = torch.empty(len(pixels), size, size, 3)
    grey, mean, std = (np.array(x, np.float32) for x in (_GREY, MEAN, STD))
    shifts = np.zeros((len(pixels), 2), np.int64) if draws.shifts is None else draws.shifts
    in_threads(
        lambda p, boxes, shifts, flips, factors, into: augment_images(
            p, boxes, shifts, flips, factors, grey, mean, std, into
        ),
        pixels.contiguous().numpy(),
        draws.boxes,
        shifts,
        draws.flipped,
        draws.factors,
        images.numpy(),
    )
    return images.permute(0, 3, 1, 2)


def eval_transform(pixels: Tensor, size: int) -> Tensor:
    """Resize and crop images for evaluation and normalise them with ImageNet's mean and deviation.

    Both sides are resized to int(1.15 * size), whatever the aspect ratio, and the centre is cut out.

    Args:
        pixels: RGB images, (b, h, w, 3) uint8.
        size: Side of the returned images in pixels.

    Returns:
        Images (b, 3, size, size) float32, channels last, on the device of `pixels`.

    Source:
        S2M2 (arXiv:1907.12087): evaluation transform of its code.

    Example:
        >>> eval_transform(torch.zeros(2, 96, 96, 3, dtype=torch.uint8), 84).shape
        torch.Size([2, 3, 84, 84])
    """
    rows, columns = (_centre(length, size, pixels.device) for length in pixels.shape[1:3])
    count = len(pixels)
    return _normalise(_resample(pixels, rows.expand(count, -1, -1), columns.expand(count, -1, -1)))


def resized(size: int) -> int:
    """Return the side, in pixels, to which evaluation at `size` pixels resizes images before the crop."""
    return int(1.15 * size)


def transform_name(size: int) -> str:
    """Return the name of the evaluation transform, which is part of the key of features."""
    return f"resize-{resized(size)}-centre-{size}-imagenet-1"


def _crops(
    rng: np.random.Generator,
    count: int,
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> NDArray[np.int64]:
    """Draw top, left, height and width of crops, (count, 4), by the rule of RandomResizedCrop."""
    area = height * width * rng.uniform(*scale, (_ATTEMPTS, count))
    narrow, broad = map(math.log, ratio)
    shape = np.exp(rng.uniform(narrow, broad, (_ATTEMPTS, count)))
    wide, tall = np.rint(np.sqrt(area * shape)), np.rint(np.sqrt(area / shape))
    fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
    first = fits.argmax(axis=0), np.arange(count)
    wide, tall, fits = wide[first], tall[first], fits[first]  # (count,)
    places = rng.random((2, count))
    top, left = np.floor(places[0] * (height - tall + 1)), np.floor(places[1] * (width - wide + 1))
    # If none fits: the largest centred crop whose ratio is in range.
    spare = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
    centred = ((height - spare[0]) // 2, (width - spare[1]) // 2, *spare)
    return np.where(fits, (top, left, tall, wide), np.array(centred)[:, None]).T.astype(np.int64, order="C")


def _resize(start: Tensor, length: Tensor, size: int, full: int) -> Tensor:
    """Return matrices (b, size, full) that resize `length` pixels, beginning at `start`, to `size` pixels.

    Bilinear with antialiasing as in Pillow and torchvision: the filter is a triangle as wide as an output
    pixel, at least one input pixel, cut off at the crop's edges.
    """
    step = (length / size)[:, None, None]  # (b, 1, 1) input pixels per output pixel
    reach = step.clamp(min=1)
    centres = (torch.arange(size, device=start.device)[:, None] + 0.5) * step / reach  # (b, size, 1)
    places = torch.arange(full, device=start.device) + 0.5 - start[:, None, None]  # (b, 1, full)
    inside = (places > 0) & (places < length[:, None, None])
    places = torch.where(inside, places / reach, torch.inf)  # zero weight for pixels outside
    weights = (places - centres).abs_().neg_().add_(1).clamp_(min=0)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _shifted(matrices: Tensor, shifts: Tensor) -> Tensor:
    """Move the rows of matrices (b, size, full) up by shifts (b,); rows from outside are 0: black."""
    size = matrices.shape[1]
    sources = torch.arange(size, device=matrices.device) + shifts[:, None]  # (b, size)
    inside = (sources >= 0) & (sources < size)
    index = sources.clamp(0, size - 1)[:, :, None].expand_as(matrices)
    return matrices.gather(1, index) * inside[:, :, None]


def _centre(length: int, size: int, device: torch.device) -> Tensor:
    """Return the matrix (1, size, length) that resizes to int(1.15 * size) and cuts out the centre."""
    larger = resized(size)
    whole = _resize(
        torch.zeros(1, device=device), torch.full((1,), float(length), device=device), larger, length
    )
    first = round((larger - size) / 2)
    return whole[:, first : first + size]


def _resample(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply row (b, s, h) and column matrices (b, s, w) to pixels (b, h, w, 3): (b, 3, s, s) in 0..1."""
    count, height, width = pixels.shape[:3]
    size = rows.shape[1]
    flat = torch.bmm(rows / 255, pixels.reshape(count, height, 3 * width).float())
    planes = flat.view(count, size, width, 3).permute(0, 3, 1, 2).reshape(count, 3 * size, width)
    return torch.bmm(planes, columns.mT).view(count, 3, size, -1)


def _recoloured(images: Tensor, contrast: Tensor, colour: Tensor) -> Tensor:
    """Scale contrast and colour (b,) of images (b, 3, s, s) in 0..1; the images are overwritten.

    Contrast moves every value away from the mean luma of its image. Colour moves the channels of a pixel away
    from its luma, which is one matrix (3, 3) per image.
    """
    count = len(images)
    grey = torch.tensor(_GREY, device=images.device)
    level = images.mean(dim=(2, 3)) @ grey  # (b,)
    images.view(count, -1).mul_(contrast[:, None]).add_((level * (1 - contrast))[:, None]).clamp_(0, 1)
    matrix = colour[:, None, None] * torch.eye(3, device=images.device) + (1 - colour)[:, None, None] * grey
    return (matrix @ images.view(count, 3, -1)).clamp_(0, 1).view_as(images)


def _normalise(images: Tensor) -> Tensor:
    """Normalise images (b, 3, s, s) in 0..1 by ImageNet's mean and deviation; they are overwritten."""
    mean, std = (torch.tensor(x, device=images.device)[:, None, None] for x in (MEAN, STD))
    return images.sub_(mean).mul_(1 / std).contiguous(memory_format=torch.channels_last)
