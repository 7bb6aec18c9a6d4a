"""Augmentation equals torchvision's for the same crop, and draws crops with the same statistics."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as tv

from fsbench._util.errors import FsbenchError
from fsbench.data.augment import (
    MEAN,
    OFF,
    STD,
    Augment,
    Draws,
    by_kernel,
    by_matrices,
    draw,
    eval_transform,
    train_augment,
)

PLAIN_CROP = Augment(flip=0.0, jitter=0.0)
PADDED = Augment(scale=None, jitter=0.0, padding=4)


def pixels(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def planes(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.permute(0, 3, 1, 2).float() / 255


def normalised(images: torch.Tensor) -> torch.Tensor:
    return tv.normalize(images, list(MEAN), list(STD))


def drawn(boxes, factors=None) -> Draws:
    factors = np.ones((len(boxes), 3)) if factors is None else factors
    return Draws(np.array(boxes), np.zeros(len(boxes), bool), np.array(factors, np.float32))


on_every_device = pytest.mark.parametrize("apply", [by_matrices, by_kernel])


@on_every_device
@pytest.mark.parametrize("size", [16, 32, 50])
def test_a_crop_equals_torchvision(apply, size):
    """Crops smaller and larger than the output, at the edges and inside."""
    boxes = [(0, 0, 40, 60), (3, 7, 16, 16), (10, 50, 30, 10), (39, 59, 1, 1), (5, 0, 33, 44)]
    pictures = pixels(len(boxes), 40, 60)
    ours = apply(pictures, size, drawn(boxes))
    for i, box in enumerate(boxes):
        theirs = tv.resized_crop(planes(pictures)[i], *box, [size, size], antialias=True)
        torch.testing.assert_close(ours[i], normalised(theirs), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (105, 105, 32), (84, 84, 80), (50, 90, 84)]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernel_equals_the_matrices(height, width, size, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    pictures = pixels(9, height, width)
    draws = draw(np.random.default_rng(0), 9, height, width, Augment())
    assert 0 < draws.flipped.sum() < 9
    ours, theirs = by_kernel(pictures, size, draws), by_matrices(pictures, size, draws)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@on_every_device
@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 28), (9, 11)])
def test_a_padded_crop_equals_torchvision(apply, height, width):
    """The image at the size of the network, a black border, and a crop; also without an overlap."""
    size, padding = 16, 4
    shifts = np.array([(0, 0), (-4, 4), (4, -4), (3, 0), (-1, -2)])
    pictures = pixels(len(shifts), height, width)
    draws = replace(drawn([(0, 0, height, width)] * len(shifts)), shifts=shifts)
    resized = tv.resize(planes(pictures), [size, size], antialias=True)
    for i, (down, right) in enumerate(shifts):
        theirs = tv.crop(tv.pad(resized[i], padding), padding + down, padding + right, size, size)
        torch.testing.assert_close(apply(pictures, size, draws)[i], normalised(theirs), rtol=0, atol=1e-4)


@on_every_device
def test_a_padded_crop_of_the_stored_size_moves_pixels_and_blurs_none(apply):
    (picture,) = pixels(1, 16, 16)
    draws = replace(drawn([(0, 0, 16, 16)]), shifts=np.array([(2, -3)]))
    expected = torch.zeros(16, 16, 3)
    expected[:14, 3:] = picture[2:, :13].float() / 255
    torch.testing.assert_close(
        apply(picture[None], 16, draws)[0], normalised(expected.permute(2, 0, 1)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (105, 90, 32), (24, 24, 40)])
def test_the_kernel_equals_the_matrices_for_padded_crops(height, width, size):
    pictures = pixels(9, height, width)
    draws = draw(np.random.default_rng(0), 9, height, width, PADDED)
    assert 0 < draws.flipped.sum() < 9
    ours, theirs = by_kernel(pictures, size, draws), by_matrices(pictures, size, draws)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_places_of_padded_crops_are_uniform_and_rows_do_not_depend_on_columns():
    shifts = draw(np.random.default_rng(0), 8100, 32, 32, PADDED).shifts
    cells = np.unique(shifts, axis=0, return_counts=True)
    assert cells[0].tolist() == [[down, right] for down in range(-4, 5) for right in range(-4, 5)]
    assert stats.chisquare(cells[1]).pvalue > 1e-3


def test_padding_is_black_and_changes_no_other_colour():
    """A white image is white wherever it is not padded, and has a black border in most crops."""
    white = torch.full((400, 16, 16, 3), 255, dtype=torch.uint8)
    images = train_augment(white, 16, np.random.default_rng(0), PADDED)
    values = (images * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]).amax(1)
    black, full = (values.abs() < 1e-4), ((values - 1).abs() < 1e-4)
    assert bool((black | full).all())
    assert black.flatten(1).any(1).float().mean() > 0.9  # all but 1 of 81 places


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": None, "padding": -1}, "padding must be at least 0, but is -1"),
        ({"padding": 4}, "padding must be 0 if scale is not None, but is 4; choose one crop"),
    ],
)
def test_two_crops_and_negative_padding_are_refused(settings, message):
    with pytest.raises(FsbenchError, match=message):
        Augment(**settings)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (60, 48), (20, 200)])
def test_crops_are_distributed_as_in_torchvision(height, width):
    """Two-sample Kolmogorov-Smirnov tests; in the last shape most attempts fail and the centre is taken."""
    count = 4000
    ours = draw(np.random.default_rng(1), count, height, width, Augment()).boxes.T.astype(float)
    torch.manual_seed(2)
    blank = torch.empty(3, height, width)
    theirs = np.array(
        [RandomResizedCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    ).T
    for values in (ours, theirs):
        top, left, tall, wide = values
        assert (top >= 0).all()
        assert (left >= 0).all()
        assert (top + tall <= height).all()
        assert (left + wide <= width).all()
    measures = [
        lambda top, left, tall, wide: tall * wide,
        lambda top, left, tall, wide: wide / tall,
        lambda top, left, tall, wide: top / (height - tall + 1),
        lambda top, left, tall, wide: left / (width - wide + 1),
    ]
    for measure in measures:
        assert stats.ks_2samp(measure(*ours), measure(*theirs)).pvalue > 1e-3


@on_every_device
def test_jitter_equals_torchvision_in_the_order_of_s2m2(apply):
    """Each factor clips before the next one sees the image."""
    pictures = pixels(4, 12, 12)
    factors = np.array([[0.6, 1.3, 1.4], [1.4, 0.7, 0.6], [1.0, 1.0, 1.0], [0.9, 0.6, 1.2]])
    ours = apply(pictures, 12, drawn([(0, 0, 12, 12)] * 4, factors))
    for i, image in enumerate(planes(pictures)):
        brightness, contrast, colour = factors[i]
        image = tv.adjust_brightness(image, brightness)
        image = tv.adjust_contrast(image, contrast)
        image = tv.adjust_saturation(image, colour)
        torch.testing.assert_close(ours[i], normalised(image), rtol=0, atol=3e-3)  # torchvision rounds luma


def test_jitter_is_uniform_and_independent_for_each_image():
    """A grey image only changes in brightness, by a factor uniform in 0.6 to 1.4 (clipping aside)."""
    grey = torch.full((4000, 1, 1, 3), 100, dtype=torch.uint8)
    images = train_augment(grey, 1, np.random.default_rng(0), Augment(flip=0.0))
    level = images[:, 0, 0, 0] * STD[0] + MEAN[0]
    assert stats.kstest(level.numpy() * 255 / 100, stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3


def test_half_of_the_images_are_flipped():
    """The brighter half shows whether an image is flipped."""
    halves = torch.zeros(4000, 2, 2, 3, dtype=torch.uint8)
    halves[:, :, 1] = 255
    whole = Augment(scale=(1.0, 1.0), ratio=(1.0, 1.0), jitter=0.0)
    images = train_augment(halves, 2, np.random.default_rng(0), whole)
    flipped = (images[:, 0, 0, 0] > images[:, 0, 0, 1]).sum().item()
    assert stats.binomtest(flipped, 4000).pvalue > 1e-3
    torch.testing.assert_close(
        images.flip(3)[images[:, 0, 0, 0] > 0], images[images[:, 0, 0, 0] < 0][:1].expand(flipped, -1, -1, -1)
    )


@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (105, 105, 32), (84, 84, 80), (50, 90, 84)]
)
def test_evaluation_is_resize_and_centre_crop(height, width, size):
    pictures = pixels(3, height, width)
    larger = int(1.15 * size)
    theirs = tv.center_crop(tv.resize(planes(pictures), [larger, larger], antialias=True), [size, size])
    torch.testing.assert_close(eval_transform(pictures, size), normalised(theirs), rtol=0, atol=2e-4)


def test_evaluation_agrees_with_pillow_to_its_rounding():
    (picture,) = pixels(1, 50, 60).numpy()
    larger = Image.fromarray(picture).resize((36, 36), Image.Resampling.BILINEAR)
    theirs = np.asarray(larger.crop((2, 2, 34, 34)), dtype=np.float32)
    ours = eval_transform(torch.from_numpy(picture)[None], 32)[0]
    ours = (ours * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255
    assert (ours.permute(1, 2, 0) - torch.from_numpy(theirs)).abs().max() < 1.01


def test_without_augmentation_training_images_equal_evaluation_images():
    pictures = pixels(3, 40, 40)
    torch.testing.assert_close(
        train_augment(pictures, 32, np.random.default_rng(0), OFF),
        eval_transform(pictures, 32),
        rtol=0,
        atol=0,
    )


def test_images_depend_only_on_the_generator():
    pictures = pixels(4, 32, 32)
    first, again, other = (
        train_augment(pictures, 32, np.random.default_rng(seed), Augment()) for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - other).abs().max() > 0.1


BITS = """
import hashlib, numpy as np, torch
from fsbench.data.augment import Augment, train_augment
pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 20, 24, 3), dtype=np.uint8))
images = train_augment(pixels, 16, np.random.default_rng(1), Augment())
print(hashlib.sha256(images.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_a_cached_compilation_gives_the_same_bits(tmp_path):
    """A run that continues in another process must give the same result."""
    kept = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    now = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    digests = [
        subprocess.run(
            [sys.executable, "-c", BITS], env=env, check=True, capture_output=True, text=True
        ).stdout
        for env in (now, kept, kept)
    ]
    assert list(tmp_path.rglob("*.nbc"))
    assert len(set(digests)) == 1


def test_copies_of_an_image_are_augmented_differently():
    copies = train_augment(pixels(1, 32, 32).expand(8, -1, -1, -1), 32, np.random.default_rng(0), PLAIN_CROP)
    distances = torch.cdist(copies.flatten(1), copies.flatten(1)) + torch.eye(8) * 1e9
    assert distances.min() > 1


def test_training_images_are_channels_last_float32():
    images = train_augment(pixels(2, 32, 32), 16, np.random.default_rng(0), Augment())
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
