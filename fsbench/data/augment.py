"""Images for training and for evaluation: batches of uint8 pixels in, normalised float tensors out.

A random resized crop with flip is, for each image, one matrix for its rows and one for its columns, so that a
whole batch is two batched matrix products on whatever device it lies on, with no loop over images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the field's code has them
_GREY = (0.299, 0.587, 0.114)  # ITU-R 601-2 luma
_ATTEMPTS = 10  # at a crop that fits, before the centre is taken


@dataclass(frozen=True)
class Augment:
    """Augmentation of S2M2 and closer-look: random resized crop, flip, then colour jitter."""

    scale: tuple[float, float] | None = (0.08, 1.0)  # area of a crop as a share of the image; None: no crop
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width by height of a crop
    flip: float = 0.5  # probability
    jitter: float = 0.4  # brightness, contrast and colour are scaled by 1 - jitter to 1 + jitter


OFF = Augment(scale=None, flip=0.0, jitter=0.0)


def train_augment(pixels: Tensor, size: int, generator: torch.Generator, augment: Augment) -> Tensor:
    """Augmented images (b, 3, size, size) float32 of pixels (b, h, w, 3) uint8, normalised, channels last.

    Every image has its own draws. Crop and flip follow torchvision's `RandomResizedCrop` and
    `RandomHorizontalFlip`; brightness, contrast and colour are changed in this order, as S2M2's ImageJitter.
    """
    count, height, width = pixels.shape[:3]
    if augment.scale is None:
        rows, columns = (
            _centre(length, size, pixels.device).expand(count, -1, -1) for length in (height, width)
        )
    else:
        top, left, tall, wide = _crops(count, height, width, augment, generator)
        rows, columns = _resize(top, tall, size, height), _resize(left, wide, size, width)
    if augment.flip > 0:
        flipped = _uniform(generator, count) < augment.flip
        columns = torch.where(flipped[:, None, None], columns.flip(1), columns)
    images = _resample(pixels, rows, columns)
    if augment.jitter > 0:
        factors = 1 + augment.jitter * (2 * _uniform(generator, 3, count) - 1)
        images = _jitter(images, factors)
    return _normalise(images)


def eval_transform(pixels: Tensor, size: int) -> Tensor:
    """Images (b, 3, size, size) float32 of pixels (b, h, w, 3) uint8, as S2M2 evaluates them.

    Both sides are resized to int(1.15 * size), whatever the aspect ratio, and the centre is cut out.
    """
    rows, columns = (_centre(length, size, pixels.device) for length in pixels.shape[1:3])
    count = len(pixels)
    return _normalise(_resample(pixels, rows.expand(count, -1, -1), columns.expand(count, -1, -1)))


def transform_name(size: int) -> str:
    """The name of the evaluation transform, a part of the key of features."""
    return f"resize-{int(1.15 * size)}-centre-{size}-imagenet-1"


def _crops(
    count: int, height: int, width: int, augment: Augment, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width of a random crop each, (count,), by the rule of RandomResizedCrop."""
    assert augment.scale is not None
    low, high = augment.scale
    area = height * width * (low + (high - low) * _uniform(generator, _ATTEMPTS, count))
    narrow, broad = torch.tensor(augment.ratio).log().tolist()
    ratio = torch.exp(narrow + (broad - narrow) * _uniform(generator, _ATTEMPTS, count))
    wide, tall = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)  # (attempts, count)
    first = fits.int().argmax(dim=0, keepdim=True)
    wide, tall, fits = (x.gather(0, first)[0] for x in (wide, tall, fits))
    # none fits: the largest centred crop whose ratio is in range
    spare_width = min(width, round(height * augment.ratio[1]))
    spare_height = min(height, round(width / augment.ratio[0]))
    wide, tall = wide.where(fits, spare_width), tall.where(fits, spare_height)
    places = _uniform(generator, 2, count)
    top = (places[0] * (height - tall + 1)).floor().where(fits, (height - spare_height) // 2)
    left = (places[1] * (width - wide + 1)).floor().where(fits, (width - spare_width) // 2)
    return top, left, tall, wide


def _resize(start: Tensor, length: Tensor, size: int, full: int) -> Tensor:
    """Matrices (b, size, full) that take the pixels from `start` on, `length` many, to `size` pixels.

    Bilinear with antialiasing as in Pillow and torchvision: a triangle as wide as an output pixel, at least
    one input pixel, cut off at the crop's edges.
    """
    step = (length / size)[:, None, None]  # (b, 1, 1) input pixels an output pixel
    centres = (torch.arange(size, device=start.device)[:, None] + 0.5) * step  # (b, size, 1)
    places = torch.arange(full, device=start.device) + 0.5 - start[:, None, None]  # (b, 1, full)
    weights = (1 - (places - centres).abs_().div_(step.clamp(min=1))).clamp_(min=0)
    weights *= (places > 0) & (places < length[:, None, None])
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _centre(length: int, size: int, device: torch.device) -> Tensor:
    """The matrix (1, size, length) that resizes to int(1.15 * size) and keeps the centre."""
    larger = int(1.15 * size)
    whole = _resize(
        torch.zeros(1, device=device), torch.full((1,), float(length), device=device), larger, length
    )
    first = round((larger - size) / 2)
    return whole[:, first : first + size]


def _resample(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels (b, h, w, 3) uint8 by row (b, s, h) and column matrices (b, s, w): (b, 3, s, s) in 0..1."""
    count, height, width = pixels.shape[:3]
    planes = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    narrow = torch.bmm(planes.view(count, 3 * height, width), columns.mT / 255)
    return torch.matmul(rows[:, None], narrow.view(count, 3, height, -1))


def _jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and colour of images (b, 3, s, s) in 0..1, changed by factors (3, b)."""
    brightness, contrast, colour = factors[..., None, None, None]  # (b, 1, 1, 1) each
    images = (images * brightness).clamp_(0, 1)
    grey = _grey(images)
    mean = grey.mean(dim=(1, 2, 3), keepdim=True).expand_as(grey).contiguous()  # lerp is slow on one number
    images = torch.lerp(mean, images, contrast).clamp_(0, 1)
    return torch.lerp(_grey(images), images, colour).clamp_(0, 1)


def _grey(images: Tensor) -> Tensor:
    """Luma of images (b, 3, s, s), (b, 1, s, s)."""
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    return _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue


def _normalise(images: Tensor) -> Tensor:
    """Images (b, 3, s, s) in 0..1 with ImageNet's mean and deviation taken out, channels last."""
    mean, std = (torch.tensor(x, device=images.device)[:, None, None] for x in (MEAN, STD))
    return (images - mean).div_(std).contiguous(memory_format=torch.channels_last)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)
