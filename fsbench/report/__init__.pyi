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
from .pairwise import Claim as Claim
from .pairwise import Compared as Compared
from .pairwise import Measured as Measured
from .pairwise import Pairs as Pairs
from .pairwise import compare_pairs as compare_pairs
from .pairwise import of_result as of_result
from .pairwise import of_seeds as of_seeds
from .reproduce import Reproduction as Reproduction
from .reproduce import recipe_of as recipe_of

__all__ = [
    "Claim",
    "Compared",
    "Comparison",
    "Entry",
    "Measured",
    "Pair",
    "Pairs",
    "Reproduction",
    "Table",
    "compare_groups",
    "compare_pairs",
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
