"""`fsbench.evaluate`: few-shot accuracy as a data frame, of whatever one has in memory or on a disk."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError
from fsbench._util.machine import find_device
from fsbench._util.session import Session
from fsbench.data.augment import resized
from fsbench.data.prepare import load_for
from fsbench.evaluation.arrays import Array, embedded, of_arrays, of_split
from fsbench.evaluation.results import Result
from fsbench.evaluation.run import Output
from fsbench.evaluation.run import evaluate as results_of
from fsbench.evaluation.subjects import Target, subject_of
from fsbench.features import store
from fsbench.features.store import Features
from fsbench.report.leaderboard.listing import KEYS, MEASURED
from fsbench.tasks.spec import TaskSpec

T = TypeVar("T", bound=str | int | TaskSpec)


def evaluate(
    subject: str | Path | nn.Module | Array,
    labels: Array | None = None,
    *,
    images: Array | None = None,
    image_size: int | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    dataset: str | Sequence[str] = (),
    split: str = "novel",
    n_way: int | Sequence[int] = 5,
    n_shot: int | Sequence[int] = (1, 5),
    n_query: int | None = 15,
    n_tasks: int = 10_000,
    seed: int = 0,
    tasks: str | TaskSpec | Sequence[str | TaskSpec] = (),
    head: str | Sequence[str] = "nearest-mean",
    preprocess: str | Sequence[str] = (),
    base: str | Path | tuple[Array, Array] | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """Evaluate on few-shot tasks; one row a result.

    The subject is one of

    - features (n, d) and `labels` (n,), integers or names, as arrays or tensors;
    - a torch module from images (b, 3, s, s) to features (b, d), with the name of a prepared `dataset`, or
      with `images` and `labels`. Float images (n, 3, s, s) reach it as they are; uint8 ones (n, h, w, 3), as
      in data sets, pass `transform`, or that of fsbench's own backbones for `image_size` pixels;
    - what the command evaluates: a checkpoint, a feature file, "timm:resnet50", "./mine.py:network".

    Tasks have `n_way` classes with `n_shot` support and `n_query` query images each (None: all others);
    `tasks` are names of pinned lists or `TaskSpec`s in place of these. Several ways, shots, heads,
    preprocesses and data sets are combined. `base` are features of the base classes, for heads that need
    them: a file, or features and labels. A module runs where it is, or as a copy on another `device`, in
    evaluation mode and anew in each call; it is left as it was. Results are written only below `out`, where
    it is given, as those of `name`.

    Columns are those of the leaderboard's CSV, accuracy and 95 % half widths in percent among them, and last
    `task_accuracies_percent`, an array (n_tasks,) in each row.

    Raises:
        FsbenchError: an argument that no result can be made for.
    """
    where = find_device(device or next((str(tensor.device) for tensor in _tensors(subject)), "auto"))
    session = Session(_path(cache), where, quiet)
    specs = [
        TaskSpec(n_way=way, n_shot=shot, n_query=n_query, n_tasks=n_tasks, seed=seed)
        for way, shot in product(_several(n_way), _several(n_shot))
    ]
    asked: dict[str, Any] = {
        **_tasks(_several(tasks), specs),
        "split": split,
        "heads": _several(head),
        "preprocess": _several(preprocess),
        "session": session,
        "output": Output(_path(out)),
    }
    datasets = _several(dataset)
    if isinstance(subject, str | Path):
        if labels is not None or images is not None or isinstance(base, tuple):
            raise FsbenchError(f"{subject}: takes images, labels and base from files, but an array is given")
        named = subject_of(str(subject), image_size=image_size)
        return _frame(results_of(named, datasets=datasets, base=_path(base), **asked))
    if not isinstance(subject, nn.Module):
        found = [of_arrays(subject, labels, datasets, split)]
    else:
        module = subject if device is None else _on(subject, where)
        network = partial(embedded, module, image_size, transform, session)
        if images is not None:
            found = [of_arrays(network(images), labels, datasets, split)]
        elif datasets:
            fits = type(subject).__name__, image_size, resized(image_size or 0), _path(cache)
            found = [of_split(load_for(one, split, *fits), network) for one in datasets]
        else:
            raise FsbenchError("images are missing: a module needs them and labels, or the name of a dataset")
    if isinstance(base, tuple):
        of_base: Features | None = of_arrays(*base, (), "base")
    else:
        of_base = None if base is None else store.read(Path(base))
    run = name or (type(subject).__name__ if isinstance(subject, nn.Module) else "features")
    return _frame([result for one in found for result in results_of(Target(one, run, of_base), **asked)])


def _tasks(given: Sequence[str | TaskSpec], usual: Sequence[TaskSpec]) -> dict[str, Any]:
    """What is asked, as the evaluation takes it."""
    specs = [spec for spec in given if isinstance(spec, TaskSpec)]
    lists = [name for name in given if isinstance(name, str)]
    if specs and lists:
        raise FsbenchError("tasks must be all names of pinned lists or all TaskSpecs, but are both")
    return {"specs": specs or usual, "task_lists": lists}


def _frame(found: Sequence[Result]) -> pd.DataFrame:
    """A row a result, as in the leaderboard's CSV, and the accuracy of each task."""
    return pd.DataFrame(
        {
            "file": result.path.as_posix(),
            **{f"{key}_percent": _percent(getattr(result, key)) for key in MEASURED},
            **{key: getattr(result, key) for key in KEYS},
            "task_accuracies_percent": 100 * result.accuracies,
        }
        for result in found
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _on(module: nn.Module, device: torch.device) -> nn.Module:
    """The module itself where it is on the device, else a copy of it there."""
    if all(tensor.device == device for tensor in _tensors(module)):
        return module
    try:
        return deepcopy(module).to(device)
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise FsbenchError(
            f"device must be where the module is, as it cannot be copied to {str(device)!r} ({why})"
        ) from error


def _tensors(subject: object) -> Iterator[Tensor]:
    """Parameters and buffers of a module; nothing of other subjects."""
    return chain(subject.parameters(), subject.buffers()) if isinstance(subject, nn.Module) else iter(())


def _several(given: T | Sequence[T]) -> tuple[T, ...]:
    return (given,) if isinstance(given, str | int | TaskSpec) else tuple(given)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
