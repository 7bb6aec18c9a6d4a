"""The images of a data set before they are decoded: what every reader returns."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLITS = ("base", "val", "novel")


@dataclass(frozen=True)
class Encoded:
    """An image file that is stored inside another file.

    Attributes:
        name: The containing file and the place in it, for messages.
        content: The bytes of the image file.
    """

    name: str
    content: bytes | memoryview


Picture = Path | Encoded | NDArray[np.uint8]  # an array holds RGB pixels (h, w, 3)
Listing = dict[str, dict[str, dict[str, Picture]]]  # {split: {class name: {item id: picture}}}
Reader = Callable[[Path], Listing | None]  # None: the folder has another layout
