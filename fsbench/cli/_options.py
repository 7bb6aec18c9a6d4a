"""Parameters that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from fsbench._util.errors import FsbenchError
from fsbench.cli import _names
from fsbench.cli._help import default_text

if TYPE_CHECKING:
    from cyclopts.argument import ArgumentCollection

    from fsbench._util.session import Session


def _check_tasks(arguments: "ArgumentCollection") -> None:
    """Refuse settings of tasks beside a pinned task list, which would have no effect."""
    sources = {argument.name: argument.tokens[0].source for argument in arguments if argument.tokens}
    for name, source in sources.items():
        if "--tasks" in sources and name not in ("--tasks", "--dataset", "--split"):
            flag = name if source == "cli" else f"{source}: {name.removeprefix('--')}"
            raise FsbenchError(
                f"{flag} has no effect with --tasks, whose lists define the tasks; leave out one of the two"
            )


def results_folder(folder: Path | None) -> Path:
    """Return the results folder: the one that the user names, or the default one of the working directory.

    The default is `results`. In a clone of fsbench, that folder holds the tracked results of the project, so
    the default there is `runs/results`, which git ignores.
    """
    if folder is not None:
        return folder
    try:
        in_clone = '\nname = "fsbench"\n' in Path("pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        in_clone = False
    return Path("runs", "results") if in_clone else Path("results")


# Groups of `--help`, in their order.
ARGUMENTS = Group("Arguments", sort_key=1)
DATA = Group("Data", sort_key=2)
MODEL = Group("Model", sort_key=3)
TASKS = Group("Tasks", sort_key=4, validator=_check_tasks)
HEADS = Group("Heads", sort_key=5)
TRAINING = Group("Training", sort_key=6)
OUTPUT = Group("Output", sort_key=7)
GENERAL = Group("General", sort_key=8)

# Rules for every flag: a list needs at least one value, and the last occurrence of a repeated flag is used.
FLAGS = Parameter(consume_multiple=1, negative_iterable=(), allow_repeating=True, show_default=default_text)


def _data_sets(_: object) -> list[str]:
    """Complete names of data sets: known ones and those that the user has prepared."""
    from fsbench.data.summary import list_datasets

    return [dataset.name for dataset in list_datasets()]


def _task_lists(_: object) -> list[str]:
    """Complete names of the pinned task lists of fsbench."""
    from fsbench.tasks.pinned import task_list_names

    return task_list_names()


DATA_SET = Parameter(metavar="NAME", completer=_data_sets)
TASK_LIST = Parameter(metavar="LIST...", completer=_task_lists)
Cache = Annotated[
    Path | None,
    Parameter(
        group=GENERAL,
        help="Folder of prepared images and features. Default: $FSBENCH_CACHE, or your cache folder.",
    ),
]
Quiet = Annotated[bool, Parameter(group=GENERAL, help="Print no progress on stderr.")]
Force = Annotated[bool, Parameter(group=OUTPUT, help="Repeat finished work and replace its output.")]
Over = Annotated[
    Literal["classes", "tasks"],
    Parameter(
        group=OUTPUT,
        help="What p-values are about: new classes, or only other tasks from the same images.",
    ),
]


@Parameter(name="*", group=GENERAL)
@dataclass(frozen=True)
class Common:
    """Parameters of every command.

    Attributes:
        config: TOML file with a table of flags per command, such as [evaluate]. Typed flags override it.
        json: Print JSON and nothing else.
    """

    config: Annotated[Path | None, Parameter(metavar="FILE")] = None
    json: bool = False


@Parameter(name="*", group=GENERAL)
@dataclass(frozen=True)
class Computing(Common):
    """Parameters of every command that runs networks or heads.

    Attributes:
        device: Where to compute: auto, cpu, cuda, cuda:1 or mps.
        cache: Folder of prepared images and features; None: the default one.
        quiet: Whether to print no progress.
    """

    device: str = "auto"
    cache: Cache = None
    quiet: Quiet = False

    @property
    def session(self) -> "Session":
        """Cache, device and progress.

        On a CPU, this also tunes memory allocation of the process. Where heads run on a CPU, it makes the
        process keep compiled code in the cache.

        Raises:
            FsbenchError: The device does not exist.
        """
        from fsbench._util.compiled import keep_compiled_code
        from fsbench._util.files import cache_folder
        from fsbench._util.machine import device_of_heads, find_device
        from fsbench._util.session import Session
        from fsbench.training.precision import keep_memory

        device = find_device(self.device)
        if device.type == "cpu":
            keep_memory()
        if device_of_heads(device).type == "cpu":
            keep_compiled_code(cache_folder(self.cache))
        return Session(self.cache, device, self.quiet)


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True)
class Weights:
    """How to read a backbone that fsbench did not train.

    Attributes:
        backbone: Architecture of a weights file: one of the choices, timm:NAME, torchvision:NAME or
            ./mine.py:function.
        image_size: Input size in pixels. Required for your own functions, and for weights files with an
            architecture of fsbench. Default: the size that the backbone was trained with.
    """

    backbone: Annotated[_names.Backbone | None, Parameter(metavar="NAME")] = None
    image_size: Annotated[int | None, Parameter(metavar="PIXELS")] = None
