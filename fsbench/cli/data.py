"""`fsbench data`: list, prepare and show data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from fsbench._util.terminal import escaped, table
from fsbench.cli._names import DataSet
from fsbench.cli._options import DATA, DATA_SET, FLAGS, Cache, Common, Force, Quiet
from fsbench.cli._output import answer

if TYPE_CHECKING:
    from rich.table import Table

    from fsbench.data.summary import Contents
    from fsbench.data.summary import DataSet as KnownDataSet

app = App(
    name="data",
    default_parameter=FLAGS,
    help="List, prepare and show data sets.",
    help_epilogue="Example: fsbench data list",
)


@app.command(name="list", sort_key=0, help_epilogue="Example: fsbench data list")
def list_(*, cache: Cache = None, common: Common = Common()) -> None:
    """List the data sets that fsbench knows and which of them are prepared."""
    from fsbench.data.summary import list_datasets

    datasets = list_datasets(cache)
    answer(common, datasets, *_overview(datasets))


@app.command(
    sort_key=1,
    help_epilogue="Examples: fsbench data prepare cifar-fs ~/data/cifar-fs\n"
    "          fsbench data prepare omniglot --download",
    usage="Usage: fsbench data prepare [OPTIONS] NAME [PATH]",
)
def prepare(
    name: Annotated[DataSet, DATA_SET, Parameter(show_choices=False)],
    path: Path | None = None,
    /,
    *,
    download: Annotated[bool, Parameter(group=DATA)] = False,
    image_size: Annotated[int | None, Parameter(group=DATA, metavar="PIXELS")] = None,
    force: Force = False,
    cache: Cache = None,
    quiet: Quiet = False,
    common: Common = Common(),
) -> None:
    """Convert images on your disk into an image store, once.

    Args:
        name: A data set that fsbench knows (see: fsbench data list) or a name for your own.
        path: Folder of the images, or ./mine.py:function that returns them. Not needed with --download.
        download: Download the data set from its publisher, where that is possible.
        image_size: Store images as squares of this size. Default: the original size, or 96 if sizes differ.
    """
    from fsbench.data import preparation
    from fsbench.data.summary import contents

    store = preparation.prepare(
        name, path, cache=cache, image_size=image_size, download=download, force=force, quiet=quiet
    )
    _answer_contents(common, contents(store))


@app.command(sort_key=2, help_epilogue="Example: fsbench data show cifar-fs")
def show(
    name: Annotated[DataSet, DATA_SET, Parameter(show_choices=False)],
    /,
    *,
    cache: Cache = None,
    common: Common = Common(),
) -> None:
    """Show the classes, images and fingerprints of a prepared data set.

    Args:
        name: Name of the data set. If it is not prepared, the error says how to prepare it.
    """
    from fsbench.data.loading import find_store
    from fsbench.data.summary import contents

    _answer_contents(common, contents(find_store(name, cache)))


def _answer_contents(common: Common, store: "Contents") -> None:
    """Print the name and the path of an image store, and a table with one line per split."""
    rows = [
        (split, part.classes, f"{part.images:,}", f"{part.height} x {part.width}", part.fingerprint[:12])
        for split, part in store.splits.items()
    ]
    numbers = ("classes", "images", "pixels")
    splits = table(("split", *numbers, "fingerprint"), rows, right=numbers)
    answer(common, store, f"{store.name}{', synthetic images' * store.synthetic}", str(store.path), splits)


def _overview(datasets: Sequence["KnownDataSet"]) -> tuple["Table", str]:
    """Return a table of data sets, one line each; known ones fit into 80 characters."""
    from fsbench.data.image_store import format_sizes

    rows = [
        (
            escaped(dataset.name),
            "unreadable" if dataset.classes is None else "/".join(map(str, dataset.classes)),
            format_sizes(dataset.stores) if dataset.stores else "-",
            dataset.about,
        )
        for dataset in datasets
    ]
    columns = ("data set", "classes", "prepared", "split or source")
    hint = "To prepare one: fsbench data prepare NAME PATH (without PATH: what it reads)"
    return table(columns, rows), f"\nClasses are base/val/novel.\n{hint}"
