"""Pinned task lists: a specification and the digest that the tasks drawn from it must have.

A list is a TOML file; the shipped ones lie in `episodes/`. It holds no tasks: they are drawn again from the
specification, and the digest proves that they are the same, on any machine and at any time.
"""

import tomllib
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsbench import episodes
from fsbench.content import content_folder
from fsbench.episodes import SAMPLER, TaskSpec
from fsbench.errors import FsbenchError, unknown
from fsbench.files import reason, write_text

_SPEC = ("n_way", "n_shot", "n_query", "n_tasks", "seed")


@dataclass(frozen=True)
class TaskList:
    """Which tasks are drawn over which split, and their digest."""

    dataset: str
    split: str
    sampler: str
    spec: TaskSpec
    class_sizes: tuple[tuple[int, int], ...]  # runs of (number of classes, images of each), in class order
    digest: str

    def draw(self, labels: NDArray[np.integer]) -> NDArray[np.int32]:
        """The tasks over sorted labels (n,), shape (n_tasks, n_way, n_shot + n_query).

        Raises:
            FsbenchError: the tasks have another digest, since classes or their sizes are others.
        """
        tasks = episodes.sample(labels, self.spec)
        if episodes.digest(tasks) != self.digest:
            raise FsbenchError(
                f"task list of {self.dataset} {self.split} is pinned over {_words(self.class_sizes)}, "
                f"but the images at hand are {_words(sizes_of(labels))}"
            )
        return tasks


def pin(dataset: str, split: str, labels: NDArray[np.integer], spec: TaskSpec) -> TaskList:
    """The task list that `spec` draws over the sorted labels (n,) of a split."""
    digest = episodes.digest(episodes.sample(labels, spec))
    return TaskList(dataset, split, SAMPLER, spec, sizes_of(labels), digest)


def sizes_of(labels: NDArray[np.integer]) -> tuple[tuple[int, int], ...]:
    """Runs of (number of classes, images of each) of sorted labels (n,)."""
    sizes = np.unique(labels, return_counts=True)[1].tolist()
    return tuple((len(list(run)), size) for size, run in groupby(sizes))


def write(path: Path, tasks: TaskList) -> None:
    """Write a task list as TOML, whole or not at all."""
    values = {"dataset": tasks.dataset, "split": tasks.split, "sampler": tasks.sampler}
    lines = [f'{name} = "{value}"' for name, value in values.items()]
    lines += [f"{name} = {value}" for name, value in asdict(tasks.spec).items()]
    lines += [f"class_sizes = {[list(run) for run in tasks.class_sizes]}  # [classes, images of each]"]
    write_text(path, "\n".join([*lines, f'digest = "{tasks.digest}"', ""]))


def read(name: str) -> TaskList:
    """The shipped task list of that name, or the one in a `.toml` file.

    Raises:
        FsbenchError: unknown name, unreadable file, keys missing or unknown, or another sampler's list.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = content_folder("episodes") / f"{name}.toml"
        if not path.is_file():
            raise unknown("task list", name, shipped())
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        spec = TaskSpec(**{key: document.pop(key) for key in _SPEC})
        sizes = tuple((int(classes), int(images)) for classes, images in document.pop("class_sizes"))
        tasks = TaskList(spec=spec, class_sizes=sizes, **document)
    except OSError as error:
        raise FsbenchError(f"cannot read task list {path}: {reason(error)}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise FsbenchError(f"task list {path}: not a list of fsbench ({error})") from error
    if tasks.sampler != SAMPLER:
        raise FsbenchError(
            f"task list {path}: drawn by sampler {tasks.sampler!r}, but this one is {SAMPLER!r}"
        )
    return tasks


def shipped() -> list[str]:
    """Names of the shipped task lists."""
    return sorted(path.stem for path in content_folder("episodes").glob("*.toml"))


def _words(sizes: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{classes} classes of {images} images" for classes, images in sizes[:3]) + (
        " ..." if len(sizes) > 3 else ""
    )
