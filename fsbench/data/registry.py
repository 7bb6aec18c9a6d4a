"""The known data sets: their splits, the layouts that are read, and where they come from.

To add a data set, add a `Source` to `SOURCES`. For a new layout, add a function to `_layouts.py`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, reason
from fsbench.data import _download, _layouts, _user_function
from fsbench.data._hugging_face import hugging_face
from fsbench.data.class_lists import cub_split, listed_split
from fsbench.data.folders import check_level, class_folders, split_folders
from fsbench.data.listing import SPLITS, Listing, Reader

_log = logging.getLogger(__name__)


class Download(Protocol):
    """Downloads a data set into a folder."""

    def __call__(self, folder: Path, *, quiet: bool) -> None:
        """Leave the data set in `folder`, in a layout that its readers know."""


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes:
        paper: Paper that defines the split.
        n_classes: Number of base, val and novel classes.
        n_images: Number of base, val and novel images.
        readers: Readers of its layouts, tried in this order.
        layouts: The layouts in words, for people.
        download: Function that downloads it into a folder; None if it cannot be downloaded.
        split_of: Function that returns the published split of a class name; None for unlisted names.
    """

    paper: str
    n_classes: tuple[int, int, int]
    n_images: tuple[int, int, int]
    readers: tuple[Reader, ...]
    layouts: str
    download: Download | None = None
    split_of: Callable[[str], str | None] = lambda _: None


SOURCES: dict[str, Source] = {
    "cifar-fs": Source(
        paper="Bertinetto et al., arXiv:1805.08136",
        n_classes=(64, 16, 20),
        n_images=(38_400, 9_600, 12_000),
        readers=(_layouts.cifar_pickles, _layouts.cifar_release, hugging_face, split_folders),
        layouts="cifar-100-python/{train,test,meta}, cifar100/{data,splits}, or {base,val,novel}/<class>/*",
        download=_download.cifar100,
        split_of=partial(listed_split, "cifar-fs"),
    ),
    "mini-imagenet": Source(
        paper="Ravi and Larochelle, ICLR 2017",
        n_classes=(64, 16, 20),
        n_images=(38_400, 9_600, 12_000),
        readers=(_layouts.csv_splits, hugging_face, split_folders),
        layouts="images/ with train.csv, val.csv and test.csv, or {train,val,test}/<class>/*",
        split_of=partial(listed_split, "mini-imagenet"),
    ),
    "tiered-imagenet": Source(
        paper="Ren et al., arXiv:1803.00676",
        n_classes=(351, 97, 160),
        n_images=(448_695, 124_261, 206_209),
        readers=(hugging_face, split_folders),
        layouts="{train,val,test}/<class>/*",
        split_of=partial(listed_split, "tiered-imagenet"),
    ),
    "cub": Source(
        paper="Chen et al., arXiv:1904.04232",
        n_classes=(100, 50, 50),
        n_images=(5_885, 2_950, 2_953),
        readers=(_layouts.cub, hugging_face, split_folders),
        layouts="CUB_200_2011/images/<001.Black_footed_Albatross>/*, or {base,val,novel}/<class>/*",
        download=_download.cub,
        split_of=cub_split,
    ),
    "omniglot": Source(
        paper="Meta-Dataset, arXiv:1903.03096",
        n_classes=(883, 81, 659),
        n_images=(17_660, 1_620, 13_180),
        readers=(_layouts.omniglot,),
        layouts="images_background/ and images_evaluation/ of <alphabet>/<character>/*",
        download=_download.omniglot,
    ),
}
_GENERIC_READERS = (hugging_face, split_folders, class_folders)
_GENERIC_LAYOUTS = "{base,val,novel}/<class>/* or <class>/*, or be a folder of Hugging Face's datasets"


def read(name: str, path: Path) -> Listing:
    """Read the images at `path`: a published data set of that name, or your own class folders.

    Instead of a folder, `path` may name a function, as `mine.py:function` or `package.module:function`; see
    `_user_function` for what it returns.

    Raises:
        FsbenchError: There is no such folder or function, its layout or classes are not those of the data
            set, a class is empty, or a class is in two splits.
    """
    source = SOURCES.get(name)
    if user_code.is_reference(str(path)) and not path.exists():
        listing = _user_function.read(str(path))
    else:
        listing = _read_folder(name, path, source)
    if source is not None:
        _check_published(name, source, path, listing)
    check_classes(name, listing)
    return listing


def layouts_of(name: str) -> str:
    """Return the layouts that the folder of a data set may have, in words."""
    return SOURCES[name].layouts if name in SOURCES else _GENERIC_LAYOUTS


def how_to_prepare(name: str) -> str:
    """Return the commands that prepare a data set."""
    source = SOURCES.get(name)
    download = f", or fsbench data prepare {name} --download" if source and source.download else ""
    return f"use fsbench data prepare {name} PATH, where PATH must hold {layouts_of(name)}{download}"


def _read_folder(name: str, path: Path, source: Source | None) -> Listing:
    """Read a folder with the first reader that knows its layout."""
    try:
        if not path.is_dir():
            state = "is a file" if path.exists() else "does not exist"
            raise FsbenchError(f"PATH {path}: must be a folder of images, but {state}")
        for reader in source.readers if source else _GENERIC_READERS:
            listing = reader(path)
            if listing is not None:
                if reader is class_folders:
                    check_level(path)
                return listing
    except OSError as error:
        raise FsbenchError(f"cannot read {error.filename or path}: {reason(error)}") from error
    raise FsbenchError(f"data set {name}: {path} must hold {source.layouts if source else _GENERIC_LAYOUTS}")


def _check_published(name: str, source: Source, path: Path, listing: Listing) -> None:
    """Refuse classes that are not those of the published data set; warn of another number of images."""
    counts = tuple(len(listing.get(split, {})) for split in SPLITS)
    if counts != source.n_classes:
        expected, actual = ("/".join(map(str, numbers)) for numbers in (source.n_classes, counts))
        raise FsbenchError(
            f"data set {name}: must have {expected} base/val/novel classes, but {path} has {actual}; "
            "choose another name for a different data set"
        )
    for split, classes in listing.items():
        for class_name in classes:
            published = source.split_of(class_name)
            if published not in (None, split):
                raise FsbenchError(
                    f"data set {name}: class {class_name} must be in split {published}, as published, but is "
                    f"in {split}; move it, or choose another name for a different data set"
                )

    images = tuple(sum(map(len, listing.get(split, {}).values())) for split in SPLITS)
    if images != source.n_images:
        expected, actual = ("/".join(f"{n:,}" for n in numbers) for numbers in (source.n_images, images))
        _log.warning(
            "fsbench: warning: data set %s: has %s base/val/novel images in %s, but %s as published, so "
            "results cannot be compared with published ones; for a different data set, choose another name",
            *(name, actual, path, expected),
        )


def check_classes(name: str, listing: Listing) -> None:
    """Refuse empty splits and classes, names that are not printable, and classes in two splits."""
    split_of: dict[str, str] = {}
    for split, classes in listing.items():
        if not classes:
            raise FsbenchError(f"data set {name}: split {split} must have at least one class, but has none")
        for class_name, pictures in classes.items():
            if not pictures:
                raise FsbenchError(
                    f"data set {name}: class {class_name} of split {split} must have at least one image, "
                    "but has none"
                )
            for text in (class_name, *pictures):
                if not text.isprintable():  # this includes bytes that are not UTF-8
                    raise FsbenchError(
                        f"data set {name}: {text!r} of split {split} must be a name in printable text; "
                        "rename it"
                    )
            if split_of.setdefault(class_name, split) != split:
                both = f"{split_of[class_name]} and {split}"
                raise FsbenchError(
                    f"data set {name}: splits must not share classes, but {class_name} is in {both}"
                )
