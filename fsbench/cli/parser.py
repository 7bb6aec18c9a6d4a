"""argparse as fsbench uses it: an error is one line, and flags may stand in a TOML file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fsbench._util.errors import FsbenchError
from fsbench.cli.config import flags


class Parser(argparse.ArgumentParser):
    """A parser of a verb, or of all of them."""

    def __init__(self, **settings: Any) -> None:
        # A flag cut short would mean another one as soon as a longer name is added.
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints, without the usage above it."""
        raise FsbenchError(message)

    def parse_known_args(  # type: ignore[override]  # typeshed has three overloads for the namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, with what `--config FILE` says put before what the command line says, which so wins."""
        arguments = list(sys.argv[1:] if args is None else args)
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        early.add_argument(
            "--config", type=Path, nargs="?"
        )  # where FILE is missing, the verb's parser says so
        path = early.parse_known_args(arguments)[0].config
        if path is not None and "--config" in self._option_string_actions:
            # This flag comes last, since it ends the values of a list: what follows may be a positional.
            arguments = [*flags(path, self), f"--config={path}", *arguments]
        return super().parse_known_args(arguments, namespace)
