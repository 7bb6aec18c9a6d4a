"""`fsbench compare`: compare results in pairs."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_config, add_json, add_over, answer


def add(verbs: Verbs) -> None:
    """`fsbench compare RESULT RESULT ...`."""
    verb = verbs.add_parser("compare", help="compare results in pairs: differences, intervals, p-values")
    verb.add_argument(
        "results", type=Path, nargs="+", metavar="RESULT", help="result files, or folders of them"
    )
    verb.add_argument(
        "--against", choices=("all", "first", "best"), default="all", help="pairs to show (default: all)"
    )
    add_over(verb)
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Compare results and print the table, or everything as JSON."""
    from fsbench.report.compare import compare, table

    comparison = compare(chosen.results, chosen.against, chosen.over)
    answer(chosen, comparison, table(comparison))
