"""All commands of the command line, by name."""

from collections.abc import Iterator

from cyclopts import App

from fsbench.cli import app


def leaves(parent: App, *names: str) -> Iterator[tuple[str, App]]:
    """Yield every command that has no subcommands, with its name."""
    below = {name: each for name, each in parent.resolved_commands().items() if not name.startswith("-")}
    for name, each in below.items():
        yield from leaves(each, *names, name)
    if not below:
        yield " ".join(names), parent


COMMANDS = dict(leaves(app))
