"""Find the images of a listing that cannot be read: all of them, so that one run names them all."""

import logging

from fsbench._util.errors import FsbenchError
from fsbench._util.progress import progress
from fsbench.data.bit_depth import BitDepth
from fsbench.data.decode import squares_or_errors
from fsbench.data.listing import Listing

_NAMED = 10  # images that are named
_log = logging.getLogger(__name__)


def without_unreadable(listing: Listing, *, quiet: bool) -> tuple[Listing, list[str]]:
    """Decode all images and leave out those that cannot be read.

    Args:
        listing: The images.
        quiet: Show no progress.

    Returns:
        The readable images, and one message per other image, sorted.
    """
    rows = [
        (split, class_name, item)
        for split, classes in listing.items()
        for class_name, items in classes.items()
        for item in items
    ]
    pictures = [listing[split][class_name][item] for split, class_name, item in rows]
    readable: Listing = {split: {name: {} for name in classes} for split, classes in listing.items()}
    messages = []
    with progress("check", len(rows), "images", quiet=quiet) as bar:
        squared = (part for parts in squares_or_errors(pictures, 1, BitDepth(pictures)) for part in parts)
        for (split, class_name, item), picture, pixels in zip(rows, pictures, squared, strict=True):
            if isinstance(pixels, FsbenchError):
                messages.append(str(pixels))
            else:
                readable[split][class_name][item] = picture
            bar.update()
    return readable, sorted(messages)


def unreadable_error(messages: list[str]) -> FsbenchError:
    """Return the error for images that cannot be read; the first of several are logged, one per line."""
    if len(messages) == 1:
        return FsbenchError(f"{messages[0]}; remove it, or leave it out with --skip-unreadable")
    for message in messages[:_NAMED]:
        _log.warning("fsbench: %s", message)
    return FsbenchError(
        f"{len(messages)} images cannot be read; remove them, or leave them out with --skip-unreadable"
    )
