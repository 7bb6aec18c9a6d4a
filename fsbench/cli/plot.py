"""`fsbench plot`: one figure."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_config, add_json, answer


def add(verbs: Verbs) -> None:
    """`fsbench plot KIND PATH...`."""
    verb = verbs.add_parser("plot", help="figures of results, features and training")
    verb.add_argument(
        "kind",
        help="ways-shots, recipe-head, cross-domain, task-accuracies, budget, features, training or time",
    )
    verb.add_argument(
        "path", type=Path, nargs="+", help="result files or folders, feature files, run folders"
    )
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png, .svg or .pdf")
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Draw one figure and say where it lies."""
    from fsbench.report.plots import plot, save

    save(plot(chosen.kind, chosen.path), chosen.out)
    answer(chosen, {"figure": chosen.out}, str(chosen.out))
