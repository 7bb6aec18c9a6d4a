"""Result files against each other: which differ, by how much, and how sure that is."""

from fsbench.compare.pairs import Comparison, Entry, Pair, compare
from fsbench.compare.text import table

__all__ = ["Comparison", "Entry", "Pair", "compare", "table"]
