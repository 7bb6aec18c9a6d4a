"""Comparison of result files in pairs: a ranking, differences, their intervals and p-values."""

from fsbench.report.compare.comparable import first_comparable
from fsbench.report.compare.pairs import Comparison, Entry, Pair, compare, compare_groups
from fsbench.report.compare.text import tables

__all__ = ["Comparison", "Entry", "Pair", "compare", "compare_groups", "first_comparable", "tables"]
