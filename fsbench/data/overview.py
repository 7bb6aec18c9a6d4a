"""What data sets there are and what their stores hold, as text for people."""

from pathlib import Path

from tabulate import tabulate

from fsbench.data import glyphs, store
from fsbench.data.sources import SOURCES
from fsbench.data.store import SPLITS
from fsbench.errors import FsbenchError


def describe(path: Path) -> str:
    """What a store holds, for people: a line a split."""
    with store.opened(path) as file:
        kind = ", synthetic images" if file.attrs["synthetic"] else ""
        rows = [
            (
                split,
                len(file[split]["class_names"]),
                f"{len(file[split]['labels']):,}",
                "{} x {}".format(*file[split]["pixels"].shape[1:3]),
                str(file[split].attrs["fingerprint"])[:12],
            )
            for split in SPLITS
            if split in file
        ]
        head = f"{file.attrs['name']}{kind}\n{path}\n"
    columns = ("split", "classes", "images", "pixels", "fingerprint")
    return head + tabulate(rows, columns, tablefmt="plain", colalign=("left", *["right"] * 3, "left"))


def overview(cache: Path | None = None) -> str:
    """Known and prepared data sets, for people: a line each, of at most 80 characters for the known ones."""
    prepared = store.prepared(cache)
    about = {name: source.paper for name, source in SOURCES.items()}
    about |= dict.fromkeys(glyphs.NAMES, "synthetic, drawn by code")
    about |= {name: "your own" for name in prepared if name not in about}
    rows = []
    for name, what in about.items():
        found = prepared.get(name, {})
        at = store.sizes_text(found) if found else "-"
        rows.append((name, _classes(name, *found.values()), at, what))
    columns = ("data set", "classes", "prepared", "split or source")
    table = tabulate(rows, columns, tablefmt="plain", colalign=("left",) * 4)
    return f"{table}\n\nClasses are base/val/novel. How to prepare one: fsbench data show NAME"


def _classes(name: str, *stores: Path) -> str:
    """How many classes a data set has, in its store or, before there is one, as published."""
    if stores:
        try:
            with store.opened(stores[0]) as file:
                numbers = [len(file[split]["class_names"]) if split in file else 0 for split in SPLITS]
        except FsbenchError:
            return "unreadable"
    elif name in SOURCES:
        numbers = list(SOURCES[name].n_classes)
    else:
        numbers = [glyphs.CLASSES[name].get(split, 0) for split in SPLITS]
    return "/".join(map(str, numbers))
