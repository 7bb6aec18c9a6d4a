"""`fsbench reproduce`: a result file, run again."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_computing, answer, device_of


def add(verbs: Verbs) -> None:
    """`fsbench reproduce RESULT`."""
    verb = verbs.add_parser("reproduce", help="run again what a result file says, and compare")
    verb.add_argument("result", type=Path)
    verb.add_argument("--checkpoint", type=Path, help="evaluate this one again instead of training")
    verb.add_argument(
        "--head", help="the result's own, where that is a file of code: it is run only if named"
    )
    verb.add_argument("--out", type=Path, default=Path("reproduced"), help="default: reproduced")
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Run a result again and print how the two compare."""
    from fsbench._util.session import Session
    from fsbench.report.reproduce import reproduce

    found = reproduce(
        chosen.result,
        checkpoint=chosen.checkpoint,
        head=chosen.head,
        out=chosen.out,
        session=Session(chosen.cache, device_of(chosen), chosen.quiet),
    )
    answer(chosen, found, found.line())
