"""Convert errors of cyclopts to an `FsbenchError` of one line: name, rule, value, what to do."""

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError
from cyclopts.exceptions import UnusedCliTokensError

from fsbench._util.errors import FsbenchError, unknown


def as_fsbench_error(error: CycloptsError, program: str) -> FsbenchError:
    """Return the error for the user, with the most similar name if a command or flag is unknown."""
    line = " ".join((program, *(error.command_chain or ())))
    help_line = f"see: {line} --help"
    match error:
        case UnknownCommandError(app=app, unused_tokens=[token, *_]) if app:
            return unknown("command", token, [name for name in app if not name.startswith("-")])
        case UnknownOptionError():
            arguments = [argument for argument in error.argument_collection if argument.show]
            names = [name for argument in arguments for name in argument.names if name.startswith("--")]
            return unknown("flag", error.token.keyword or error.token.value, names)
        case UnusedCliTokensError(unused_tokens=[token, *_]):
            return FsbenchError(f"unexpected argument {token!r}; {help_line}")
        case MissingArgumentError(argument=argument) if argument:
            if error.keyword:
                return FsbenchError(f"{error.keyword} needs a value; {help_line}")
            name = argument.name if argument.name.startswith("-") else argument.name.upper()
            choices = ", ".join(argument.get_choices(force=True) or ())
            return FsbenchError(f"{name} is missing; {f'choose {choices}; ' * bool(choices)}{help_line}")
        case _:
            return FsbenchError(f"{str(error).strip().splitlines()[-1]}; {help_line}")
