"""The `fsbench` command: a file a verb, each of which parses its arguments, calls one function and prints.

Everything heavy is imported inside the verbs, so that `--help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from fsbench import __version__
from fsbench._util.errors import FsbenchError, memory_advice
from fsbench.cli import (
    compare,
    completion,
    data,
    diagnose,
    doctor,
    evaluate,
    extract,
    leaderboard,
    plot,
    predict,
    quickstart,
    reproduce,
    train_backbone,
    validate,
)
from fsbench.cli.colour import paint
from fsbench.cli.parser import Parser

VERBS = (  # in the order in which people need them
    quickstart,
    data,
    train_backbone,
    extract,
    evaluate,
    predict,
    compare,
    plot,
    diagnose,
    leaderboard,
    reproduce,
    validate,
    doctor,
    completion,
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; what it parses has the function of its verb as `run`."""
    parser = Parser(
        prog="fsbench",
        description="Few-shot image classification, measured.",
        epilog="fsbench VERB --help tells more; start with: fsbench quickstart",
    )
    parser.add_argument("--version", action="version", version=f"fsbench {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 when it is done, 2 with one line on stderr when an argument or a file is wrong."""
    try:
        try:
            _check_encoding()
            chosen = make_parser().parse_args(arguments)
            with memory_advice("this command", "what it has finished is kept; it goes on once there is more"):
                chosen.run(chosen)
        finally:
            sys.stdout.flush()
    except FsbenchError as error:
        _complain(str(error))
        return 2
    except KeyboardInterrupt:
        _complain("stopped; the same command goes on from here")
        return 130
    except BrokenPipeError:  # the reader has read enough; Python flushes what is left when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _check_encoding() -> None:
    """Refuse a Python that reads names of files and classes in another encoding, as they are part of keys."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise FsbenchError(f"names must be read as utf-8, but this locale reads {encoding}; set PYTHONUTF8=1")


def _complain(line: str) -> None:
    print(paint("fsbench:", "red", sys.stderr), line, file=sys.stderr)
