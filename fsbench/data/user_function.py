"""Images that a user's function returns.

It takes nothing and returns `{split: {class: items}}`: splits are base, val and novel, of which some may be
missing; items are `{item id: picture}`, or a list of pictures. A picture is the path of an image file or an
array of pixels (h, w, 3) uint8. Splits share no class. Tasks are drawn over classes and items in the order of
their names; a list names its items by their places.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError
from fsbench.data.image_store import SPLITS
from fsbench.data.layouts import Listing, Picture


def read(reference: str) -> Listing:
    """What the function `./file.py:name` or `package.module:name` returns.

    Raises:
        FsbenchError: no such function, one that fails, or one that returns something else.
    """
    what = f"data set {reference}"
    function = user_code.load_reference(reference, "data set").value
    if not callable(function):
        raise FsbenchError(f"{what}: must be a function, but is {type(function).__name__}")
    with user_code.user_errors(what):
        returned = function()
    splits = _mapping(returned, what, "{split: {class: items}}")
    for split in splits:
        if split not in SPLITS:
            raise FsbenchError(f"{what}: splits must be of {', '.join(SPLITS)}, but one is {split!r}")
    return {
        split: {
            name: _items(items, f"{what}, class {name} of {split}")
            for name, items in _mapping(classes, f"{what}, {split}", "{class: items}").items()
        }
        for split, classes in splits.items()
    }


def _mapping(value: Any, what: str, wanted: str) -> Mapping[str, Any]:
    """The value, if it is a mapping from names."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise FsbenchError(f"{what}: must be {wanted} with names as text, but is {type(value).__name__}")
    return value


def _items(items: Any, what: str) -> dict[str, Picture]:
    """Pictures by item id."""
    if isinstance(items, list | tuple):
        items = {f"{place:08d}": picture for place, picture in enumerate(items)}
    named = _mapping(items, what, "{item id: picture} or a list of pictures")
    return {item: _picture(picture, f"{what}, item {item}") for item, picture in named.items()}


def _picture(picture: Any, what: str) -> Picture:
    if isinstance(picture, str | Path):
        return Path(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            return picture
        raise FsbenchError(f"{what}: pixels must be (h, w, 3) uint8, but are {picture.shape} {picture.dtype}")
    raise FsbenchError(f"{what}: must be a path or an array of pixels, but is {type(picture).__name__}")
