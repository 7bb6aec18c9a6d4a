"""Comparison of result files in pairs: differences, their intervals and p-values."""

from fsbench.report.compare.pairs import Comparison, Entry, Pair, compare, compare_groups
from fsbench.report.compare.text import table

__all__ = ["Comparison", "Entry", "Pair", "compare", "compare_groups", "table"]
