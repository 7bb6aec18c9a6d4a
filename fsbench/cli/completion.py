"""`fsbench completion SHELL`: flags, files and names behind the Tab key."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from fsbench.cli.options import Verbs


def add(verbs: Verbs) -> None:
    """`fsbench completion SHELL`."""
    verb = verbs.add_parser(
        "completion",
        help="print what your shell needs to complete fsbench",
        description='For this shell: eval "$(fsbench completion bash)". For all to come put it at '
        "~/.local/share/bash-completion/completions/fsbench, as _fsbench in a folder of zsh's $fpath, or at "
        "~/.config/fish/completions/fsbench.fish.",
    )
    verb.add_argument("shell", choices=("bash", "zsh", "fish"))
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Print the script, which needs no Python when it runs."""
    import shtab

    from fsbench.cli import make_parser

    parser, names = make_parser(), _names()
    for action in _actions(parser):
        if action.type is Path or action.dest == "subject":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks
        elif action.choices is None:
            action.choices = names.get(action.dest)
    print(shtab.complete(parser, shell=chosen.shell))


def _names() -> dict[str, Iterable[str]]:
    """What to propose where any name may stand."""
    from fsbench.data.summary import list_datasets
    from fsbench.heads import HEADS
    from fsbench.heads.preprocess import PREPROCESS
    from fsbench.models.backbones import BACKBONES
    from fsbench.tasks import pinned
    from fsbench.training.recipe import recipe_names

    return {
        "recipe": [*recipe_names(), "all"],
        "dataset": [found.name for found in list_datasets()],
        "backbone": list(BACKBONES),
        "head": list(HEADS),
        "preprocess": list(PREPROCESS),
        "tasks": pinned.task_list_names(),
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of the parsers below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
