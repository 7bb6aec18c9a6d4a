"""Pinned task lists: a specification, and the digest that the tasks drawn from it must have.

A list is a TOML file; the shipped ones are in `episodes/`. It contains no tasks: they are drawn again from
the specification, and the digest proves that they are the same, on any machine and at any time. If all users
have the same images of a data set, its list names them by their fingerprint and refuses others.
"""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from fsbench._util.content import content_folder
from fsbench._util.errors import FsbenchError, reason, unknown
from fsbench._util.files import write_text
from fsbench._util.untrusted import InvalidValueError, typed
from fsbench.data.identity import Identity, explain_mismatch
from fsbench.tasks.sampler import SAMPLER, digest
from fsbench.tasks.spec import TaskSpec

_Size = Annotated[int, Meta(ge=1, lt=1 << 31)]


@dataclass(frozen=True)
class TaskList:
    """A pinned task list: which tasks are drawn from which images, and the digest they must have.

    Attributes:
        dataset: Name of the data set.
        split: Split that the tasks are drawn from, usually `novel`.
        sampler: Rule by which the tasks are drawn, `SAMPLER`.
        spec: What the tasks look like.
        class_sizes: Runs of (number of classes, images in each), in the order of the classes.
        digest: SHA-256 of the tasks, in hexadecimal.
        fingerprint: Fingerprint of the images; None: any images in classes of these sizes.
        files: Digest of the image files.
        decoder: Library that decoded the image files.
    """

    dataset: str
    split: str
    sampler: str
    spec: TaskSpec
    class_sizes: tuple[tuple[_Size, _Size], ...]
    digest: str
    fingerprint: str | None = None
    files: str | None = None
    decoder: str | None = None

    def check(
        self,
        labels: NDArray[np.integer],
        class_names: Sequence[str] = (),
        images: Identity | None = None,
    ) -> None:
        """Refuse images from which other tasks would be drawn.

        Args:
            labels: Class of each image, sorted, (n,).
            class_names: Name of each label; needed if the list selects classes.
            images: Identity of the images; None if it is unknown.

        Raises:
            FsbenchError: The list is pinned to other images, or the tasks have another digest.
        """
        name = f"task list of {self.dataset} {self.split}"
        if self.fingerprint is not None and (images is None or images.fingerprint != self.fingerprint):
            pinned = f"{name} is pinned to images with fingerprint {self.fingerprint[:12]}, but "
            if images is None:
                raise FsbenchError(
                    f"{pinned}these features do not record which images they come from; "
                    "draw tasks with --n-way, --n-shot and --n-query instead"
                )
            cause = explain_mismatch(self.files, self.decoder, images)
            raise FsbenchError(f"{pinned}these images have {images.fingerprint[:12]}{cause}")
        sizes = class_sizes_of(labels)
        if sizes != self.class_sizes:
            raise FsbenchError(
                f"{name} is pinned to {_describe(self.class_sizes)}, but this split has {_describe(sizes)}"
            )
        if digest(labels, self.spec, class_names) != self.digest:
            raise FsbenchError(
                f"{name}: its digest is not that of the tasks drawn from its specification; pin it again"
            )


def pin(
    dataset: str,
    split: str,
    labels: NDArray[np.integer],
    spec: TaskSpec,
    class_names: Sequence[str] = (),
    images: Identity | None = None,
) -> TaskList:
    """Pin the task list that a specification gives for the images of a split.

    Args:
        dataset: Name of the data set.
        split: Split that the tasks are drawn from.
        labels: Class of each image, sorted, (n,).
        spec: What the tasks look like.
        class_names: Name of each label; needed if `spec.classes` selects classes.
        images: Identity of the images, if only these may be used; None: any images in classes of these sizes.

    Returns:
        The task list.

    Raises:
        FsbenchError: The images cannot give such tasks.

    Example:
        >>> import numpy as np
        >>> tasks = pin("mine", "novel", np.repeat(np.arange(7), 20), TaskSpec(n_tasks=100))
        >>> tasks.class_sizes
        ((7, 20),)
    """
    identity = {} if images is None else vars(images)
    return TaskList(
        dataset, split, SAMPLER, spec, class_sizes_of(labels), digest(labels, spec, class_names), **identity
    )


def class_sizes_of(labels: NDArray[np.integer]) -> tuple[tuple[int, int], ...]:
    """Return the runs of (number of classes, images in each) of sorted labels (n,)."""
    sizes = np.unique(labels, return_counts=True)[1].tolist()
    return tuple((len(list(run)), size) for size, run in groupby(sizes))


def write_task_list(path: Path, tasks: TaskList) -> None:
    """Write a task list as TOML, completely or not at all.

    Args:
        path: File to write, usually `NAME.toml`.
        tasks: Task list.

    Raises:
        FsbenchError: The file cannot be written.
    """
    spec = asdict(tasks.spec)
    spec["n_query"] = "all" if tasks.spec.n_query is None else tasks.spec.n_query  # TOML has no null
    values: dict[str, object] = {}
    for name, value in vars(tasks).items():
        values |= spec if name == "spec" else {name: value}
    lines = (
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"  # TOML has no surrogates either
        for name, value in values.items()
        if _is_written(value)
    )
    write_text(path, "".join(lines))


def read_task_list(name: str) -> TaskList:
    """Read a shipped task list, or one from a file.

    Args:
        name: Name of a shipped list, such as `cifar-fs-novel-5w1s`, or path of a `.toml` file.

    Returns:
        The task list. Call its `check` with the images before drawing tasks from them.

    Raises:
        FsbenchError: The name is unknown, the file cannot be read or is not a task list, or another sampler
            drew the list.

    Example:
        >>> read_task_list("cifar-fs-novel-5w1s").spec.name
        '5w1s15q'
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = content_folder("episodes") / f"{name}.toml"
        if not path.is_file():
            raise unknown("task list", name, task_list_names())
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        spec = {}
        for field in fields(TaskSpec):
            if field.name in values:
                spec[field.name] = values.pop(field.name)
            elif _is_written(field.default):  # a later default must not change the tasks
                raise InvalidValueError(f"lacks {field.name}")
        if spec.get("n_query") == "all":
            spec["n_query"] = None
        tasks = typed({**values, "spec": spec}, TaskList)
    except OSError as error:
        raise FsbenchError(f"cannot read task list {path}: {reason(error)}") from error
    except (InvalidValueError, FsbenchError, ValueError, RecursionError) as error:
        raise FsbenchError(f"task list {path}: not a task list of fsbench ({error})") from error
    if tasks.sampler != SAMPLER:
        raise FsbenchError(
            f"task list {path}: drawn by sampler {tasks.sampler!r}, but this version has {SAMPLER!r}"
        )
    return tasks


def task_list_names() -> list[str]:
    """List the shipped task lists.

    Returns:
        Their names, sorted.

    Example:
        >>> "omniglot-novel-20w1s" in task_list_names()
        True
    """
    return sorted(path.stem for path in content_folder("episodes").glob("*.toml"))


def _is_written(value: object) -> bool:
    """Whether a task list contains a value; it omits None, False and empty tuples."""
    return value is not None and value is not False and value != ()


def _describe(sizes: tuple[tuple[int, int], ...]) -> str:
    """Describe the first three runs of class sizes in words."""
    runs = [f"{classes} class{'es' if classes > 1 else ''} of {images} images" for classes, images in sizes]
    return ", ".join(runs[:3]) + (" ..." if len(runs) > 3 else "")
