"""Feature files of other projects, read as they come: by what is inside, never by the name.

    form         what lies in it                                            written by
    s2m2         HDF5 of all_feats, all_labels and count, zeros behind      S2M2, closer-look
    pt-map       {class: [vector, ...]}                                     PT-MAP, distribution calibration
    tim          {concat_features, concat_labels, train_mean}               TIM
    simpleshot   [base mean, of logits, {class: [vector, ...]}, of logits]  SimpleShot, LaplacianShot
    easy         an array (classes, images, d) of base, val and novel       EASY
    pair         {features, labels}                                         npz archives, torch.save

All but s2m2 lie in a pickle, a torch file or a NumPy file, whichever it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import sha256_of
from fsbench._util.validation import Wrong
from fsbench.data.listing import SPLITS
from fsbench.data.registry import SOURCES
from fsbench.features.importers import contents, formats
from fsbench.features.store import Features


@dataclass(frozen=True, eq=False)
class Foreign:
    """What a feature file of another project holds."""

    features: Features
    base_mean: NDArray[np.float32] | None  # (d,), of all base features, where the file has it: for cl2n


def read(path: Path, dataset: str, split: str) -> Foreign:
    """Features of one split of a data set, which the caller vouches for: foreign files do not name it.

    Classes are the file's labels in order. `about` of the features has dataset, split, form, and the
    SHA-256 of the file as `source_file`.

    Raises:
        FsbenchError: unreadable, unsafe, of no known form, inconsistent, or not of as many classes as the
            split has.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    with _named(path):
        given = formats.recognised(*contents.read(path))
        if given is None:
            raise Wrong(f"holds none of the known forms: {', '.join(formats.FORMS)}")
        n_classes = dict(zip(SPLITS, SOURCES[dataset].n_classes, strict=True)) if dataset in SOURCES else {}
        values = _float32(given.values, "features", 3 if given.form == "easy" else 2)
        if given.form == "easy":
            given = formats.split_of_easy(values, n_classes, dataset, split)
            values = given.values
        mean = None if given.base_mean is None else _float32(given.base_mean, "base mean", 1)
        if mean is not None and len(mean) != values.shape[1]:
            raise Wrong(f"base mean has {len(mean)} dimensions, features have {values.shape[1]}")
        values, labels, names = _sorted(values, given.labels)
        if len(names) != n_classes.get(split, len(names)):
            raise Wrong(f"holds {len(names)} classes, but {dataset} {split} has {n_classes[split]}")
        about = {"dataset": dataset, "split": split, "form": given.form, "source_file": sha256_of(path)}
        return Foreign(Features(values, labels, names, about), mean)


def recognise(path: Path) -> str | None:
    """The form of a feature file; None for content of no known form.

    Raises:
        FsbenchError: unreadable, unsafe or damaged.
    """
    with _named(path):
        given = formats.recognised(*contents.read(path))
        return None if given is None else given.form


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except Wrong as error:
        raise FsbenchError(f"feature file {path}: {error}") from error
    except MemoryError as error:
        raise FsbenchError(f"feature file {path}: does not fit into memory") from error


def _float32(array: Any, what: str, ndim: int) -> NDArray[np.float32]:
    """An array of numbers as float32, all of them finite."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim != ndim:
        raise Wrong(f"{what} must be {ndim}-dimensional numbers, but are {contents.kind(array)}")
    if array.size == 0:
        raise Wrong(f"{what} must not be empty, but have shape {array.shape}")
    with np.errstate(over="ignore"):  # it is infinite then
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        raise Wrong(f"{what} must be finite, but item {np.argwhere(~np.isfinite(values))[0, 0]} is not")
    return values


def _sorted(
    values: NDArray[np.float32], given: Any
) -> tuple[NDArray[np.float32], NDArray[np.int32], tuple[str, ...]]:
    """Features and labels by class, and the names of the classes.

    Inside a class items are sorted by the bytes of their features: foreign loaders shuffle, and without item
    ids this is the only order that a second extraction of the same features has again, so tasks hold the same
    images whatever the order of the file.
    """
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "iu" or given.ndim != 1:
        raise Wrong(f"labels must be 1-dimensional integers, but are {contents.kind(given)}")
    if len(given) != len(values):
        raise Wrong(f"labels must be as many as features, but are {len(given)} for {len(values)}")
    names, labels = np.unique(given, return_inverse=True)
    rows = np.ascontiguousarray(values, dtype="<f4").view(f"V{4 * values.shape[1]}").ravel()
    order = np.argsort(rows, kind="stable")
    order = order[np.argsort(labels[order], kind="stable")]
    return values[order], labels[order].astype(np.int32), tuple(map(str, names.tolist()))
