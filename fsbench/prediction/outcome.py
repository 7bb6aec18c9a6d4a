"""What came out: a score of each class for each image, and what follows from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsbench._util.validation import escape_formula


@dataclass(frozen=True, eq=False)
class Prediction:
    """The scores of query images, in the order of their names."""

    run: str  # the backbone's
    head: str
    preprocess: str
    class_names: tuple[str, ...]
    shots: tuple[int, ...]  # support images of each class
    images: tuple[str, ...]  # paths in the query folder
    scores: NDArray[np.float32]  # (images, classes), of the head
    in_support: NDArray[np.bool_]  # (images,) whether the same pixels are among the support
    unreadable: tuple[str, ...]  # query images that were left out: a line each
    other_files: dict[str, int]  # of the query folder, left out by their suffix

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The softmax of an image's scores, (images, classes); what it is worth, `text.meaning` says."""
        scores = self.scores.astype(np.float64)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The classes of each image from the likeliest on, (images, classes)."""
        return np.argsort(-self.scores, axis=1, kind="stable")

    @property
    def given(self) -> NDArray[np.intp]:
        """The class of each image, (images,)."""
        return self.order[:, 0]

    @cached_property
    def sureness(self) -> NDArray[np.float64]:
        """The probability of each image's class, (images,)."""
        sure: NDArray[np.float64] = np.take_along_axis(self.probabilities, self.order[:, :1], axis=1)[:, 0]
        return sure

    @cached_property
    def least_sure(self) -> NDArray[np.intp]:
        """The tenth of the images, at least one, with the lowest sureness, the lowest first."""
        return np.argsort(self.sureness, kind="stable")[: max(1, len(self.images) // 10)]

    @cached_property
    def actual(self) -> NDArray[np.intp]:
        """The class after which an image's topmost query folder is named, (images,); -1 where it is none."""
        rows = {name: row for row, name in enumerate(self.class_names)}
        folders = (name.split("/")[0] if "/" in name else "" for name in self.images)
        return np.array([rows.get(folder, -1) for folder in folders], dtype=np.intp)

    @cached_property
    def confusion(self) -> NDArray[np.intp]:
        """How many images of an actual class (rows) are given each class (columns).

        Images that are among the support are no test and left out.
        """
        counts = np.zeros((len(self.class_names), len(self.class_names)), dtype=np.intp)
        fair = (self.actual >= 0) & ~self.in_support
        np.add.at(counts, (self.actual[fair], self.given[fair]), 1)
        return counts

    @property
    def accuracy(self) -> float | None:
        """The share of images with a known class that are given it, 0..1; None where no class is known."""
        labelled = self.confusion.sum()
        return float(self.confusion.trace() / labelled) if labelled else None

    def table(self) -> pd.DataFrame:
        """A row an image: path, class, probability, and the score of each class."""
        names = np.array([escape_formula(name) for name in self.class_names], dtype=object)
        columns: dict[str, Any] = {
            "path": [name if escape_formula(name) == name else f"./{name}" for name in self.images],
            "class": names[self.given],
            "probability": self.sureness.round(6),
        }
        scores = {f"score {name}": self.scores[:, row] for row, name in enumerate(self.class_names)}
        return pd.DataFrame({**columns, **scores})
