"""Reader of images that a user's function returns.

The function takes no arguments and returns `{split: {class: items}}`. Splits are base, val and novel; some
may be missing, and no class is in two of them. Items are `{item id: picture}` or a list of pictures, whose
indices become the ids. A picture is the path of an image file or an array of pixels (h, w, 3) uint8.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError
from fsbench.data.listing import SPLITS, Listing, Picture


def read(reference: str) -> Listing:
    """Call the function `./file.py:name` or `package.module:name` and check what it returns.

    Raises:
        FsbenchError: There is no such function, it fails, or it returns something else.
    """
    subject = f"data set {reference}"
    function = user_code.load_reference(reference, "data set").value
    if not callable(function):
        raise FsbenchError(f"{subject}: must be a function, but is {type(function).__name__}")
    with user_code.user_errors(subject):
        returned = function()
    splits = _mapping(returned, subject, "{split: {class: items}}")
    for split in splits:
        if split not in SPLITS:
            raise FsbenchError(f"{subject}: splits must be {', '.join(SPLITS)}, but one is {split!r}")
    return {
        split: {
            name: _items(items, f"{subject}, class {name} of {split}")
            for name, items in _mapping(classes, f"{subject}, {split}", "{class: items}").items()
        }
        for split, classes in splits.items()
    }


def _mapping(value: Any, subject: str, form: str) -> Mapping[str, Any]:
    """Return the value if it is a dictionary with text keys; `form` describes it in the error."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise FsbenchError(f"{subject}: must be {form} with text as keys, but is {type(value).__name__}")
    return value


def _items(items: Any, subject: str) -> dict[str, Picture]:
    """Return pictures by item id."""
    if isinstance(items, list | tuple):
        items = {f"{index:08d}": picture for index, picture in enumerate(items)}
    named = _mapping(items, subject, "{item id: picture} or a list of pictures")
    return {item: _picture(picture, f"{subject}, item {item}") for item, picture in named.items()}


def _picture(picture: Any, subject: str) -> Picture:
    """Return a path, or an array of pixels of the right shape and type."""
    if isinstance(picture, str | Path):
        return Path(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            return picture
        raise FsbenchError(
            f"{subject}: pixels must be (h, w, 3) uint8, but are {picture.shape} {picture.dtype}"
        )
    raise FsbenchError(f"{subject}: must be a path or an array of pixels, but is {type(picture).__name__}")
