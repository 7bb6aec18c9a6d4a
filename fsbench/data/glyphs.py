"""Embedded synthetic images, drawn by code from a seed: `glyphs`, and `glyphs-fine` as another domain.

A class is a figure of pen strokes. The classes of `glyphs` differ in structure. Those of `glyphs-fine` share
one body and differ in two further strokes, as species of birds differ in details. Everything else is drawn
independently for each image, whatever its class: position, rotation, size, slant, unsteadiness of the hand,
pen, colours, texture, ground, light, a stray stroke, a covering patch and grain. Colours or single pixels
therefore do not reveal the class.

Images have an upright orientation, as photographs have: the light comes from above, and the figure stands
before a darker ground that ends at a horizon. Recipes that predict rotations need it, since a random figure
does not show which way is up.

A random number is a function of SEED, data set, class, purpose and item. Only + - * / and the square root are
applied to it, which IEEE 754 rounds exactly, and no sum whose order a library may choose. The images
therefore have the same bytes on every machine.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fsbench._util.progress import progress
from fsbench._util.rng import stream
from fsbench.data.listing import Listing

NAMES = ("glyphs", "glyphs-fine")
SIZE = 32
SEED = 1  # the first without two similar figures and, in glyphs-fine, with most ink in common
PER_CLASS = 200
CLASSES = {"glyphs": {"base": 64, "val": 16, "novel": 20}, "glyphs-fine": {"novel": 20}}

Array = NDArray[np.float32]
Random = Callable[..., Array]
"""`random(purpose, *shape, low=0, high=1)`: uniform numbers (n, *shape); row i belongs to item i."""

_PIXELS = ((2 * np.arange(SIZE) + 1) / SIZE - 1).astype(np.float32)  # centres; an image spans -1..1
_PIXEL = 2 / SIZE
_PIECES = 4  # straight pieces per curve
_LATTICE, _SPACING = 3, 0.62  # strokes of a figure end on a grid of 3 x 3 points
_BEND = 0.45  # distance of a curved stroke's control point from its chord, relative to the chord's length
_LIFT = 0.35  # probability that a stroke does not begin where the last one ends


def draw(name: str, *, quiet: bool = True) -> Listing:
    """Draw all images of a data set: `{split: {class name: {item id: pixels (32, 32, 3) uint8}}}`."""
    listing: Listing = {}
    total = PER_CLASS * sum(CLASSES[name].values())
    with progress("draw", total, "images", quiet=quiet) as bar:
        for split, n_classes in CLASSES[name].items():
            listing[split] = {}
            for class_name in (f"{split}-{number:02d}" for number in range(n_classes)):
                images = draw_class(name, class_name, PER_CLASS)
                listing[split][class_name] = {f"{item:03d}": image for item, image in enumerate(images)}
                bar.update(len(images))
    return listing


def draw_class(name: str, class_name: str, n_items: int) -> NDArray[np.uint8]:
    """Draw the first images of a class, (n_items, 32, 32, 3); their number does not change any of them."""

    def random(purpose: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Array:
        return low + (high - low) * _uniform(name, class_name, purpose, shape=(n_items, *shape))

    level = random("level", low=0.2, high=0.8)
    contrast = random("contrast", low=0.3, high=0.55)
    contrast = np.where(level < 0.5, contrast, -contrast)
    paper = level[:, None] + random("paper", 3, low=-0.2, high=0.2)
    colour = (level + contrast)[:, None] + random("colour", 3, low=-0.2, high=0.2)

    canvas = paper[:, :, None, None] + _texture(random)  # (n, 3, 32, 32)
    canvas = _paint(canvas, _ground(random), paper - random("ground colour", 3, low=0.1, high=0.25))
    canvas = _paint(canvas, _stray_stroke(random), paper + random("stray colour", 3, low=-0.35, high=0.35))
    strokes = _by_hand(figure(name, class_name), random)
    pen, softness = random("pen", low=0.05, high=0.12), random("softness", low=1.0, high=2.3)
    canvas = _paint(canvas, ink(strokes, pen, softness), colour)
    canvas = _paint(canvas, _patch(random), paper + random("patch colour", 3, low=-0.3, high=0.3))
    canvas = canvas * _light(random) + _grain(random)
    levels = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(levels, 1, 3))


def figure(name: str, class_name: str) -> Array:
    """The strokes of a class, (strokes, 3, 2): (x, y) of the start, control point and end of each."""
    own = _uniform(name, class_name, "figure", shape=(6, 4))
    if name == "glyphs-fine":
        return np.concatenate([_walk(_uniform(name, "body", shape=(3, 4))), _walk(own[:2])])
    return _walk(own[: 3 + int(3 * own[5, 3])])


def ink(strokes: Array, pen: Array, softness: Array) -> Array:
    """The fraction of each pixel that strokes (n, k, 3, 2) cover, (n, 32, 32) in 0..1.

    `pen` (n,) is half the width of a stroke, `softness` (n,) the width of its edge in pixels. A stroke is a
    quadratic Bezier curve of straight pieces, drawn by the distance of every pixel to the nearest piece.
    """
    time = (np.arange(_PIECES + 1) / _PIECES).astype(np.float32)[:, None]
    begin, control, end = (strokes[:, :, None, point] for point in range(3))
    points = begin * ((1 - time) * (1 - time)) + control * (2 * time * (1 - time)) + end * (time * time)
    nearest = np.full((len(strokes), SIZE, SIZE), np.inf, dtype=np.float32)
    for stroke in range(strokes.shape[1]):
        for piece in range(_PIECES):
            a, b = points[:, stroke, piece], points[:, stroke, piece + 1]
            np.minimum(nearest, _squared_distance(a, b), out=nearest)
    inside = pen[:, None, None] - np.sqrt(nearest)
    return _cover(inside, softness[:, None, None])


def _walk(random: Array) -> Array:
    """A stroke for each row of `random` (strokes, 4), between two points of the lattice."""
    points = _LATTICE * _LATTICE
    start = 0
    strokes: list[list[tuple[float, float]]] = []
    for to, curved, lift, anew in random.tolist():
        if not strokes or lift < _LIFT:
            start = int(anew * points)
        end = (start + 1 + int(to * (points - 1))) % points  # any point but the start
        (ax, ay), (bx, by) = (
            (_SPACING * (point % _LATTICE - 1), _SPACING * (point // _LATTICE - 1)) for point in (start, end)
        )
        bend = _BEND * (int(3 * curved) - 1)  # to the left, none, to the right
        control = ((ax + bx) / 2 - bend * (by - ay), (ay + by) / 2 + bend * (bx - ax))
        strokes.append([(ax, ay), control, (bx, by)])
        start = end
    return np.array(strokes, dtype=np.float32)


def _by_hand(strokes: Array, random: Random) -> Array:
    """The strokes (k, 3, 2) of each image, (n, k, 3, 2): unsteady, scaled, slanted, rotated and moved."""
    unsteady = strokes + random("hand", *strokes.shape, low=-0.06, high=0.06)
    size = random("size", 2, low=0.75, high=1.15)[:, :, None, None]
    slant = random("slant", low=-0.25, high=0.25)[:, None, None]
    place = random("place", 2, low=-0.25, high=0.25)[:, :, None, None]
    # The angle, at most 28 degrees, is given by the tangent of its half: libraries round sines differently.
    half = random("turn", low=-0.25, high=0.25)[:, None, None]
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    x, y = size[:, 0] * unsteady[..., 0] + slant * unsteady[..., 1], size[:, 1] * unsteady[..., 1]
    return np.stack([cosine * x - sine * y + place[:, 0], sine * x + cosine * y + place[:, 1]], axis=-1)


def _squared_distance(a: Array, b: Array) -> Array:
    """The squared distance of each pixel to the line from a to b (n, 2), (n, 32, 32)."""
    along_x, along_y = ((b - a)[:, axis, None, None] for axis in (0, 1))
    square = along_x * along_x + along_y * along_y + 1e-6  # avoids division by zero
    x, y = _PIXELS - a[:, 0, None, None], _PIXELS[:, None] - a[:, 1, None, None]
    position = np.clip(x * (along_x / square) + y * (along_y / square), 0, 1)
    x, y = x - position * along_x, y - position * along_y
    return x * x + y * y


def _cover(inside: Array, softness: Array | float) -> Array:
    """The fraction of a pixel, 0..1, inside an edge at distance `inside` from its centre."""
    return (inside / (_PIXEL * softness) + 0.5).clip(0, 1)


def _paint(canvas: Array, cover: Array, colour: Array) -> Array:
    """Blend a colour (n, 3) into the canvas (n, 3, 32, 32) with opacity `cover` (n, 32, 32)."""
    return canvas + cover[:, None] * (colour[:, :, None, None] - canvas)


def _texture(random: Random) -> Array:
    """Smooth colour from a coarse grid, (n, 3, 32, 32), of a strength that differs between images."""
    cells = 4
    grid = random("texture", 3, cells + 1, cells + 1, low=-0.15, high=0.15)
    position = np.arange(SIZE) / (SIZE - 1) * cells
    left = np.minimum(position.astype(int), cells - 1)
    weight = (position - left).astype(np.float32)
    rows: Array = grid[:, :, left] * (1 - weight)[:, None] + grid[:, :, left + 1] * weight[:, None]
    smooth: Array = rows[..., left] * (1 - weight) + rows[..., left + 1] * weight
    return smooth * random("roughness", 1, 1, 1)


def _stray_stroke(random: Random) -> Array:
    """A stroke below the figure that does not belong to it, (n, 32, 32)."""
    pen = random("stray pen", low=0.04, high=0.12)
    return ink(random("stray", 1, 3, 2, low=-1.2, high=1.2), pen, np.ones_like(pen))


def _patch(random: Random) -> Array:
    """A box that covers a part of the image, (n, 32, 32)."""
    half = random("patch size", 2, low=0.1, high=0.35)
    inside = half[:, :, None] - np.abs(_PIXELS - random("patch", 2, low=-1, high=1)[:, :, None])  # (n, 2, 32)
    return _cover(np.minimum(inside[:, 0, None, :], inside[:, 1, :, None]), 1.0)


def _ground(random: Random) -> Array:
    """The part of the image below a slanted horizon, (n, 32, 32)."""
    height, slope = random("horizon", 1, 1, high=0.6), random("horizon slope", 1, 1, low=-0.15, high=0.15)
    return _cover(_PIXELS[:, None] - height - slope * _PIXELS, 1.0)


def _light(random: Random) -> Array:
    """A factor of brightness that increases upwards and, less, towards one side, (n, 1, 32, 32)."""
    up, sideways = random("light", 1, 1, low=0.1, high=0.35), random("side light", 1, 1, low=-0.15, high=0.15)
    return (1 - up * _PIXELS[:, None] + sideways * _PIXELS)[:, None]


def _grain(random: Random) -> Array:
    """Noise of every pixel, (n, 3, 32, 32), of a strength that differs between images."""
    return random("grain", 3, SIZE, SIZE, low=-1) * random("graininess", 1, 1, 1, high=0.08)


def _uniform(*name: str, shape: tuple[int, ...]) -> Array:
    """Numbers in [0, 1) from the raw words of a stream, whose sequence NumPy never changes (NEP 19)."""
    words = stream(SEED, *name).bit_generator.random_raw(int(np.prod(shape)))
    bits = (words >> np.uint64(40)).astype(np.float32)  # 24 of them, which float32 holds exactly
    return (bits * 2.0**-24).reshape(shape)
