"""The `fsbench` command: one file per command, each a typed function that calls the library and prints.

Commands are imported when they are used, and import everything heavy themselves, so that `--help` is fast.
"""

import errno
import os
import sys
from collections.abc import Sequence

from cyclopts import Group

from fsbench import __version__
from fsbench._util.errors import FsbenchError, memory_advice, reason
from fsbench.cli._app import call, command_line
from fsbench.cli._output import print_error

__all__ = ["app", "main"]

COMMANDS = (  # in the order in which people need them
    "quickstart",
    "data",
    "train-backbone",
    "extract",
    "evaluate",
    "predict",
    "compare",
    "plot",
    "diagnose",
    "leaderboard",
    "reproduce",
    "validate",
    "doctor",
    "completion",
)

app = command_line(
    "fsbench",
    "Few-shot image classification, measured.",
    help_epilogue="fsbench COMMAND --help explains a command. Start with: fsbench quickstart",
    version=f"fsbench {__version__}",
    group_commands=Group("Commands", sort_key=0),
)
for _number, _name in enumerate(COMMANDS):
    app.command(f"fsbench.cli.{_name.replace('-', '_')}:app", name=_name, sort_key=_number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after `fsbench`; None: those of this process.

    Returns:
        0 when it is done, 2 after one line on stderr when an argument or a file is wrong, 130 when stopped.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in app.help_flags:
        app.resolved_commands()  # imports all, as the list of commands has their summaries
    try:
        try:
            _check_encoding()
            with memory_advice(
                "this command", "finished results are kept; run it again when more memory is free"
            ):
                call(app, words)
        finally:
            sys.stdout.flush()
    except FsbenchError as error:
        print_error(str(error))
        return 2
    except KeyboardInterrupt as stop:
        print_error(str(stop) or "stopped; finished work is kept, and the same command does the rest")
        return 130
    except BrokenPipeError:  # the reader has read enough; Python flushes what is left when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # files are written by functions that raise FsbenchError
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print_error(f"cannot write the output: {reason(error)}")
        return 2
    except SystemExit as end:  # so rich ends when the reader has read enough
        if not isinstance(end.__context__, BrokenPipeError):
            raise
    return 0


def _check_encoding() -> None:
    """Refuse a Python that reads names of files and classes in another encoding, as they are part of keys."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise FsbenchError(f"names must be read as utf-8, but this locale reads {encoding}; set PYTHONUTF8=1")
