"""Details of one result: accuracy of each class, confusion of classes, hardest tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsbench._util.files import atomic_write
from fsbench._util.untrusted import escape_formula
from fsbench.evaluation.inference import count_correct
from fsbench.tasks.sampler import Tasks

HARDEST = 20  # tasks that are listed


@dataclass(frozen=True, eq=False)
class Breakdown:
    """Three tables of one result.

    Attributes:
        classes: One row per class, hardest first; `most_taken_for` is empty for a class without errors.
        confusion: Actual by predicted class: percentage of the actual class's queries.
        hardest: One row per task: index in the task list, accuracy in %, and its classes.
    """

    classes: pd.DataFrame
    confusion: pd.DataFrame
    hardest: pd.DataFrame

    def write(self, result: Path) -> list[Path]:
        """Write the tables as CSV beside a result file and return where."""
        paths = []
        for name, table in vars(self).items():
            paths.append(result.with_suffix(f".{name}.csv"))
            with atomic_write(paths[-1]) as part:
                table.to_csv(part, float_format="%.2f", index=name == "confusion", lineterminator="\n")
        return paths


def breakdown(
    batches: Sequence[tuple[Tasks, NDArray[np.int16]]],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
) -> Breakdown:
    """Compute the tables of one evaluation.

    A class can be confused only with classes of the same task. Percentages are of all queries of the actual
    class, over all tasks.

    Args:
        batches: Tasks and predicted classes (tasks, queries), as `inference.predictions` yields them.
        labels: Sorted labels of all images, (n,).
        class_names: Names of the classes.

    Returns:
        The three tables.
    """
    counts = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    accuracies, task_classes = [], []
    for tasks, predicted in batches:
        classes = labels[tasks.support[:, :, 0]]  # (tasks, n_way)
        is_query = tasks.query >= 0  # tasks may have different numbers of queries
        rows = np.nonzero(is_query)[0]
        np.add.at(counts, (labels[tasks.query[is_query]], classes[rows, predicted[is_query]]), 1)
        accuracies.append(count_correct(tasks, predicted) / tasks.queries)
        task_classes.append(classes)
    accuracy, classes_of = np.concatenate(accuracies), np.concatenate(task_classes)
    names = np.array([escape_formula(name) for name in class_names], dtype=object)
    queries = counts.sum(axis=1)
    percentages = 100 * counts / np.maximum(queries, 1)[:, None]
    others = np.where(np.eye(len(names), dtype=bool), -1, counts)
    per_class = pd.DataFrame(
        {
            "class": names,
            "accuracy": np.diag(percentages),
            "queries": queries,
            "most_taken_for": np.where(others.max(axis=1) > 0, names[others.argmax(axis=1)], ""),
        }
    )
    worst = np.argsort(accuracy, kind="stable")[:HARDEST]
    hardest = pd.DataFrame(
        {
            "task": worst,
            "accuracy": 100 * accuracy[worst],
            "classes": ["; ".join(names[row]) for row in classes_of[worst]],
        }
    )
    return Breakdown(
        classes=per_class[queries > 0].sort_values("accuracy", kind="stable"),
        confusion=pd.DataFrame(percentages, index=pd.Index(names, name="actual"), columns=names),
        hardest=hardest,
    )
