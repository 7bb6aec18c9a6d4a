"""Statistics of accuracies: intervals, and tests for the difference of two results."""

from fsbench.stats.data import BOOTSTRAP_INTERVAL, CLASS_INTERVAL, bootstrap_interval, class_values
from fsbench.stats.intervals import (
    CONFIDENCE,
    DISJOINT_INTERVAL,
    FIELD_INTERVAL,
    INTERVAL,
    SEED_INTERVAL,
    best_n_query,
    field_half_width,
    mean_and_half_width,
    standard_deviation,
    task_quantiles,
)
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
    "BOOTSTRAP_INTERVAL",
    "CLASS_INTERVAL",
    "CONFIDENCE",
    "DISJOINT_INTERVAL",
    "FIELD_INTERVAL",
    "INTERVAL",
    "SEED_INTERVAL",
    "best_n_query",
    "bootstrap_interval",
    "class_values",
    "correlation",
    "field_half_width",
    "holm",
    "mean_and_half_width",
    "paired_difference",
    "paired_p",
    "standard_deviation",
    "task_quantiles",
    "tasks_needed",
    "welch_difference",
    "welch_p",
    "wilcoxon_p",
]
