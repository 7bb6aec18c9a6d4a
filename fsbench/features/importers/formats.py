"""The forms in which other projects keep features, told by their structure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsbench._util.validation import InvalidValueError
from fsbench.features.importers.contents import kind

FORMS = ("s2m2", "pt-map", "tim", "simpleshot", "easy", "pair")
_FILLED = (
    "cub",
    "tiered-imagenet",
)  # their classes differ in size: EASY fills them up with copies of an image
_ALIKE = 1e-3  # features of such copies differ by rounding, relative to the largest; others by far more


@dataclass(frozen=True)
class Given:
    """What a file gives as it lies there; nothing but the form is known of it yet."""

    form: str
    values: Any  # (n, d); of easy (classes, images, d)
    labels: Any  # (n,); of easy None
    base_mean: Any = None  # (d,)


def recognised(content: Any, most: int) -> Given | None:
    """What a file gives, of at most so many values; None where its content has no known form.

    Raises:
        InvalidValueError: the form is known, but its parts contradict each other.
    """
    match content:
        case {
            "all_feats": np.ndarray() as values,
            "all_labels": np.ndarray() as labels,
            "count": np.ndarray() as count,
        }:
            given = Given("s2m2", *_without_tail(values, labels, count))
        case {"concat_features": values, "concat_labels": labels}:
            given = Given("tim", values, labels, content.get("train_mean"))
        case {"features": values, "labels": labels}:
            given = Given("pair", values, labels)
        case [mean, _, dict() as classes, dict()] if _is_by_class(classes):
            given = Given("simpleshot", *_of_classes(classes, most), mean)
        case dict() if _is_by_class(content):
            given = Given("pt-map", *_of_classes(content, most))
        case np.ndarray() if content.ndim == 3:
            given = Given("easy", content, None)
        case _:
            return None
    if isinstance(given.values, np.ndarray):
        _check_size(given.values.size, most)
    return given


def split_of_easy(values: NDArray[Any], n_classes: Mapping[str, int], dataset: str, split: str) -> Given:
    """One split of EASY's classes, which are those of base, val and novel, and the mean of base.

    Source: ybendou/easy, few_shot_eval.py (what is saved) and main.py (how it is cut).

    Raises:
        InvalidValueError: the data set has other classes, or copies that fill up its classes cannot be told.
    """
    if len(values) != sum(n_classes.values()):
        known = f"{sum(n_classes.values())} in base, val and novel" if n_classes else "unknown splits"
        raise InvalidValueError(f"holds {len(values)} classes of all splits, but {dataset} has {known}")
    counts = np.full(len(values), values.shape[1])
    if dataset in _FILLED:
        counts = np.array([_images(images) for images in values])
        if (counts == values.shape[1]).all():
            raise InvalidValueError(
                f"classes of {dataset} are filled up to {values.shape[1]} images that cannot be told apart"
            )
    start = dict(zip(n_classes, np.cumsum([0, *n_classes.values()]), strict=False))
    labels = {name: np.arange(start[name], start[name] + n) for name, n in n_classes.items()}
    parts = {name: np.concatenate([values[c, : counts[c]] for c in labels[name]]) for name in {"base", split}}
    mean = parts["base"].mean(axis=0, dtype=np.float64)
    return Given("easy", parts[split], np.repeat(labels[split], counts[labels[split]]), mean)


def _images(images: NDArray[Any]) -> int:
    """How many images (n, d) of a class are its own: copies of the last one fill it up."""
    last = images[-1].astype(np.float64)
    other = (np.abs(images - last) > _ALIKE * np.abs(last).max()).any(axis=1)
    return int(np.flatnonzero(other).max(initial=-1)) + 2


def _without_tail(
    values: NDArray[Any], labels: NDArray[Any], count: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features and labels without the zeros behind them: S2M2 makes room for whole batches."""
    if count.size != 1 or count.dtype.kind not in "iu":
        raise InvalidValueError(f"count must be one integer, but is {kind(count)}")
    n, room = int(count.item()), min(part.shape[0] if part.ndim else 0 for part in (values, labels))
    if not 0 < n <= room:
        raise InvalidValueError(f"count must be 1 to {room}, the number of features and labels, but is {n}")
    return values[:n], labels[:n]


def _is_by_class(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(type(label) is int for label in content)


def _of_classes(classes: Mapping[int, Any], most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (n, d) and labels (n,) of `{class: [vector, ...]}`, or of arrays in place of lists."""
    for label, vectors in classes.items():
        if not isinstance(vectors, list) and not (isinstance(vectors, np.ndarray) and vectors.ndim == 2):
            raise InvalidValueError(f"class {label} must be a list of vectors, but is {kind(vectors)}")
        if len(vectors) == 0:
            raise InvalidValueError(f"class {label} must have vectors, but is empty")
    first = next(iter(classes.values()))[0]
    if not isinstance(first, np.ndarray) or first.ndim != 1:
        raise InvalidValueError(f"vectors must be 1-dimensional arrays, but one is {kind(first)}")
    counts, same = [len(vectors) for vectors in classes.values()], (first.shape, first.dtype)
    _check_size(sum(counts) * max(first.size, 1), most)
    for label, vectors in classes.items():
        for vector in vectors:
            if not isinstance(vector, np.ndarray) or (vector.shape, vector.dtype) != same:
                raise InvalidValueError(
                    f"class {label}: vectors must all be {kind(first)}, but one is {kind(vector)}"
                )
    values = np.stack([vector for vectors in classes.values() for vector in vectors])
    return values, np.repeat(np.array(list(classes)), counts)


def _check_size(size: int, most: int) -> None:
    if size > most:  # views of a tensor, and lists of one vector, may repeat without end
        raise InvalidValueError(f"claims {size} values, more than a file of its length can hold")
