"""The data sets that fsbench knows: how each lies on a disk, and where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason
from fsbench.data import download, user_function
from fsbench.data import layouts as readers
from fsbench.data.hugging_face import hugging_face
from fsbench.data.image_store import SPLITS
from fsbench.data.layouts import Listing, Reader, class_list, cub_split


class Download(Protocol):
    """Fetches a data set into a folder."""

    def __call__(self, folder: Path, *, quiet: bool) -> None:
        """Leave the data set in `folder`, in a layout that its readers know."""


def _listed(name: str) -> Callable[[str], str | None]:
    """A rule that looks a class up in the published list."""
    return lambda class_name: next((s for s, known in class_list(name).items() if class_name in known), None)


@dataclass(frozen=True)
class Source:
    """One published data set."""

    paper: str  # of the split
    n_classes: tuple[int, int, int]  # base, val, novel
    readers: tuple[Reader, ...]  # of its layouts, tried in this order
    layouts: str  # what PATH holds, in words
    download: Download | None = None
    split_of: Callable[[str], str | None] = lambda _: None  # the published split of a class, by its name


SOURCES: dict[str, Source] = {
    "cifar-fs": Source(
        paper="Bertinetto et al., arXiv:1805.08136",
        n_classes=(64, 16, 20),
        readers=(readers.cifar_pickles, readers.cifar_release, hugging_face, readers.split_folders),
        layouts="cifar-100-python/{train,test,meta}, cifar100/{data,splits}, or {base,val,novel}/<class>/*",
        download=download.cifar100,
        split_of=_listed("cifar-fs"),
    ),
    "mini-imagenet": Source(
        paper="Ravi and Larochelle, ICLR 2017",
        n_classes=(64, 16, 20),
        readers=(readers.csv_splits, hugging_face, readers.split_folders),
        layouts="images/ with train.csv, val.csv and test.csv, or {train,val,test}/<class>/*",
        split_of=_listed("mini-imagenet"),
    ),
    "tiered-imagenet": Source(
        paper="Ren et al., arXiv:1803.00676",
        n_classes=(351, 97, 160),
        readers=(hugging_face, readers.split_folders),
        layouts="{train,val,test}/<class>/*",
        split_of=_listed("tiered-imagenet"),
    ),
    "cub": Source(
        paper="Chen et al., arXiv:1904.04232",
        n_classes=(100, 50, 50),
        readers=(readers.cub, hugging_face, readers.split_folders),
        layouts="CUB_200_2011/images/<001.Black_footed_Albatross>/*, or {base,val,novel}/<class>/*",
        download=download.cub,
        split_of=cub_split,
    ),
    "omniglot": Source(
        paper="Meta-Dataset, arXiv:1903.03096",
        n_classes=(883, 81, 659),
        readers=(readers.omniglot,),
        layouts="images_background/ and images_evaluation/ of <alphabet>/<character>/*",
        download=download.omniglot,
    ),
}
_OWN = (hugging_face, readers.split_folders, readers.class_folders)
_OWN_LAYOUTS = "{base,val,novel}/<class>/* or <class>/*, or be a folder of Hugging Face's datasets"


def read(name: str, path: Path) -> Listing:
    """What lies at `path`: the published data set of that name, or class folders of one's own.

    `path` may name a function instead, as `mine.py:function` or `package.module:function`; what that returns
    stands in `from_function`.

    Raises:
        FsbenchError: no such folder or function, another layout, other classes, an empty class, or one in two
            splits.
    """
    source = SOURCES.get(name)
    if user_code.is_reference(str(path)) and not path.exists():
        listing = user_function.read(str(path))
    else:
        listing = _laid_out(name, path, source)
    if source is not None:
        _check_published(name, source, path, listing)
    _check_sound(name, listing)
    return listing


def _laid_out(name: str, path: Path, source: Source | None) -> Listing:
    """What lies in a folder of one of the layouts."""
    try:
        if not path.is_dir():
            what = "a file" if path.exists() else "absent"
            raise FsbenchError(f"PATH {path}: must be a folder of images, but is {what}")
        found = (reader(path) for reader in (source.readers if source else _OWN))
        listing = next((one for one in found if one is not None), None)
    except OSError as error:
        raise FsbenchError(f"cannot read {error.filename or path}: {reason(error)}") from error
    if listing is None:
        layouts = source.layouts if source else _OWN_LAYOUTS
        raise FsbenchError(f"data set {name}: {path} must hold {layouts}")
    return listing


def how(name: str) -> str:
    """What to do to get a data set prepared."""
    source = SOURCES.get(name)
    fetch = f", or fsbench data prepare {name} --download" if source and source.download else ""
    return f"fsbench data prepare {name} PATH takes {source.layouts if source else _OWN_LAYOUTS}{fetch}"


def _check_published(name: str, source: Source, path: Path, listing: Listing) -> None:
    found = tuple(len(listing.get(split, {})) for split in SPLITS)
    if found != source.n_classes:
        want, have = ("/".join(map(str, numbers)) for numbers in (source.n_classes, found))
        raise FsbenchError(f"data set {name}: has {want} base/val/novel classes, but {path} holds {have}")
    for split, classes in listing.items():
        for class_name in classes:
            published = source.split_of(class_name)
            if published not in (None, split):
                raise FsbenchError(
                    f"data set {name}: class {class_name} of split {split} belongs to {published}"
                )


def _check_sound(name: str, listing: Listing) -> None:
    split_of: dict[str, str] = {}
    for split, classes in listing.items():
        if not classes:
            raise FsbenchError(f"data set {name}: split {split} must have a class, but is empty")
        for class_name, pictures in classes.items():
            if not pictures:
                raise FsbenchError(f"data set {name}: class {class_name} of split {split} holds no image")
            for text in (class_name, *pictures):
                if not text.isprintable():  # bytes that are not UTF-8 among them
                    raise FsbenchError(
                        f"data set {name}: {text!r} of split {split} must be a name in printable text"
                    )
            if split_of.setdefault(class_name, split) != split:
                both = f"{split_of[class_name]} and {split}"
                raise FsbenchError(f"data set {name}: splits share no class, but {class_name} is in {both}")
