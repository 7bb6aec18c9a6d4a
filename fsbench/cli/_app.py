"""What every command line of the project has: how it reads flags, shows help and reports mistakes."""

from collections.abc import Sequence
from inspect import BoundArguments
from typing import Any

from cyclopts import App, CycloptsError

from fsbench.cli._config import check_values, from_file
from fsbench.cli._errors import in_house_style
from fsbench.cli._help import FlowingHelp
from fsbench.cli._options import ARGUMENTS, FLAGS


def command_line(name: str, summary: str, **more: Any) -> App:
    """A command line; `more` are further settings of `cyclopts.App`."""
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
        **more,
    )


def call(app: App, words: Sequence[str]) -> Any:
    """Run what the words of a command line ask for; the value that the command returns.

    Raises:
        FsbenchError: An unknown command or flag, a missing or wrong value, or what the command raises.
    """
    try:
        return app(list(words))
    except CycloptsError as error:
        raise in_house_style(error, app.name[0]) from error


def parse(app: App, words: Sequence[str]) -> BoundArguments:
    """The arguments of a command as its function gets them, with defaults; nothing is run.

    Raises:
        FsbenchError: An unknown command or flag, or a value that is missing or wrong.
    """
    try:
        _, bound, _ = app.parse_args(list(words))
    except CycloptsError as error:
        raise in_house_style(error, app.name[0]) from error
    bound.apply_defaults()
    return bound
