"""`fsbench doctor`: versions, devices, cache and data sets of this machine, and problems."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cyclopts import App

from fsbench._util.terminal import escaped, table
from fsbench.cli._options import Cache, Common
from fsbench.cli._output import answer

if TYPE_CHECKING:
    from rich.table import Table

    from fsbench.cli._installation import Checkup

app = App(name="doctor", help_epilogue="Example: fsbench doctor")


@app.default
def doctor(*, cache: Cache = None, common: Common = Common()) -> None:
    """Show versions, devices, the cache and its data sets, and warn of problems."""
    from rich.text import Text

    from fsbench.cli._installation import examine, troubles

    checkup = examine(cache)
    problems = troubles(checkup)
    warnings = [Text.assemble(("warning:", "yellow"), " ", line) for line in problems]
    verdict = warnings or [Text("no problems found", "green")]
    answer(common, {**asdict(checkup), "warnings": problems}, *_sections(checkup), *verdict)


def _sections(checkup: "Checkup") -> list["str | Table"]:
    """Return tables of versions, devices, cache and data sets."""
    from fsbench.cli._installation import gib

    versions = checkup.versions | ({"commit": checkup.commit} if checkup.commit else {})
    devices = [
        (
            device.device,
            escaped(device.name),
            f"{gib(device.free_memory)} free",
            "yes" if device.bf16 else "no",
            f"{device.precision}{', compiled' * device.compiled}",
        )
        for device in checkup.devices
    ]
    stores = []
    for store in checkup.stores:
        splits = store.contents.splits if store.contents else {}
        classes = ", ".join(f"{part.classes} {split}" for split, part in splits.items())
        images = sum(part.images for part in splits.values())
        stores.append((escaped(store.path.stem), classes or "unreadable", f"{images:,}", gib(store.bytes)))
    disk = f"{gib(checkup.cache_bytes)}; {gib(checkup.free_disk)} free on its disk"
    return [
        table(("package", "version"), [(name, escaped(text)) for name, text in versions.items()]),
        "",
        table(("device", "name", "memory", "supports bf16", "default precision"), devices),
        f"{checkup.threads} threads on {checkup.cores} cores\n",
        f"cache: {checkup.cache}, {disk}\n",
        table(("data set", "classes", "images", "size"), stores, right=("images", "size"))
        if stores
        else "No data set is prepared; fsbench data list shows which there are.",
        "",
    ]
