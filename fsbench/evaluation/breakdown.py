"""What lies behind one accuracy: per-class accuracy, confusion of classes, the hardest tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsbench._util.files import atomic_write
from fsbench._util.validation import escape_formula
from fsbench.evaluation.inference import right
from fsbench.tasks.sampler import Tasks

HARDEST = 20  # tasks that are listed


@dataclass(frozen=True, eq=False)
class Details:
    """Three tables of one result."""

    classes: (
        pd.DataFrame
    )  # one row per class, hardest first; most_taken_for is "" where it was never confused
    confusion: pd.DataFrame  # actual by given class: share of the actual class's queries, in %
    hardest: pd.DataFrame  # a row a task: index in the list, accuracy in %, its classes

    def write(self, result: Path) -> list[Path]:
        """Write the tables as CSV beside a result file and return where."""
        paths = []
        for name, table in vars(self).items():
            paths.append(result.with_suffix(f".{name}.csv"))
            with atomic_write(paths[-1]) as part:
                table.to_csv(part, float_format="%.2f", index=name == "confusion", lineterminator="\n")
        return paths


def details(
    batches: Sequence[tuple[Tasks, NDArray[np.int16]]],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
) -> Details:
    """The tables from the batches that `score.answers` gives over sorted labels (n,).

    A class can be taken only for one that shares a task with it; a share is of all queries of the actual
    class, whichever tasks they were in.
    """
    counts = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    accuracies, chosen = [], []
    for tasks, given in batches:
        classes = labels[tasks.support[:, :, 0]]  # (tasks, n_way)
        there = tasks.query >= 0
        rows = np.nonzero(there)[0]
        np.add.at(counts, (labels[tasks.query[there]], classes[rows, given[there]]), 1)
        accuracies.append(right(tasks, given) / tasks.queries)
        chosen.append(classes)
    accuracy, tried = np.concatenate(accuracies), np.concatenate(chosen)
    names = np.array([escape_formula(name) for name in class_names], dtype=object)
    asked = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(asked, 1)[:, None]
    others = np.where(np.eye(len(names), dtype=bool), -1, counts)
    per_class = pd.DataFrame(
        {
            "class": names,
            "accuracy": np.diag(shares),
            "queries": asked,
            "most_taken_for": np.where(others.max(axis=1) > 0, names[others.argmax(axis=1)], ""),
        }
    )
    worst = np.argsort(accuracy, kind="stable")[:HARDEST]
    hardest = pd.DataFrame(
        {
            "task": worst,
            "accuracy": 100 * accuracy[worst],
            "classes": ["; ".join(names[row]) for row in tried[worst]],
        }
    )
    return Details(
        classes=per_class[asked > 0].sort_values("accuracy", kind="stable"),
        confusion=pd.DataFrame(shares, index=pd.Index(names, name="actual"), columns=names),
        hardest=hardest,
    )
