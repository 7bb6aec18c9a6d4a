from . import leaderboard as leaderboard
from . import plots as plots
from .check import problems as problems
from .compare import Comparison as Comparison
from .compare import Entry as Entry
from .compare import Pair as Pair
from .compare import compare_groups as compare_groups
from .grouping import distinguishing as distinguishing
from .grouping import group_by as group_by
from .leaderboard.tables import Table as Table
from .leaderboard.tables import tables as tables
from .measured import of_result as of_result
from .measured import of_seeds as of_seeds
from .reproduce import Reproduction as Reproduction
from .reproduce import recipe_of as recipe_of

__all__ = [
    "Comparison",
    "Entry",
    "Pair",
    "Reproduction",
    "Table",
    "compare_groups",
    "distinguishing",
    "group_by",
    "leaderboard",
    "of_result",
    "of_seeds",
    "plots",
    "problems",
    "recipe_of",
    "tables",
]
