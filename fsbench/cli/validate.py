"""`fsbench validate`: what is wrong with a results folder."""

import argparse
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench.cli.options import Verbs, add_config, add_json, answer


def add(verbs: Verbs) -> None:
    """`fsbench validate RESULTS`."""
    verb = verbs.add_parser("validate", help="check files, digests and tables of a results folder")
    verb.add_argument("results", type=Path, nargs="?", default=Path("results"))
    verb.add_argument("--readme", type=Path, help="also check the tables in it")
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Print each problem; fail when there is one."""
    from fsbench.report.check import problems

    found = list(problems(chosen.results, chosen.readme))
    answer(chosen, {"problems": found}, "\n".join(found) or f"{chosen.results}: all right")
    if found:
        raise FsbenchError(f"results folder {chosen.results}: {len(found)} problems")
