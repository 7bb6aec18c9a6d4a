"""The feature formats of other projects, recognised by their structure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.untrusted import InvalidValueError
from fsbench.features.importers._content import describe

FORMATS = ("s2m2", "pt-map", "tim", "simpleshot", "easy", "pair")
_PADDED = ("cub", "tiered-imagenet")  # EASY pads their smaller classes with copies of an image
_TOLERANCE = 1e-3  # copies differ by rounding, relative to the largest value; other images by far more


@dataclass(frozen=True)
class RawFeatures:
    """Unchecked content of a file whose format is known."""

    format: str
    values: Any  # (n, d); for easy (classes, images, d)
    labels: Any  # (n,); for easy None
    base_mean: Any = None  # (d,)


def parse(content: Any, max_values: int) -> RawFeatures | None:
    """Return the parts of a file; None if its content has no known format.

    Raises:
        InvalidValueError: The format is known, but the parts contradict each other or exceed `max_values`.
    """
    match content:
        case {
            "all_feats": np.ndarray() as values,
            "all_labels": np.ndarray() as labels,
            "count": np.ndarray() as count,
        }:
            raw = RawFeatures("s2m2", *_without_padding(values, labels, count))
        case {"concat_features": values, "concat_labels": labels}:
            raw = RawFeatures("tim", values, labels, content.get("train_mean"))
        case {"features": values, "labels": labels}:
            raw = RawFeatures("pair", values, labels)
        case [mean, _, dict() as classes, dict()] if _is_by_class(classes):
            raw = RawFeatures("simpleshot", *_of_classes(classes, max_values), mean)
        case dict() if _is_by_class(content):
            raw = RawFeatures("pt-map", *_of_classes(content, max_values))
        case np.ndarray() if content.ndim == 3:
            raw = RawFeatures("easy", content, None)
        case _:
            return None
    if isinstance(raw.values, np.ndarray):
        _check_size(raw.values.size, max_values)
    return raw


def split_of_easy(
    values: NDArray[Any], n_classes: Mapping[str, int], dataset: str, split: str
) -> RawFeatures:
    """Return one split of an EASY file, whose classes are those of base, val and novel, and the base mean.

    Raises:
        InvalidValueError: The number of classes differs from the data set's, or padding cannot be detected.

    Source:
        ybendou/easy, few_shot_eval.py (writes the file) and main.py (splits it).
    """
    if len(values) != sum(n_classes.values()):
        expected = f"{sum(n_classes.values())} in base, val and novel" if n_classes else "unknown splits"
        raise InvalidValueError(f"has {len(values)} classes of all splits, but {dataset} has {expected}")
    counts = np.full(len(values), values.shape[1])
    if dataset in _PADDED:
        counts = np.array([_n_distinct(images) for images in values])
        if (counts == values.shape[1]).all():
            raise InvalidValueError(
                f"classes of {dataset} are padded to {values.shape[1]} images, but no copies were detected"
            )
    start = dict(zip(n_classes, np.cumsum([0, *n_classes.values()]), strict=False))
    labels = {name: np.arange(start[name], start[name] + n) for name, n in n_classes.items()}
    parts = {name: np.concatenate([values[c, : counts[c]] for c in labels[name]]) for name in {"base", split}}
    mean = parts["base"].mean(axis=0, dtype=np.float64)
    return RawFeatures("easy", parts[split], np.repeat(labels[split], counts[labels[split]]), mean)


def _n_distinct(images: NDArray[Any]) -> int:
    """Return the number of images (n, d) of a class without the copies of the last one that pad it."""
    last = images[-1].astype(np.float64)
    differs = (np.abs(images - last) > _TOLERANCE * np.abs(last).max()).any(axis=1)
    return int(np.flatnonzero(differs).max(initial=-1)) + 2


def _without_padding(
    values: NDArray[Any], labels: NDArray[Any], count: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return features and labels without trailing zeros: S2M2 allocates whole batches."""
    if count.size != 1 or count.dtype.kind not in "iu":
        raise InvalidValueError(f"count must be one integer, but is {describe(count)}")
    n, n_rows = int(count.item()), min(part.shape[0] if part.ndim else 0 for part in (values, labels))
    if not 0 < n <= n_rows:
        raise InvalidValueError(f"count must be 1 to {n_rows}, the number of features and labels, but is {n}")
    return values[:n], labels[:n]


def _is_by_class(content: Mapping[Any, Any]) -> bool:
    """Return whether all keys are integers, the labels."""
    return bool(content) and all(type(label) is int for label in content)


def _of_classes(classes: Mapping[int, Any], max_values: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return features (n, d) and labels (n,) of `{class: [vector, ...]}`; arrays may replace the lists."""
    for label, vectors in classes.items():
        if not isinstance(vectors, list) and not (isinstance(vectors, np.ndarray) and vectors.ndim == 2):
            raise InvalidValueError(f"class {label} must be a list of vectors, but is {describe(vectors)}")
        if len(vectors) == 0:
            raise InvalidValueError(f"class {label} must have vectors, but is empty")
    first = next(iter(classes.values()))[0]
    if not isinstance(first, np.ndarray) or first.ndim != 1:
        raise InvalidValueError(f"vectors must be 1-dimensional arrays, but one is {describe(first)}")
    counts = [len(vectors) for vectors in classes.values()]
    _check_size(sum(counts) * max(first.size, 1), max_values)
    for label, vectors in classes.items():
        for vector in vectors:
            if not isinstance(vector, np.ndarray) or (vector.shape, vector.dtype) != (
                first.shape,
                first.dtype,
            ):
                raise InvalidValueError(
                    f"class {label}: vectors must all be {describe(first)}, but one is {describe(vector)}"
                )
    values = np.stack([vector for vectors in classes.values() for vector in vectors])
    return values, np.repeat(np.array(list(classes)), counts)


def _check_size(size: int, max_values: int) -> None:
    """Check the number of values: views of a tensor and lists of one vector may repeat without limit."""
    if size > max_values:
        raise InvalidValueError(f"claims {size} values, more than a file of its size can hold")
