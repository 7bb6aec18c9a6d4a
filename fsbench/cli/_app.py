"""Shared behaviour of all command lines of the project: reading flags, help and errors."""

from collections.abc import Sequence
from inspect import BoundArguments
from typing import Any

from cyclopts import App, CycloptsError

from fsbench.cli._config import check_values, from_file
from fsbench.cli._errors import as_fsbench_error
from fsbench.cli._help import FlowingHelp
from fsbench.cli._options import ARGUMENTS, FLAGS


def command_line(name: str, summary: str, **settings: Any) -> App:
    """Create a command line; `settings` are further settings of `cyclopts.App`."""
    return App(
        name=name,
        help=summary,
        help_format="plaintext",
        help_formatter=FlowingHelp(),
        config=(from_file, check_values),
        default_parameter=FLAGS,
        group_arguments=ARGUMENTS,
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        **settings,
    )


def call(app: App, words: Sequence[str]) -> Any:
    """Run the command that the words of a command line select, and return its value.

    Raises:
        FsbenchError: A command or flag is unknown, a value is missing or wrong, or the command fails.
    """
    try:
        return app(list(words))
    except CycloptsError as error:
        raise as_fsbench_error(error, app.name[0]) from error


def parse(app: App, words: Sequence[str]) -> BoundArguments:
    """Parse the arguments of a command, with defaults, without running it.

    Raises:
        FsbenchError: A command or flag is unknown, or a value is missing or wrong.
    """
    try:
        _, bound, _ = app.parse_args(list(words))
    except CycloptsError as error:
        raise as_fsbench_error(error, app.name[0]) from error
    bound.apply_defaults()
    return bound
