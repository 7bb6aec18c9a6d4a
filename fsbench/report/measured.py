"""Convert results to `Measured` accuracies, the input of `fsbench.stats.all_pairs`."""

from collections.abc import Sequence

import numpy as np

from fsbench.evaluation.result import Result
from fsbench.stats.all_pairs import Measured, mean_over_seeds


def of_result(result: Result) -> Measured:
    """Convert one result to an accuracy with the values that intervals need.

    Args:
        result: A result of one checkpoint and head.

    Returns:
        The accuracy.
    """
    return Measured(
        accuracy=result.outcome.accuracy,
        scores=result.accuracies,
        class_values=None if result.outcome.class_values is None else np.array(result.outcome.class_values),
        task_identity=result.task_identity,
        image_identity=result.image_identity,
    )


def of_seeds(results: Sequence[Result]) -> Measured | None:
    """Compute the mean accuracy of one recipe over its training seeds.

    Args:
        results: One result for each seed.

    Returns:
        The mean; None for fewer than three seeds, and for seeds that were not measured on the same tasks.
    """
    return mean_over_seeds([of_result(result) for result in results])
