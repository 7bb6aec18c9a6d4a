"""Find and load prepared data sets."""

import logging
from contextlib import suppress
from pathlib import Path

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.untrusted import hdf5
from fsbench.data import glyphs, image_store, registry
from fsbench.data.image_split import ImageSplit
from fsbench.data.image_store import SplitInfo
from fsbench.data.preparation import draw_embedded, enlarge
from fsbench.data.registry import SOURCES

_log = logging.getLogger(__name__)


def load(name: str, split: str, cache: Path | None = None, at_least: int = 0) -> ImageSplit:
    """Load one split of a prepared data set into memory; embedded data sets are drawn on first use.

    Args:
        name: A prepared data set, or `NAME@SIZE` for its store of one size.
        split: `base`, `val` or `novel`.
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.
        at_least: Side in pixels. If there are stores of several sizes, the smallest one of at least this side
            is read, or the largest one if all are smaller.

    Returns:
        Images, labels and names of the split.

    Raises:
        FsbenchError: The data set is unknown or not prepared, or has no such split.

    Example:
        >>> images = load("glyphs", "novel")
        >>> images.pixels.shape
        (4000, 32, 32, 3)
    """
    return image_store.read(find_store(name, cache, at_least), split)


def splits_of(name: str, cache: Path | None = None) -> tuple[str, ...]:
    """Return the splits of a prepared data set.

    Args:
        name: A prepared data set.
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.

    Returns:
        Those of `base`, `val` and `novel` that it has.

    Raises:
        FsbenchError: The data set is unknown or not prepared.

    Example:
        >>> splits_of("glyphs-fine")
        ('novel',)
    """
    return tuple(split for split, _ in image_store.fingerprints(find_store(name, cache)))


def find_store(
    name: str, cache: Path | None = None, at_least: int = 0, trained_on: str | None = None
) -> Path:
    """Find the image store of a prepared data set.

    Args:
        name: A prepared data set, or `NAME@SIZE` for its store of one size.
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.
        at_least: Side in pixels. If there are stores of several sizes, the smallest one of at least this side
            is returned, or the largest one if all are smaller.
        trained_on: Fingerprint of base images, to select a store if stores of several sizes hold different
            images.

    Returns:
        Path of the store.

    Raises:
        FsbenchError: The data set is unknown, not prepared, or not prepared at the given size; or stores of
            several sizes hold different images.
    """
    plain, _, size = name.partition("@")
    if plain in glyphs.NAMES:
        draw_embedded(plain, cache)
    prepared = image_store.prepared_stores(cache)
    stores = prepared.get(plain, {})
    if not stores:
        if plain in SOURCES:
            raise FsbenchError(f"data set {plain} is not prepared; {registry.how_to_prepare(plain)}")
        raise unknown("data set", plain, {*prepared, *SOURCES, *glyphs.NAMES})
    sizes = [side for side in sorted(stores) if size in ("", str(side))]
    available = image_store.format_sizes(stores)
    if not sizes:
        raise FsbenchError(
            f"data set {plain}: size must be one of {available}, but is {size}; "
            f"for others use fsbench data prepare {plain} PATH --image-size PIXELS"
        )
    images = {side: image_store.fingerprints(stores[side]) for side in sizes} if len(sizes) > 1 else {}
    if len(set(images.values())) > 1 and trained_on is not None:
        sizes = [side for side in sizes if ("base", trained_on) in images[side]] or sizes
    if len({images[side] for side in sizes if side in images}) > 1:
        raise FsbenchError(
            f"data set {plain}: stores of {available} hold different images; "
            f"choose one as {plain}@{sizes[-1]}"
        )
    return stores[next((side for side in sizes if side >= at_least), sizes[-1])]


def name_holding(name: str, split: str, fingerprint: str, at_least: int, cache: Path | None = None) -> str:
    """Name the stores of a data set that hold certain images, if its stores of several sizes differ.

    Args:
        name: A data set.
        split: `base`, `val` or `novel`.
        fingerprint: Fingerprint of the images of the split.
        at_least: Side in pixels, as for `find_store`.
        cache: Folder of stores.

    Returns:
        `NAME@SIZE`, or `name` if all stores or none hold these images.
    """
    stores = image_store.prepared_stores(cache).get(name, {})
    sizes = []
    for side in sorted(stores):
        with suppress(FsbenchError):  # no such split, or unreadable
            if image_store.split_info(stores[side], split).identity.fingerprint == fingerprint:
                sizes.append(side)
    if len(sizes) in (0, len(stores)):
        return name
    return f"{name}@{next((side for side in sizes if side >= at_least), sizes[-1])}"


def stored_for(
    name: str,
    split: str,
    network: str,
    size: int,
    resize: int,
    cache: Path | None = None,
    trained_on: str | None = None,
) -> SplitInfo:
    """Find the stored images of a split that fit a network.

    If all stores are smaller than the network's input but the original images are not, a larger store is
    built from the originals. A warning is logged in this case, and if images must be enlarged.

    Args:
        name: A prepared data set.
        split: `base`, `val` or `novel`.
        network: Name of the network, for messages.
        size: Side of the network's input in pixels.
        resize: Side in pixels to which images are resized before `size` pixels are cut out.
        cache: Folder of stores.
        trained_on: Fingerprint of the base images that the network was trained on, as of `find_store`.

    Raises:
        FsbenchError: The data set is unknown or not prepared, or has no such split.
    """
    path = find_store(name, cache, resize, trained_on)
    info = image_store.split_info(path, split)
    if info.size >= size:
        return info
    with image_store.open_store(path) as file:
        attributes = hdf5.attributes(file)
    plain, key, origin = (str(attributes.get(attribute, "")) for attribute in ("name", "key", "origin"))
    originals_are_larger, larger = int(attributes["native"]) > info.size, None
    if originals_are_larger and "@" not in name:
        larger = enlarge(plain, key, origin, resize, cache)
    sizes = f"data set {name}: images are stored at {info.size} px, but {network} takes {size} px"
    if larger is not None:
        _log.warning("fsbench: warning: %s; stored again at %d px, from %s", sizes, resize, origin)
        return image_store.split_info(larger, split)
    advice = ""
    if originals_are_larger:
        advice = f"; to store larger ones, use fsbench data prepare {plain} PATH --image-size {resize}"
    _log.warning("fsbench: warning: %s, so they are enlarged%s", sizes, advice)
    return info


def load_for(
    name: str, split: str, network: str, size: int | None, resize: int, cache: Path | None = None
) -> ImageSplit:
    """Load one split from the store of `stored_for`; with `size` None the network takes any size.

    Raises:
        FsbenchError: The data set is unknown or not prepared, or has no such split.
    """
    if size is None:
        return load(name, split, cache, resize)
    return image_store.read(stored_for(name, split, network, size, resize, cache).path, split)


def shared_with_base(
    name: str, split: str, source: str, fingerprint: str, cache: Path | None = None
) -> list[int]:
    """List the rows of a split whose images are also base images of the data set `source`, pixel by pixel.

    The list is also empty if no store in the cache holds base images with that fingerprint.

    Args:
        name: The data set of the split.
        split: `base`, `val` or `novel`.
        source: The data set of the base images.
        fingerprint: Fingerprint of the base images.
        cache: Folder of stores.
    """
    base_digests: set[bytes] = set()
    for path in image_store.prepared_stores(cache).get(source, {}).values():
        try:
            if image_store.split_info(path, "base").identity.fingerprint == fingerprint:
                base_digests = set(image_store.digests(path, "base"))
                break
        except FsbenchError:  # no such split, or unreadable
            continue
    digests = image_store.digests(find_store(name, cache), split) if base_digests else []
    return [row for row, digest in enumerate(digests) if digest in base_digests]
