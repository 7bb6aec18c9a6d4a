"""`fsbench leaderboard`: a results folder to its tables."""

import argparse
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench.cli.options import Verbs, add_config, add_json, add_over, answer


def add(verbs: Verbs) -> None:
    """`fsbench leaderboard RESULTS`."""
    verb = verbs.add_parser("leaderboard", help="write the tables that follow from a results folder")
    verb.add_argument("results", type=Path, nargs="?", default=Path("results"))
    verb.add_argument("--readme", type=Path, help="also put the tables between its leaderboard markers")
    verb.add_argument(
        "--published",
        choices=("same", "all", "none"),
        default="same",
        help="published numbers below the measured ones of a data set: of the same backbones, of all "
        "backbones, or none on any page (default: same)",
    )
    verb.add_argument(
        "--memory-rows",
        action="store_true",
        help="also show published numbers that were not read at their source",
    )
    add_over(verb)
    verb.add_argument("--check", action="store_true", help="write nothing; fail when a table is stale")
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Write the tables, or say which are stale."""
    from fsbench.report.leaderboard import stale, update

    make = stale if chosen.check else update
    paths = make(
        chosen.results,
        chosen.readme,
        published=chosen.published,
        memory_rows=chosen.memory_rows,
        over=chosen.over,
    )
    if not chosen.check or chosen.json:
        answer(chosen, {"stale" if chosen.check else "written": paths}, "\n".join(map(str, paths)))
    if chosen.check and paths:
        raise FsbenchError(f"{paths[0]} is stale; write it again: fsbench leaderboard {chosen.results}")
