"""Pinned task lists: a specification and the digest that the tasks drawn from it must have.

A list is a TOML file; the shipped ones lie in `episodes/`. It holds no tasks: they are drawn again from the
specification, and the digest proves that they are the same, on any machine and at any time. A list names the
images that it was pinned over by their fingerprint where everybody has the same ones, and refuses others.
"""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.content import content_folder
from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import reason, write_text
from fsbench._util.validation import Wrong, check
from fsbench.data.identity import Identity, explain_mismatch
from fsbench.tasks import sampler as episodes
from fsbench.tasks.sampler import SAMPLER
from fsbench.tasks.spec import TaskSpec

_ALWAYS = ("n_way", "n_shot", "n_query", "n_tasks", "seed")  # keys of every list
_USUAL = {field.name: field.default for field in fields(TaskSpec)}


@dataclass(frozen=True)
class TaskList:
    """Which tasks are drawn over which split, and their digest."""

    dataset: str
    split: str
    sampler: str
    spec: TaskSpec
    class_sizes: tuple[tuple[int, int], ...]  # runs of (number of classes, images of each), in class order
    digest: str
    fingerprint: str | None = None  # of the images it was pinned over; None: any of these class sizes
    files: str | None = None  # digest of the files of these images
    decoder: str | None = None  # what decoded them

    def check(
        self,
        labels: NDArray[np.integer],
        class_names: Sequence[str] = (),
        images: Identity | None = None,
    ) -> None:
        """Refuse images that do not give these very tasks.

        Args:
            labels: Sorted labels (n,) of the images.
            class_names: Name of each label, for lists over chosen classes.
            images: Which images they are; None where that is not known.

        Raises:
            FsbenchError: the list was pinned over other images, or they give tasks of another digest.
        """
        if self.fingerprint is not None and images is None:
            raise FsbenchError(
                f"task list of {self.dataset} {self.split} is pinned over images of fingerprint "
                f"{self.fingerprint[:12]}, but the features at hand do not say which images they are of; "
                "draw tasks by --n-way, --n-shot and --n-query instead"
            )
        if self.fingerprint is not None and images is not None and images.fingerprint != self.fingerprint:
            raise FsbenchError(
                f"task list of {self.dataset} {self.split} is pinned over images of fingerprint "
                f"{self.fingerprint[:12]}, but the images at hand have {images.fingerprint[:12]}"
                f"{explain_mismatch(self.files, self.decoder, images)}"
            )
        sizes = sizes_of(labels)
        if sizes != self.class_sizes:
            raise FsbenchError(
                f"task list of {self.dataset} {self.split} is pinned over {_words(self.class_sizes)}, "
                f"but the images at hand are {_words(sizes)}"
            )
        if episodes.digest(labels, self.spec, class_names) != self.digest:
            raise FsbenchError(
                f"task list of {self.dataset} {self.split}: its digest is not that of the tasks that its "
                "specification draws; pin it again"
            )


def pin(
    dataset: str,
    split: str,
    labels: NDArray[np.integer],
    spec: TaskSpec,
    class_names: Sequence[str] = (),
    images: Identity | None = None,
) -> TaskList:
    """The task list that `spec` draws over the sorted labels (n,) of a split, bound to `images` if given."""
    digest = episodes.digest(labels, spec, class_names)
    known = {} if images is None else vars(images)
    return TaskList(dataset, split, SAMPLER, spec, sizes_of(labels), digest, **known)


def sizes_of(labels: NDArray[np.integer]) -> tuple[tuple[int, int], ...]:
    """Runs of (number of classes, images of each) of sorted labels (n,)."""
    sizes = np.unique(labels, return_counts=True)[1].tolist()
    return tuple((len(list(run)), size) for size, run in groupby(sizes))


def write(path: Path, tasks: TaskList) -> None:
    """Write a task list as TOML, whole or not at all."""
    head = {"dataset": tasks.dataset, "split": tasks.split, "sampler": tasks.sampler}
    sizes = [list(run) for run in tasks.class_sizes]  # [classes, images of each]
    images = {name: getattr(tasks, name) for name in ("fingerprint", "files", "decoder")}
    known = {name: value for name, value in images.items() if value is not None}
    values = head | _values(tasks.spec) | {"class_sizes": sizes, "digest": tasks.digest} | known
    write_text(path, "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))


def _values(spec: TaskSpec) -> dict[str, Any]:
    """A specification as TOML values; JSON's numbers, texts and lists are TOML's too, but it has no null."""
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    usual = {name: value for name, value in values.items() if name in _ALWAYS or value != _USUAL[name]}
    return {name: "all" if value is None else value for name, value in usual.items()}


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
        asked = {key: document.pop(key) for key in _USUAL if key in document or key in _ALWAYS}
        asked["n_query"] = None if asked["n_query"] == "all" else asked["n_query"]
        if isinstance(asked.get("classes"), list):
            asked["classes"] = tuple(asked["classes"])
        check(TaskSpec, asked)
        sizes = tuple(tuple(run) for run in document.pop("class_sizes"))
        tasks = TaskList(spec=TaskSpec(**asked), class_sizes=sizes, **document)
        check(TaskList, vars(tasks))
    except OSError as error:
        raise FsbenchError(f"cannot read task list {path}: {reason(error)}") from error
    except (Wrong, FsbenchError, ValueError, TypeError, KeyError, RecursionError) as error:
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
