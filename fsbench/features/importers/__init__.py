"""Importers of feature files written by other projects. The format is detected from the content of the file.

    format       content                                                    written by
    s2m2         HDF5: all_feats, all_labels and count, padded with zeros   S2M2, closer-look
    pt-map       {class: [vector, ...]}                                     PT-MAP, distribution calibration
    tim          {concat_features, concat_labels, train_mean}               TIM
    simpleshot   [base mean, of logits, {class: [vector, ...]}, of logits]  SimpleShot, LaplacianShot
    easy         array (classes, images, d) of base, val and novel          EASY
    pair         {features, labels}                                         npz archives, torch.save

All but s2m2 can be a pickle, a torch file or a NumPy file.
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
from fsbench._util.untrusted import InvalidValueError
from fsbench.data.listing import SPLITS
from fsbench.data.registry import SOURCES
from fsbench.features import store
from fsbench.features.importers import _content, _formats
from fsbench.features.importers._content import describe
from fsbench.features.importers._formats import RawFeatures
from fsbench.features.store import Features, Origin

__all__ = ["ImportedFeatures", "RawFeatures", "read", "recognise"]


@dataclass(frozen=True, eq=False)
class ImportedFeatures:
    """Content of a feature file of another project.

    Attributes:
        features: Features of one split. `about` has `dataset`, `split`, `form` (the format) and `source_file`
            (SHA-256 of the file).
        base_mean: Mean of all base features, (d,), float32; None if the file does not contain it.
    """

    features: Features
    base_mean: NDArray[np.float32] | None


def read(path: Path, dataset: str, split: str, raw: RawFeatures | None = None) -> ImportedFeatures:
    """Read the features of one split from a file of another project.

    Args:
        path: The feature file.
        dataset: Name of the data set. Feature files do not contain it, so it cannot be verified.
        split: "base", "val" or "novel".
        raw: The value that `recognise` returned for this file; avoids reading it twice.

    Returns:
        The features, float32, sorted by class. Class names are the labels of the file, in ascending order.

    Raises:
        FsbenchError: The file is unreadable, unsafe, of no known format or inconsistent; or its number of
            classes is not that of the split.

    Example:
        >>> from pathlib import Path
        >>> from fsbench.features import importers
        >>> novel = importers.read(Path("novel.plk"), "mini-imagenet", "novel")  # doctest: +SKIP
        >>> novel.features.values.shape  # doctest: +SKIP
        (12000, 640)
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    with _errors_of(path):
        raw = raw or _formats.parse(*_content.read(path))
        if raw is None:
            raise InvalidValueError(f"has none of the known formats: {', '.join(_formats.FORMATS)}")
        n_classes = dict(zip(SPLITS, SOURCES[dataset].n_classes, strict=True)) if dataset in SOURCES else {}
        values = _float32(raw.values, "features", 3 if raw.format == "easy" else 2)
        if raw.format == "easy":
            raw = _formats.split_of_easy(values, n_classes, dataset, split)
            values = raw.values
        base_mean = None if raw.base_mean is None else _float32(raw.base_mean, "base mean", 1)
        if base_mean is not None and len(base_mean) != values.shape[1]:
            raise InvalidValueError(
                f"base mean has {len(base_mean)} dimensions, features have {values.shape[1]}"
            )
        store.check_values(values, f"feature file {path}: features")
        values, labels, names = _sorted_by_class(values, raw.labels)
        if len(names) != n_classes.get(split, len(names)):
            raise InvalidValueError(f"has {len(names)} classes, but {dataset} {split} has {n_classes[split]}")
        origin = Origin(dataset=dataset, split=split, form=raw.format, source_file=sha256_of(path))
        return ImportedFeatures(Features(values, labels, names, origin), base_mean)


def recognise(path: Path) -> RawFeatures | None:
    """Detect the format of a feature file.

    Args:
        path: The file.

    Returns:
        The format and the unchecked content, or None if the content has no known format.

    Raises:
        FsbenchError: The file is unreadable, unsafe or damaged.
    """
    with _errors_of(path):
        return _formats.parse(*_content.read(path))


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Add the path of the file to errors in the block."""
    try:
        yield
    except InvalidValueError as error:
        raise FsbenchError(f"feature file {path}: {error}") from error
    except MemoryError as error:
        raise FsbenchError(f"feature file {path}: does not fit into memory") from error


def _float32(array: Any, name: str, ndim: int) -> NDArray[np.float32]:
    """Convert an array of finite numbers to float32."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim != ndim:
        raise InvalidValueError(f"{name} must be {ndim}-dimensional numbers, but are {describe(array)}")
    if array.size == 0:
        raise InvalidValueError(f"{name} must not be empty, but have shape {array.shape}")
    with np.errstate(over="ignore"):  # values too large for float32 become infinite
        values = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        raise InvalidValueError(f"{name} must be finite, but item {np.argwhere(~finite)[0, 0]} is not")
    return values


def _sorted_by_class(
    values: NDArray[np.float32], labels: Any
) -> tuple[NDArray[np.float32], NDArray[np.int32], tuple[str, ...]]:
    """Return features and labels sorted by class, and the class names.

    Within a class, items are sorted by the bytes of their features: other projects shuffle images and store
    no item ids, and tasks should not depend on the order in the file.
    """
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InvalidValueError(f"labels must be 1-dimensional integers, but are {describe(labels)}")
    if len(labels) != len(values):
        raise InvalidValueError(
            f"labels must be as many as features, but are {len(labels)} for {len(values)}"
        )
    names, indices = np.unique(labels, return_inverse=True)
    rows = np.ascontiguousarray(values, dtype="<f4").view(f"V{4 * values.shape[1]}").ravel()
    order = np.argsort(rows, kind="stable")
    order = order[np.argsort(indices[order], kind="stable")]
    return values[order], indices[order].astype(np.int32), tuple(map(str, names.tolist()))
