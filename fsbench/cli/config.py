"""`--config FILE`: flags of verbs, written down in TOML.

    [train-backbone]
    dataset = "cifar-fs"
    epochs = [4, 2]
    no-augment = true

A table is a verb (`[data.prepare]` an action of one) and a key one of its flags, so that the parser of the
verb is all there is to know. What a file says counts as if it were typed before the command line, which so
wins; but a switch that is on in a file cannot be typed off.
"""

import argparse
import tomllib
from pathlib import Path
from typing import Any

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import reason

_TYPES: dict[Any, tuple[str, tuple[type, ...]]] = {  # of a flag's values, by what argparse makes of them
    int: ("an integer", (int,)),
    float: ("a number", (int, float)),
    Path: ("text", (str,)),
    None: ("text", (str,)),
}
_ANY = ("text or a number", (str, int, float))


def flags(path: Path, parser: argparse.ArgumentParser) -> list[str]:
    """The flags that the table of a verb holds, as they would be typed.

    Raises:
        FsbenchError: the file cannot be read or has no such table, or a key or its value is none of the verb.
    """
    verb = parser.prog.split()[1:]
    known = {
        option.removeprefix("--"): action
        for option, action in parser._option_string_actions.items()  # argparse shows its flags nowhere else
        if option not in ("-h", "--help", "--config")
    }
    typed: list[str] = []
    for key, value in _table(path, verb).items():
        if key not in known:
            raise unknown(f"key of [{'.'.join(verb)}] in {path}", key, known)
        typed += _typed(key, value, known[key], path)
    return typed


def _table(path: Path, verb: list[str]) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FsbenchError(f"{path}: not a TOML file ({error})") from error
    name = ".".join(verb)
    for key, value in document.items():
        if not isinstance(value, dict):
            raise FsbenchError(f"{path}: {key} must stand below the name of its verb, such as [{name}]")
    table: Any = document
    for part in verb:
        table = table.get(part) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise FsbenchError(f"{path}: has no table [{name}], only {', '.join(document) or 'nothing'}")
    return table


def _typed(key: str, value: Any, action: argparse.Action, path: Path) -> list[str]:
    """One key as it would be typed; nothing for a switch that is off."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise FsbenchError(f"{path}: {key} must be true or false, but is {value!r}")
        return [f"--{key}"] if value else []
    kind, types = _TYPES.get(action.type, _ANY)
    several = isinstance(value, list) and action.nargs is not None
    for one in value if several else [value]:
        if isinstance(one, bool) or not isinstance(one, types) or not str(one).isprintable():
            raise FsbenchError(f"{path}: {key} must be {kind}, but is {one!r}")
    return [f"--{key}", *map(str, value)] if several else [f"--{key}={value}"]
