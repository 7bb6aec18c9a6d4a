"""List data sets and describe their stores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fsbench._util.errors import FsbenchError, unknown
from fsbench.data import glyphs, image_store
from fsbench.data.listing import SPLITS
from fsbench.data.registry import SOURCES, layouts_of

OWN = "your own"  # what `DataSet.about` says of the user's own data sets


@dataclass(frozen=True)
class DataSet:
    """A known data set, or your own prepared one.

    Attributes:
        name: Name of the data set.
        about: Paper of its split, or where it comes from.
        classes: Number of base, val and novel classes, of a store or as published; None if the store cannot
            be read.
        stores: Its stores, by the size of their images in pixels.
        layouts: Layouts that PATH of `fsbench data prepare` may have; empty: it is drawn by code.
        download: Whether it can be downloaded.
    """

    name: str
    about: str
    classes: tuple[int, ...] | None
    stores: Mapping[int, Path]
    layouts: str
    download: bool


@dataclass(frozen=True)
class SplitContents:
    """One split of an image store.

    Attributes:
        classes: Number of classes.
        images: Number of images.
        height: Height of the stored images in pixels.
        width: Width of the stored images in pixels.
        fingerprint: Fingerprint of the images at native size, in hexadecimal.
    """

    classes: int
    images: int
    height: int
    width: int
    fingerprint: str


@dataclass(frozen=True)
class Contents:
    """Contents of an image store.

    Attributes:
        name: Name of the data set.
        path: The store.
        synthetic: Whether the images are drawn by code.
        splits: Classes, images and fingerprint of each split, by its name.
        bytes: Size of the file.
    """

    name: str
    path: Path
    synthetic: bool
    splits: Mapping[str, SplitContents]
    bytes: int


def list_datasets(cache: Path | None = None) -> list[DataSet]:
    """List the known data sets, then your own prepared ones.

    Args:
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.

    Returns:
        Every data set with its classes and its stores.

    Raises:
        FsbenchError: The cache cannot be read.

    Example:
        >>> [dataset.name for dataset in list_datasets()][:2]
        ['cifar-fs', 'mini-imagenet']
    """
    prepared = image_store.prepared_stores(cache)
    about = {name: source.paper for name, source in SOURCES.items()}
    about |= dict.fromkeys(glyphs.NAMES, "synthetic, drawn by code")
    about |= {name: OWN for name in prepared if name not in about}
    return [
        DataSet(
            name=name,
            about=text,
            classes=_classes(name, *prepared.get(name, {}).values()),
            stores=prepared.get(name, {}),
            layouts="" if name in glyphs.NAMES else layouts_of(name),
            download=name in SOURCES and SOURCES[name].download is not None,
        )
        for name, text in about.items()
    ]


def describe(name: str, cache: Path | None = None) -> DataSet:
    """Describe one data set, prepared or not.

    Args:
        name: A known data set, or your own prepared one; or `NAME@SIZE` for its store of one size.
        cache: Folder of stores. Default: `$FSBENCH_CACHE`, or the user's cache folder.

    Returns:
        The data set, with its stores, or the one of that size.

    Raises:
        FsbenchError: The data set is unknown, or not prepared at that size.

    Example:
        >>> describe("mini-imagenet").download
        False
    """
    plain, _, size = name.partition("@")
    datasets = {dataset.name: dataset for dataset in list_datasets(cache)}
    if plain not in datasets:
        raise unknown("data set", plain, datasets)
    dataset = datasets[plain]
    if not size:
        return dataset
    stores = {side: path for side, path in dataset.stores.items() if size == str(side)}
    if not stores:
        available = image_store.format_sizes(dataset.stores) if dataset.stores else "none"
        raise FsbenchError(f"data set {plain}: size must be one of {available}, but is {size}")
    return replace(dataset, stores=stores)


def contents(path: Path) -> Contents:
    """Describe what an image store holds, without reading its images.

    Args:
        path: The store, as returned by `prepare` or `find_store`.

    Returns:
        Classes, images and fingerprint of each split.

    Raises:
        FsbenchError: The store cannot be read.

    Example:
        >>> contents(find_store("glyphs")).splits["novel"].classes
        20
    """
    with image_store.open_store(path) as file:
        splits = {
            split: SplitContents(
                classes=len(file[split]["class_names"]),
                images=len(file[split]["labels"]),
                height=file[split]["pixels"].shape[1],
                width=file[split]["pixels"].shape[2],
                fingerprint=str(file[split].attrs["fingerprint"]),
            )
            for split in SPLITS
            if split in file
        }
        name, synthetic = str(file.attrs["name"]), bool(file.attrs["synthetic"])
        return Contents(name, path, synthetic, splits, path.stat().st_size)


def _classes(name: str, *stores: Path) -> tuple[int, ...] | None:
    """Return the number of classes of each split: of the first store, or as published without a store."""
    if stores:
        try:
            splits = contents(stores[0]).splits
        except FsbenchError:
            return None
        return tuple(splits[split].classes if split in splits else 0 for split in SPLITS)
    if name in SOURCES:
        return SOURCES[name].n_classes
    return tuple(glyphs.CLASSES[name].get(split, 0) for split in SPLITS)
