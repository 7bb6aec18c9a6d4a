"""`fsbench doctor`: versions, devices, cache, data sets, and what will hurt."""

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from fsbench.cli.colour import paint
from fsbench.cli.options import Verbs, add_cache, add_config, add_json, answer

if TYPE_CHECKING:
    from fsbench.cli._installation import Checkup


def add(verbs: Verbs) -> None:
    """`fsbench doctor`."""
    verb = verbs.add_parser("doctor", help="versions, devices, cache, data sets, and what will hurt")
    add_cache(verb)
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Print what was found, troubles last."""
    from fsbench.cli._installation import examine, troubles

    found = examine(chosen.cache)
    hurts = troubles(found)
    lines = [f"{paint('warning:', 'yellow', sys.stdout)} {line}" for line in hurts]
    text = "\n\n".join([*_sections(found), "\n".join(lines or [paint("all well", "green", sys.stdout)])])
    answer(chosen, {**asdict(found), "warnings": hurts}, text)


def _sections(found: "Checkup") -> list[str]:
    """What was found, for people."""
    from tabulate import tabulate

    from fsbench.cli._installation import gib

    versions = found.versions | ({"commit": found.commit} if found.commit else {})
    devices = [
        (
            device.device,
            device.name,
            f"{gib(device.free_memory)} free",
            "bf16" if device.bf16 else "no bf16",
            f"trains in {device.precision}{', compiled' * device.compiled}",
        )
        for device in found.devices
    ]
    stores = []
    for store in found.stores:
        splits = store.contents.splits if store.contents else {}
        classes = ", ".join(f"{part.classes} {split}" for split, part in splits.items())
        images = sum(part.images for part in splits.values())
        stores.append((store.path.stem, classes or "unreadable", f"{images:,}", gib(store.bytes)))
    columns = ("data set", "classes", "images", "size")
    return [
        tabulate(versions.items(), tablefmt="plain", disable_numparse=True),
        tabulate(devices, tablefmt="plain") + f"\n{found.threads} threads on {found.cores} cores",
        f"cache: {found.cache}, {gib(found.cache_bytes)}; {gib(found.free_disk)} free on its disk",
        tabulate(stores, columns, "plain", colalign=("left", "left", "right", "right"))
        if stores
        else "no data set is prepared; which there are: fsbench data list",
    ]
