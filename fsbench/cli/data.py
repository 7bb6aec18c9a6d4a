"""`fsbench data`: list, prepare and show data sets."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_cache, add_config, add_json, add_quiet, answer


def add(verbs: Verbs) -> None:
    """`fsbench data list | prepare | show`."""
    data = verbs.add_parser("data", help="list, prepare and show data sets")
    actions = data.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="data sets that fsbench knows, and which are prepared")
    add_cache(listing)
    add_config(listing)
    add_json(listing)
    listing.set_defaults(run=run_list)

    prepare = actions.add_parser("prepare", help="turn images on your disk into an image store, once")
    prepare.add_argument("name", help="a known data set (see: fsbench data list) or a name for your own")
    prepare.add_argument(
        "path",
        type=Path,
        nargs="?",
        help="the folder the images lie in, or ./mine.py:function that returns them",
    )
    prepare.add_argument(
        "--download", action="store_true", help="fetch it from its publisher, where that is possible"
    )
    prepare.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="resize to this square (default: as they are, 96 where their sizes differ)",
    )
    prepare.add_argument("--force", action="store_true", help="prepare again, in place of what is there")
    add_cache(prepare)
    add_config(prepare)
    add_quiet(prepare)
    add_json(prepare)
    prepare.set_defaults(run=run_prepare)

    show = actions.add_parser("show", help="classes, images and fingerprints of a prepared data set")
    show.add_argument("name")
    add_cache(show)
    add_config(show)
    add_json(show)
    show.set_defaults(run=run_show)


def run_list(chosen: argparse.Namespace) -> None:
    """Print a table of known and prepared data sets."""
    from fsbench.data.summary import list_datasets, overview

    answer(chosen, list_datasets(chosen.cache), overview(chosen.cache))


def run_prepare(chosen: argparse.Namespace) -> None:
    """Prepare one data set and say where its store lies."""
    from fsbench.data.preparation import prepare
    from fsbench.data.summary import contents, describe

    path = prepare(
        chosen.name,
        chosen.path,
        cache=chosen.cache,
        image_size=chosen.image_size,
        download=chosen.download,
        force=chosen.force,
        quiet=chosen.quiet,
    )
    answer(chosen, contents(path), describe(path))


def run_show(chosen: argparse.Namespace) -> None:
    """Print what a prepared data set holds."""
    from fsbench.data.loading import find_store
    from fsbench.data.summary import contents, describe

    path = find_store(chosen.name, chosen.cache)
    answer(chosen, contents(path), describe(path))
