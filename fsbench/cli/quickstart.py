"""`fsbench quickstart`: the whole chain on synthetic images."""

import argparse
from pathlib import Path

from fsbench.cli.options import Verbs, add_computing, answer, device_of


def add(verbs: Verbs) -> None:
    """`fsbench quickstart`."""
    verb = verbs.add_parser("quickstart", help="train, evaluate and rank on embedded synthetic images")
    verb.add_argument("--out", type=Path, default=Path("quickstart"), help="where all of it goes")
    add_computing(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Train, evaluate and rank; print the leaderboard and where it lies."""
    from fsbench.cli._quickstart import quickstart

    board = quickstart(chosen.out, device=device_of(chosen), cache=chosen.cache, quiet=chosen.quiet)
    text = f"{board.read_text(encoding='utf-8')}\nThe leaderboard lies in {board}"
    answer(chosen, {"leaderboard": board}, text)
