"""Augmentation and quarter turns compiled for CPUs: an image stays in its core's cache throughout.

A crop needs two or three input pixels per output pixel; matrix products use all of them. Rows are the last
axis of the intermediate arrays, so that inner loops become vector instructions. Arrays are never sliced: a
slice counts its references, which takes as long as a row.
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsbench._util.compiled import is_kept

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]
Bools: TypeAlias = NDArray[np.bool_]

# Typed, as Python's numbers would turn float32 into float64.
ZERO, HALF, ONE, WHITE = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)

# Without fast mathematics: floats are added and multiplied as written, so results do not depend on the
# compiler. Compiling takes two seconds per process, unless numba has a folder for compiled code.
compiled = njit(nogil=True, error_model="numpy", cache=is_kept())


@compiled
def augment_images(
    pixels: Bytes,
    boxes: Ints,
    shifts: Ints,
    flipped: Bools,
    factors: Floats,
    grey: Floats,
    mean: Floats,
    std: Floats,
    images: Floats,
) -> None:
    """Fill images (b, size, size, 3) from pixels (b, h, w, 3), as `augment.by_matrices`.

    boxes (b, 4) are top, left, height and width of crops inside the image; shifts (b, 2) move the resized
    crops up and to the left, with black where nothing remains; factors (b, 3) are those of brightness,
    contrast and colour; grey (3,) are the weights of luma, mean and std (3,) those of normalisation.
    """
    count, height, width, _ = pixels.shape
    size, full = images.shape[1], max(height, width)
    lines = pixels.reshape(count, height, 3 * width)
    taps = np.empty((size, full), np.float32)
    starts, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    line, narrow = np.empty(3 * width, np.float32), np.empty((3 * width, size), np.float32)
    planes, sums = np.empty((3, size, size), np.float32), np.empty(size, np.float32)  # channel, column, row
    for b in range(count):
        top, left, tall, wide = boxes[b]
        _find_taps(tall, shifts[b, 0], taps, starts, ends)
        _resize_rows(lines, b, top, taps, starts, ends, line, narrow)
        _find_taps(wide, shifts[b, 1], taps, starts, ends)
        _resize_columns(narrow, left, taps, starts, ends, flipped[b], planes)
        _recolour(planes, factors[b], grey, mean, std, sums)
        for i in range(size):
            for j in range(size):
                for c in range(3):
                    images[b, i, j, c] = planes[c, j, i]


@compiled
def turn_images(images: Floats, turned: Floats) -> None:
    """Fill turned (4, b, s, s, 3) with images (b, s, s, 3) turned by 0, 90, 180 and 270 degrees."""
    count, size = images.shape[:2]
    sources, last = images.reshape(count, size * size, 3), size - 1
    corners = (0, last, last * size + last, last * size)  # first pixel of each turn in the original image
    downs, acrosses = (size, -1, -size, 1), (1, size, -1, -size)
    for b in range(count):
        for turn in range(4):
            for i in range(size):
                pixel = corners[turn] + i * downs[turn]
                for j in range(size):
                    for c in range(3):
                        turned[turn, b, i, j, c] = sources[b, pixel, c]
                    pixel += acrosses[turn]


@compiled
def _find_taps(length: int, shift: int, taps: Floats, starts: Ints, ends: Ints) -> None:
    """Weights that resize `length` pixels to len(taps): those of pixels starts[i] to ends[i] are in taps[i].

    As `augment._resize`: a triangle as wide as an output pixel, at least one input pixel, cut off at edges.
    Pixel i of the result is number i + shift of the resized ones; outside, it has no weights.
    """
    size = len(taps)
    step = np.float32(length) / np.float32(size)
    reach = max(step, ONE)
    for i in range(size):
        if not 0 <= i + shift < size:
            starts[i], ends[i] = 0, 0
            continue
        centre = (np.float32(i + shift) + HALF) * step
        start = max(0, math.floor(centre - reach + HALF))
        end = min(length, math.ceil(centre + reach - HALF) + 1)
        total = ZERO
        for k in range(start, end):
            weight = max(ZERO, ONE - abs(np.float32(k) + HALF - centre) / reach)
            taps[i, k - start] = weight
            total += weight
        for k in range(end - start):
            taps[i, k] /= total
        starts[i], ends[i] = start, end


@compiled
def _resize_rows(
    lines: Bytes, b: int, top: int, taps: Floats, starts: Ints, ends: Ints, line: Floats, narrow: Floats
) -> None:
    """Resize the rows of image `b` in its crop, to 0..1; a new row is a column of narrow (3 width, size)."""
    for i in range(len(taps)):
        for q in range(len(line)):
            line[q] = ZERO
        for k in range(starts[i], ends[i]):
            weight, row = taps[i, k - starts[i]] / WHITE, top + k
            for q in range(len(line)):
                line[q] += weight * np.float32(lines[b, row, q])
        for q in range(len(line)):
            narrow[q, i] = line[q]


@compiled
def _resize_columns(
    narrow: Floats, left: int, taps: Floats, starts: Ints, ends: Ints, flipped: bool, planes: Floats
) -> None:
    """Resize the columns of the result of `_resize_rows` into planes (3, columns, rows)."""
    size = len(taps)
    for j in range(size):
        place = size - 1 - j if flipped else j
        for c in range(3):
            for i in range(size):
                planes[c, place, i] = ZERO
            for k in range(starts[j], ends[j]):
                weight, source = taps[j, k - starts[j]], 3 * (left + k) + c
                for i in range(size):
                    planes[c, place, i] += weight * narrow[source, i]


@compiled
def _recolour(planes: Floats, factors: Floats, grey: Floats, mean: Floats, std: Floats, sums: Floats) -> None:
    """Change brightness, contrast and colour of planes (3, s, s) in 0..1, each clipped, then normalise."""
    brightness, contrast, colour = factors
    size = len(sums)
    level = ZERO
    for c in range(3):
        for i in range(size):
            sums[i] = ZERO
        for j in range(size):
            for i in range(size):
                value = _clip(planes[c, j, i] * brightness)
                planes[c, j, i] = value
                sums[i] += value
        total = ZERO
        for i in range(size):
            total += sums[i]
        level += grey[c] * total
    level *= (ONE - contrast) / np.float32(size * size)
    flat = planes.reshape(3, -1)
    n = flat.shape[1]
    scale_1, scale_2, scale_3 = ONE / std[0], ONE / std[1], ONE / std[2]
    for p in range(n):
        red = _clip(flat[0, p] * contrast + level)
        green = _clip(flat[1, p] * contrast + level)
        blue = _clip(flat[2, p] * contrast + level)
        luma = (ONE - colour) * (grey[0] * red + grey[1] * green + grey[2] * blue)
        flat[0, p] = (_clip(red * colour + luma) - mean[0]) * scale_1
        flat[1, p] = (_clip(green * colour + luma) - mean[1]) * scale_2
        flat[2, p] = (_clip(blue * colour + luma) - mean[2]) * scale_3


@compiled
def _clip(value: np.float32) -> np.float32:
    return min(max(value, ZERO), ONE)
