"""`--config FILE`: flags of commands in a TOML file.

    [train-backbone]
    dataset = "cifar-fs"
    epochs = [4, 2]
    no-augment = true

Each table configures one command, such as `[evaluate]` or `[data.prepare]`; each key is one of its flags.
Flags on the command line override those in the file. The names in all tables are checked, whichever command
runs.
"""

import tomllib
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from fsbench._util.errors import FsbenchError, reason, unknown

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument, ArgumentCollection

# Description of a type, and the types of its TOML values.
_KINDS: dict[type, tuple[str, tuple[type, ...]]] = {
    int: ("an integer", (int,)),
    float: ("a number", (int, float)),
    Path: ("text", (str,)),
    str: ("text", (str,)),
}

_SYNONYMS = {"train": "base", "validation": "val", "test": "novel"}  # published names of splits


def from_file(app: "App", command: tuple[str, ...], arguments: "ArgumentCollection") -> None:
    """Add the flags in the file of `--config` to those of the command line; called by cyclopts.

    Raises:
        FsbenchError: The file cannot be read, has no table of the command, or has an unknown table or key, or
            a wrong value.
    """
    from cyclopts import Token

    config = arguments.get("--config", None)
    if config is None or not config.tokens:
        return
    path = Path(config.tokens[-1].value)
    table = _document(path)
    root = app.app_stack.stack[-1][0]
    _check_names(root, table, path, (root.name[0],))
    for name in command:
        if name not in table:
            raise FsbenchError(f"{path}: has no table [{'.'.join(command)}]")
        table = table[name]
    typed = [argument for argument in arguments if argument.tokens]
    flags = _flags(arguments)
    for key, value in table.items():
        argument = flags[key]
        values = _values(key, value, argument, path)
        if argument not in typed:
            switch = arguments.match(f"--{key}")[2]  # the value of a flag that is given without one
            for number, text in enumerate(values):
                token = Token(keyword=f"--{key}", value=text, source=str(path), index=number)
                if isinstance(value, bool):
                    token = token.evolve(implicit_value=switch is value)
                argument.append(token)


def check_values(_: "App", __: tuple[str, ...], arguments: "ArgumentCollection") -> None:
    """Use the last value of a repeated flag, and refuse wrong values; cyclopts would round 5.7 to 6.

    Raises:
        FsbenchError: A flag has a value of another type.
    """
    for argument in arguments:
        if argument.tokens and argument.tokens[0].keyword:  # values of each occurrence are counted from 0
            last = max(i for i, token in enumerate(argument.tokens) if token.index == 0)
            argument.tokens = argument.tokens[last:]
        kinds, choices = _kinds(argument.hint), argument.get_choices(force=True) or ()
        for token in argument.tokens:
            if kinds & {str, Path, bool} or token.value in choices:
                continue
            *others, last_choice = [*(_KINDS[kind][0] for kind in kinds), *choices]
            expected = f"{', '.join(others)} or {last_choice}" if others else last_choice
            try:
                if not kinds:
                    raise ValueError
                (int if int in kinds else float)(token.value)
            except ValueError:
                name = token.keyword or argument.name
                meant = _SYNONYMS.get(token.value.lower(), token.value.lower())
                hint = f"; did you mean {meant!r}?" if meant in choices else ""
                raise FsbenchError(f"{name} must be {expected}, but is {token.value!r}{hint}") from None


def _document(path: Path) -> dict[str, Any]:
    """Read the tables of a file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FsbenchError(f"{path}: not a TOML file ({error})") from error


def _check_names(app: "App", tables: dict[str, Any], path: Path, line: tuple[str, ...]) -> None:
    """Refuse tables that are not commands below `line`, and keys that are not flags of their command."""
    commands = [name for name in app if not name.startswith("-")]
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise FsbenchError(f"{path}: {name} must be in the table of its command, such as [evaluate]")
        if name not in commands:
            raise unknown("command", name, commands, f"{path}: {' '.join(line)}")
        if any(not subcommand.startswith("-") for subcommand in app[name]):
            _check_names(app[name], table, path, (*line, name))
            continue
        flags = _flags(app[name].assemble_argument_collection(default_parameter=app.default_parameter))
        for key in table:
            if key not in flags:
                raise unknown("key", key, flags, f"{path}: [{'.'.join((*line[1:], name))}]")


def _flags(arguments: "ArgumentCollection") -> dict[str, "Argument"]:
    """Return the flags of a command that a file can set, without their dashes."""
    return {
        name.removeprefix("--"): argument
        for argument in arguments
        for name in argument.names
        if name.startswith("--") and name != "--config" and argument.show
    }


def _values(key: str, value: Any, argument: "Argument", path: Path) -> list[str]:
    """Return the values of one key as text, as on the command line."""
    kinds = _kinds(argument.hint)
    if bool in kinds:
        if not isinstance(value, bool):
            raise FsbenchError(f"{path}: {key} must be true or false, but is {value!r}")
        return [""]
    values = value if isinstance(value, list) and argument.token_count()[1] else [value]
    if not values:
        raise FsbenchError(f"{path}: {key} must have a value, but is []")
    (kind,) = kinds or {str}
    expected, types = _KINDS[kind]
    if argument.get_choices(force=True) and kind is int:
        expected, types = "an integer or text", (int, str)
    for item in values:
        if isinstance(item, bool) or not isinstance(item, types) or not str(item).isprintable():
            raise FsbenchError(f"{path}: {key} must be {expected}, but is {item!r}")
    return [str(item) for item in values]


def _kinds(hint: Any) -> set[type]:
    """Return the types in a type hint, such as int in `tuple[int, ...] | None`, except those of a Literal."""
    if get_origin(hint) is Literal or hint in (NoneType, Ellipsis):
        return set()
    return set[type]().union(*map(_kinds, get_args(hint))) if get_args(hint) else {hint}
