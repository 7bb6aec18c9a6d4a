"""Images for training and for evaluation: batches of uint8 pixels in, normalised float tensors out.

A random resized crop with flip is, for each image, one matrix for its rows and one for its columns, so that a
whole batch is two batched matrix products on whatever device it lies on, with no loop over images.
"""

import math
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
        flipped = (_uniform(generator, count) < augment.flip)[:, None, None]
        columns = torch.lerp(columns, columns.flip(1), flipped.float())
    if augment.jitter == 0:
        return _normalise(_resample(pixels, rows, columns))
    brightness, contrast, colour = 1 + augment.jitter * (2 * _uniform(generator, 3, count) - 1)
    images = _resample(pixels, rows * brightness[:, None, None], columns).clamp_(0, 1)
    return _normalise(_recoloured(images, contrast, colour))


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
    narrow, broad = map(math.log, augment.ratio)
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
    reach = step.clamp(min=1)
    centres = (torch.arange(size, device=start.device)[:, None] + 0.5) * step / reach  # (b, size, 1)
    places = torch.arange(full, device=start.device) + 0.5 - start[:, None, None]  # (b, 1, full)
    inside = (places > 0) & (places < length[:, None, None])
    places = torch.where(inside, places / reach, torch.inf)  # what lies outside is far from every centre
    weights = (places - centres).abs_().neg_().add_(1).clamp_(min=0)
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
    size = rows.shape[1]
    flat = torch.bmm(rows / 255, pixels.reshape(count, height, 3 * width).float())
    planes = flat.view(count, size, width, 3).permute(0, 3, 1, 2).reshape(count, 3 * size, width)
    return torch.bmm(planes, columns.mT).view(count, 3, size, -1)


def _recoloured(images: Tensor, contrast: Tensor, colour: Tensor) -> Tensor:
    """Images (b, 3, s, s) in 0..1 with contrast and colour scaled by (b,) each; the images are overwritten.

    Contrast moves every value away from the mean luma of its image. Colour moves the channels of a pixel away
    from its luma, which is one matrix (3, 3) an image.
    """
    count = len(images)
    grey = torch.tensor(_GREY, device=images.device)
    level = images.mean(dim=(2, 3)) @ grey  # (b,)
    images.view(count, -1).mul_(contrast[:, None]).add_((level * (1 - contrast))[:, None]).clamp_(0, 1)
    matrix = colour[:, None, None] * torch.eye(3, device=images.device) + (1 - colour)[:, None, None] * grey
    return (matrix @ images.view(count, 3, -1)).clamp_(0, 1).view_as(images)


def _normalise(images: Tensor) -> Tensor:
    """Images (b, 3, s, s) in 0..1 with ImageNet's mean and deviation taken out, channels last; overwrites."""
    mean, std = (torch.tensor(x, device=images.device)[:, None, None] for x in (MEAN, STD))
    return images.sub_(mean).mul_(1 / std).contiguous(memory_format=torch.channels_last)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)
