"""The result of a prediction: the scores of all query images, and the values that follow from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsbench._util.untrusted import escape_formula


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scores of query images, in the order of their names.

    Attributes:
        run: Name of the backbone's training run, or of the backbone.
        head: Name of the few-shot classifier.
        preprocess: Name of the preprocessing of the features.
        support: Support images of each class, as paths in the folder of the class.
        images: Query images (n_query,), as paths in the query folder.
        scores: Scores (n_query, n_way) of the head; their softmax is the probability.
        in_support: Whether the pixels of each image (n_query,) are also those of a support image.
        unreadable: One line per query image that was left out because it cannot be read.
        other_files: Number of files in the query folder whose suffix is not that of an image, by suffix.
    """

    run: str
    head: str
    preprocess: str
    support: dict[str, tuple[str, ...]]
    images: tuple[str, ...]
    scores: NDArray[np.float32]
    in_support: NDArray[np.bool_]
    unreadable: tuple[str, ...]
    other_files: dict[str, int]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes (n_way,), in the order of the columns of `scores`."""
        return tuple(self.support)

    @property
    def shots(self) -> tuple[int, ...]:
        """Number of support images of each class (n_way,)."""
        return tuple(map(len, self.support.values()))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the scores of each image (n_query, n_way); not calibrated, see `text.meaning`."""
        scores = self.scores.astype(np.float64)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    @cached_property
    def ranking(self) -> NDArray[np.intp]:
        """Classes of each image, the most probable first (n_query, n_way)."""
        return np.argsort(-self.scores, axis=1, kind="stable")

    @property
    def predicted(self) -> NDArray[np.intp]:
        """Predicted class of each image (n_query,)."""
        return self.ranking[:, 0]

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class of each image (n_query,), 0..1."""
        highest: NDArray[np.float64] = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def least_confident(self) -> NDArray[np.intp]:
        """The tenth of the images with the lowest confidence (at least one image), the lowest first."""
        return np.argsort(self.confidence, kind="stable")[: max(1, len(self.images) // 10)]

    @cached_property
    def actual(self) -> NDArray[np.intp]:
        """Class with the name of the image's topmost query folder (n_query,); -1 if there is none."""
        rows = {name: row for row, name in enumerate(self.class_names)}
        folders = (name.split("/")[0] if "/" in name else "" for name in self.images)
        return np.array([rows.get(folder, -1) for folder in folders], dtype=np.intp)

    @cached_property
    def confusion(self) -> NDArray[np.intp]:
        """Number of images by actual class (rows) and predicted class (columns).

        Images that are also support images do not count.
        """
        n_way = len(self.class_names)
        counts = np.zeros((n_way, n_way), dtype=np.intp)
        counted = (self.actual >= 0) & ~self.in_support
        np.add.at(counts, (self.actual[counted], self.predicted[counted]), 1)
        return counts

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the images whose class is known, 0..1; None if no class is known."""
        labelled = self.confusion.sum()
        return float(self.confusion.trace() / labelled) if labelled else None

    def table(self) -> pd.DataFrame:
        """Return one row per image: path, class, probability, and the score of each class."""
        names = np.array([escape_formula(name) for name in self.class_names], dtype=object)
        columns: dict[str, Any] = {
            "path": [name if escape_formula(name) == name else f"./{name}" for name in self.images],
            "class": names[self.predicted],
            "probability": self.confidence.round(6),
        }
        scores = {f"score {name}": self.scores[:, row] for row, name in enumerate(self.class_names)}
        return pd.DataFrame({**columns, **scores})
