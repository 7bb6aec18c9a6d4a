"""`fsbench data`: list, prepare and show data sets."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from fsbench.cli._names import DataSet
from fsbench.cli._options import DATA, DATA_SET, FLAGS, Cache, Common, Force, Quiet
from fsbench.cli._output import answer

app = App(
    name="data",
    default_parameter=FLAGS,
    help="List, prepare and show data sets.",
    help_epilogue="Example: fsbench data list",
)


@app.command(name="list", sort_key=0, help_epilogue="Example: fsbench data list")
def list_(*, cache: Cache = None, common: Common = Common()) -> None:
    """List the data sets that fsbench knows and which of them are prepared."""
    from fsbench.data.summary import list_datasets, overview

    answer(common, list_datasets(cache), *overview(cache))


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
    from fsbench.data.summary import contents, describe

    store = preparation.prepare(
        name, path, cache=cache, image_size=image_size, download=download, force=force, quiet=quiet
    )
    answer(common, contents(store), *describe(store))


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
    from fsbench.data.summary import contents, describe

    path = find_store(name, cache)
    answer(common, contents(path), *describe(path))
