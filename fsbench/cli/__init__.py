"""The `fsbench` command: one file per command, each a typed function that calls the library and prints.

Commands are imported when they are used, and import everything heavy themselves, so that `--help` is fast.
"""

import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import Group

from fsbench import __version__
from fsbench._util.errors import FsbenchError, memory_advice, reason
from fsbench.cli._app import call, command_line
from fsbench.cli._output import print_error

__all__ = ["app", "main"]

COMMANDS = (  # in the order of typical use
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
        0 on success; 2 if an argument or a file is wrong, after one line on stderr; 130 if interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in app.help_flags:
        app.resolved_commands()  # imports all commands, for their summaries
    try:
        try:
            _set_encoding()
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
        print_error(str(stop) or "interrupted; run the same command again to continue")
        return 130
    except BrokenPipeError:  # the reader closed the pipe; Python flushes the remaining output when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # files are written by functions that raise FsbenchError
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print_error(f"cannot write the output: {reason(error)}")
        return 2
    except SystemExit as end:  # rich exits when the reader closes the pipe
        if not isinstance(end.__context__, BrokenPipeError):
            raise
    return 0


def _set_encoding() -> None:
    """Write UTF-8, and refuse another encoding of file names: names of files and classes are part of keys.

    By default, Windows writes the characters of one language into files and pipes.
    """
    for stream in (sys.stdout, sys.stderr):
        if "PYTHONIOENCODING" in os.environ or not isinstance(stream, TextIOWrapper):
            continue
        if stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8", errors=stream.errors)
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise FsbenchError(f"file names must be utf-8, but this locale uses {encoding}; set PYTHONUTF8=1")
