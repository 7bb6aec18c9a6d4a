"""The result of a prediction: the scores of all query images, and the values that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from fsbench._util.settings import Setting, in_words
from fsbench.prediction._distance import rejection_threshold
from fsbench.prediction._leave_one_out import HeldOut
from fsbench.prediction._temperature import fit_temperature
from fsbench.prediction.accuracy import Accuracy, mean_over_classes, share_of_images

NONE = "none of these"  # answer for an image that is too far from all classes
SURE = 0.9  # probability from which an answer counts as sure


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scores of query images, in the order of their names.

    Attributes:
        run: Name of the backbone's training run, or of the backbone.
        head: Name of the few-shot classifier.
        settings: Values of its settings that differ from their defaults.
        preprocess: Name of the preprocessing of the features.
        support: Support images of each class, as paths in the folder of the class.
        images: Query images (n_query,), as paths in the query folder.
        scores: Scores (n_query, n_way) of the head.
        distances: Scaled distance (n_query,) of each image to the nearest class.
        held_out: Scores of the support images, each by the others; empty if every class has a single one.
        reject: Whether images that are too far from all classes are answered "none of these".
        in_support: Whether the pixels of each image (n_query,) are also those of a support image.
        unreadable: One line per query image that was left out because it cannot be read.
        other_files: Number of files in the query folder whose suffix is not that of an image, by suffix.
    """

    run: str
    head: str
    settings: Mapping[str, Setting]
    preprocess: str
    support: dict[str, tuple[str, ...]]
    images: tuple[str, ...]
    scores: NDArray[np.float32]
    distances: NDArray[np.float64]
    held_out: HeldOut
    reject: bool
    in_support: NDArray[np.bool_]
    unreadable: tuple[str, ...]
    other_files: dict[str, int]

    @property
    def method(self) -> str:
        """Head, preprocessing and settings, such as "cosine-sgd (none, epochs 100)"."""
        return f"{self.head} ({', '.join([self.preprocess, *in_words(self.settings)])})"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes (n_way,), in the order of the columns of `scores`."""
        return tuple(self.support)

    @property
    def shots(self) -> tuple[int, ...]:
        """Number of support images of each class (n_way,)."""
        return tuple(map(len, self.support.values()))

    @cached_property
    def expected(self) -> Accuracy | None:
        """Accuracy on support images that were left out; None if every class has a single one.

        Each class counts equally, however many images it has. As in `measured`, an image of the classes
        that is answered "none of these" counts as wrong.
        """
        answers = self.held_out.answers
        correct = self.held_out.scores.argmax(axis=1) == answers
        if self.rejection is not None:
            correct &= self.held_out.distances <= self.rejection[0]
        return mean_over_classes(correct, answers) if len(answers) else None

    @cached_property
    def temperature(self) -> float | None:
        """Number that scores are divided by to become probabilities; None if `expected` is None."""
        if self.expected is None:
            return None
        return fit_temperature(self.held_out.scores, self.held_out.answers)

    @cached_property
    def probabilities(self) -> NDArray[np.float64] | None:
        """Calibrated probabilities (n_query, n_way); None without a temperature."""
        if self.temperature is None:
            return None
        probabilities: NDArray[np.float64] = softmax(
            self.scores.astype(np.float64) / self.temperature, axis=1
        )
        return probabilities

    @cached_property
    def ranking(self) -> NDArray[np.intp]:
        """Classes of each image, the most probable first (n_query, n_way)."""
        return np.argsort(-self.scores, axis=1, kind="stable")

    @cached_property
    def rejection(self) -> tuple[float, float] | None:
        """Largest accepted distance, and the share of images of the classes above it; None: no rejection."""
        return rejection_threshold(self.held_out.distances, self.held_out.answers) if self.reject else None

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        """Predicted class of each image (n_query,); -1: none of these."""
        first = self.ranking[:, 0]
        return first if self.rejection is None else np.where(self.distances > self.rejection[0], -1, first)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the first choice of each image (n_query,), 0..1.

        Without a temperature: how far the score of the first choice is above that of the second.
        """
        values: NDArray[np.float64]
        if self.probabilities is None:
            first, second = np.take_along_axis(self.scores, self.ranking[:, :2], axis=1).T
            values = (first - second).astype(np.float64)
        else:
            values = self.probabilities.max(axis=1)
        return values

    @property
    def sure(self) -> NDArray[np.bool_] | None:
        """Whether the probability of the answer is at least 90 % (n_query,); None without a temperature."""
        return None if self.temperature is None else (self.confidence >= SURE) & (self.predicted >= 0)

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
        """Number of images by actual class (n_way rows) and answer (n_way columns, then "none of these").

        Images that are also support images do not count.
        """
        n_way = len(self.class_names)
        counts = np.zeros((n_way, n_way + 1), dtype=np.intp)
        counted = (self.actual >= 0) & ~self.in_support
        np.add.at(counts, (self.actual[counted], self.predicted[counted]), 1)
        return counts

    @property
    def measured(self) -> Accuracy | None:
        """Accuracy on the query images whose class is known; None if no class is known."""
        images = int(self.confusion.sum())
        return share_of_images(int(self.confusion.trace()), images) if images else None

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the query images whose class is known, 0..1; None if no class is known."""
        return None if self.measured is None else self.measured.share

    def table(self) -> pd.DataFrame:
        """Return one row per image.

        Columns: path; class, which may be "none of these"; probability of that class; whether it is sure; the
        second choice and its probability, which after "none of these" is the most similar class; true class,
        if the image's folder names it; and the probability of each class. Without a temperature, there are
        scores instead of the probabilities.
        """
        names = np.array([*self.class_names, NONE], dtype=object)
        rejected, rows = self.predicted < 0, np.arange(len(self.images))
        first = self.ranking[:, 0]
        second = np.where(rejected, first, self.ranking[:, 1])
        calibrated = self.probabilities is not None
        values = self.scores if self.probabilities is None else self.probabilities.round(6)
        columns: dict[str, Any] = {
            "path": list(self.images),
            "class": names[self.predicted],
            "probability": np.where(rejected, np.nan, values[rows, first]) if calibrated else np.nan,
            "sure": self.sure,
            "second class": names[second],
            "second probability": values[rows, second] if calibrated else np.nan,
            "true class": [None if row < 0 else names[row] for row in self.actual],
        }
        kind = "probability" if calibrated else "score"
        each = {f"{kind} {name}": values[:, row] for row, name in enumerate(self.class_names)}
        return pd.DataFrame({**columns, **each})
