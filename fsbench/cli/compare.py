"""`fsbench compare`: results in pairs."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_config, add_json, answer


def add(verbs: Verbs) -> None:
    """`fsbench compare RESULT RESULT ...`."""
    verb = verbs.add_parser("compare", help="which results differ, by how much and how surely")
    verb.add_argument(
        "results", type=Path, nargs="+", metavar="RESULT", help="result files, or folders of them"
    )
    verb.add_argument(
        "--against", choices=("all", "first", "best"), default="all", help="which pairs (default: all)"
    )
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Compare and print the table, or all of it as JSON."""
    from fsbench.compare import compare, table

    found = compare(chosen.results, chosen.against)
    answer(chosen, found, table(found))
