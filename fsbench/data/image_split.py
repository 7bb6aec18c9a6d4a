"""One split of a data set in memory, and the choice of its first images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsbench.data.identity import Identity


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """One split of a data set, in memory.

    Attributes:
        dataset: Name of the data set.
        split: `base`, `val` or `novel`.
        pixels: RGB images, (n, height, width, 3) uint8.
        labels: Sorted labels, (n,) int32; indices into `class_names`.
        class_names: Name of each class, in the order of the classes' content.
        items: Item id of each image, (n,), in the order of content within a class.
        identity: Fingerprint of the images, and of the files they come from.
        synthetic: Whether the images are drawn by code.
    """

    dataset: str
    split: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    class_names: tuple[str, ...]
    items: tuple[str, ...]
    identity: Identity
    synthetic: bool

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images at native size, in hexadecimal."""
        return self.identity.fingerprint


def first_of_each_class(labels: NDArray[np.int32], per_class: int) -> NDArray[np.bool_]:
    """Select the first `per_class` items of each class, or all items of smaller classes.

    Stores order the items of a class by the digests of their pixels. The selection therefore depends neither
    on file names nor on a seed, and a smaller selection is a subset of a larger one.

    Args:
        labels: Sorted labels, (n,).
        per_class: Items per class, at least 1.

    Returns:
        Whether each item is selected, (n,).
    """
    first = np.searchsorted(labels, np.arange(labels[-1] + 1))
    selected: NDArray[np.bool_] = np.arange(len(labels)) - first[labels] < per_class
    return selected


def few_images(images: ImageSplit, per_class: int) -> ImageSplit:
    """Keep the first `per_class` images of each class, as selected by `first_of_each_class`.

    Args:
        images: The split.
        per_class: Images per class, at least 1.

    Returns:
        A split of these images with the same classes. Its fingerprint is still that of the whole split.
    """
    kept = first_of_each_class(images.labels, per_class)
    items = tuple(item for item, keep in zip(images.items, kept, strict=True) if keep)
    return replace(images, pixels=images.pixels[kept], labels=images.labels[kept], items=items)
