"""Statistics of accuracies: intervals, tests of two results and of all pairs of many, and corrections."""

from fsbench.stats.all_pairs import Claim, Compared, Measured, Pairs, compare_pairs, compared, mean_over_seeds
from fsbench.stats.intervals import (
    CONFIDENCE,
    DISJOINT_INTERVAL,
    INTERVAL,
    binomial_interval,
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
    "Claim",
    "Compared",
    "Measured",
    "Pairs",
    "binomial_interval",
    "class_values",
    "compare_pairs",
    "compared",
    "correlation",
    "field_half_width",
    "holm",
    "mean_and_half_width",
    "mean_over_seeds",
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
