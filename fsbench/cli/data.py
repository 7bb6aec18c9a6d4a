"""`fsbench data`: list, prepare, show and remove data sets."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from fsbench._util.terminal import escaped, table
from fsbench.cli._names import DataSet
from fsbench.cli._options import DATA, DATA_SET, FLAGS, Cache, Common, Force, Quiet
from fsbench.cli._output import answer, print_error

if TYPE_CHECKING:
    from rich.table import Table

    from fsbench.data.summary import Contents
    from fsbench.data.summary import DataSet as KnownDataSet

app = App(
    name="data",
    default_parameter=FLAGS,
    help="List, prepare, show and remove data sets.",
    help_epilogue="Example: fsbench data list",
)


@app.command(name="list", sort_key=0, help_epilogue="Example: fsbench data list")
def list_(*, cache: Cache = None, common: Common = Common()) -> None:
    """List the data sets that fsbench knows, which of them are prepared, and where each comes from."""
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
    split: Annotated[str | None, Parameter(group=DATA, metavar="BASE/VAL/NOVEL")] = None,
    skip_unreadable: Annotated[bool, Parameter(group=DATA)] = False,
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
        split: Divide the classes of your own data set at random by these percentages, such as 60/20/20.
            Default: classes in folders base, val and novel keep their split; other classes are all novel.
        skip_unreadable: Leave out images that cannot be read, and name them.
        image_size: Store images as squares of this size. Default: the original size, or 96 if sizes differ.
    """
    from fsbench.data import preparation
    from fsbench.data.class_split import parse_shares
    from fsbench.data.summary import contents

    store = contents(
        preparation.prepare(
            name,
            path,
            cache=cache,
            image_size=image_size,
            download=download,
            split=None if split is None else parse_shares(split),
            skip_unreadable=skip_unreadable,
            force=force,
            quiet=quiet,
        )
    )
    answer(common, store, *_contents(store))
    _warn_of_few_classes(store)


@app.command(sort_key=2, help_epilogue="Example: fsbench data show cifar-fs")
def show(
    name: Annotated[DataSet, DATA_SET, Parameter(show_choices=False)],
    /,
    *,
    cache: Cache = None,
    common: Common = Common(),
) -> None:
    """Show the classes and images of a data set. If it is not prepared, show how to prepare it.

    Args:
        name: Name of the data set, or NAME@SIZE for its images of one size.
    """
    from fsbench.data.summary import contents, describe

    dataset = describe(name, cache)
    stores = [contents(path) for path in dataset.stores.values()]
    parts = [part for store in stores for part in _contents(store)] or [_needs(dataset)]
    answer(common, {**asdict(dataset), "stores": stores}, *parts)


@app.command(sort_key=3, help_epilogue="Example: fsbench data remove mine")
def remove(
    name: Annotated[DataSet, DATA_SET, Parameter(show_choices=False)],
    /,
    *,
    cache: Cache = None,
    common: Common = Common(),
) -> None:
    """Delete the prepared images of a data set. The images that they were made from stay.

    Args:
        name: Name of the data set, or NAME@SIZE for its images of one size.
    """
    from fsbench.data import preparation

    removed = preparation.remove(name, cache)
    lines = "\n".join(f"removed {path} ({_mib(size)})" for path, size in removed.items())
    answer(common, {"removed": list(removed)}, lines)


def _warn_of_few_classes(store: "Contents") -> None:
    """Print a warning if there are fewer novel classes than a task has by default."""
    from fsbench.tasks.spec import TaskSpec

    novel = store.splits.get("novel")
    if novel is None or novel.classes >= TaskSpec.n_way:
        return
    count = f"{novel.classes} novel class{'es' * (novel.classes != 1)}"
    advice = (
        f"evaluate with --n-way {novel.classes} or less" if novel.classes > 1 else "a task needs at least 2"
    )
    print_error(
        f"warning: data set {store.name}: has only {count}, but tasks have {TaskSpec.n_way} by default; "
        f"{advice}"
    )


def _contents(store: "Contents") -> list["str | Table"]:
    """Return name, path and size of an image store, and a table with one line per split."""
    rows = [
        (split, part.classes, f"{part.images:,}", f"{part.height} x {part.width}", part.fingerprint[:12])
        for split, part in store.splits.items()
    ]
    numbers = ("classes", "images", "pixels")
    splits = table(("split", *numbers, "fingerprint"), rows, right=numbers)
    name = f"{store.name}{', synthetic images' * store.synthetic}"
    return [name, f"{store.path} ({_mib(store.bytes)})", splits]


def _needs(dataset: "KnownDataSet") -> str:
    """Describe a data set that is not prepared: its split, what PATH must hold, and the command."""
    classes = "/".join(map(str, dataset.classes or ()))
    command = f"fsbench data prepare {dataset.name}"
    lines = {"split": f"{classes} base/val/novel classes; {dataset.about}"}
    if dataset.layouts:
        lines["PATH"] = f"a folder with {dataset.layouts}"
        lines["download"] = f"{command} --download" if dataset.download else "not possible; get the images"
        lines["prepare"] = f"{command} PATH"
    else:
        lines["prepare"] = "not needed: it is drawn on first use"
    rows = "\n".join(f"{name:<9} {text}" for name, text in lines.items())
    return f"{dataset.name}: not prepared\n{rows}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


def _overview(datasets: Sequence["KnownDataSet"]) -> tuple["Table", str]:
    """Return a table of data sets, one line each; known ones fit into 80 characters."""
    from fsbench.data.image_store import format_sizes
    from fsbench.data.summary import OWN

    rows = []
    for dataset in datasets:
        total = _mib(sum(path.stat().st_size for path in dataset.stores.values()))
        sizes = f"{format_sizes(dataset.stores)} ({total})" if dataset.stores else "-"
        own = dataset.about == OWN
        origin = "your images" if own else "PATH" if dataset.layouts else "drawn by code"
        origin += " or --download" * dataset.download
        classes = "unreadable" if dataset.classes is None else "/".join(map(str, dataset.classes))
        rows.append((escaped(dataset.name), classes, sizes, origin))
    hint = (
        "To prepare one: fsbench data prepare NAME PATH (or NAME --download)\n"
        "What PATH must hold, and the paper of the split: fsbench data show NAME"
    )
    columns = ("data set", "classes", "prepared", "comes from")
    return table(columns, rows), f"\nClasses are base/val/novel.\n{hint}"
