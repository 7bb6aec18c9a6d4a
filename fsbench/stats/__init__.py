"""Statistics of accuracies: intervals, paired comparisons of two results, and corrections for many tests."""

from fsbench.stats.intervals import (
    CONFIDENCE,
    DISJOINT_INTERVAL,
    INTERVAL,
    field_half_width,
    mean_and_half_width,
    standard_deviation,
)
from fsbench.stats.over_classes import class_values
from fsbench.stats.pairs import (
    correlation,
    holm,
    paired_difference,
    paired_p,
    tasks_needed,
    welch_difference,
    welch_p,
    wilcoxon_p,
)

__all__ = [
    "CONFIDENCE",
    "DISJOINT_INTERVAL",
    "INTERVAL",
    "class_values",
    "correlation",
    "field_half_width",
    "holm",
    "mean_and_half_width",
    "paired_difference",
    "paired_p",
    "standard_deviation",
    "tasks_needed",
    "welch_difference",
    "welch_p",
    "wilcoxon_p",
]


def __dir__() -> list[str]:
    return __all__
