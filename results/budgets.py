"""Write the figures and tables of the page of training budgets, from the result files below results/budget.

    python -m results.budgets

The tables replace the text between the markers in results/budget/README.md. The rest of the page is written
by hand.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fsbench._util.errors import FsbenchError
from fsbench._util.files import write_text
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.grouping import group_by
from fsbench.report.leaderboard.pages import with_block
from fsbench.report.plots import budgets, save
from fsbench.report.plots.budget import Point, points, recipes_of, seeds_text
from fsbench.stats.all_pairs import LEVEL
from results.campaign import guarded

FOLDER = Path(__file__).parent / "budget"
BEGIN, END = "<!-- budgets:begin -->", "<!-- budgets:end -->"


def main() -> int:
    """Write the page and its figures."""
    every = list(result_files.read_all(FOLDER))
    page = FOLDER / "README.md"
    write_text(page, with_tables(page.read_text(encoding="utf-8"), every))
    for n_shot, group in group_by(every, lambda result: result.spec.n_shot).items():
        save(budgets(group), FOLDER / f"{n_shot}-shot.svg")
    return 0


def with_tables(text: str, every: Sequence[Result]) -> str:
    """Return the page with the tables of these results between its markers.

    Raises:
        FsbenchError: The page has no markers.
    """
    page = with_block(text, BEGIN, END, f"{tables(every)}\n")
    if page is None:
        raise FsbenchError(f"the page must have the markers {BEGIN} and {END}; the tables go between them")
    return page


def tables(every: Sequence[Result]) -> str:
    """Write one section of level 3 per setting, with one table per number of images of each base class."""
    parts = []
    for setting, group in points(every).items():
        parts.append(f"### {setting.text()}")
        by_images = group_by(group, lambda point: point.per_class)
        parts += [_table(per_class, row) for per_class, row in by_images.items()]
    return "\n\n".join(parts)


def _table(per_class: int | None, group: Sequence[Point]) -> str:
    """Write a table: one row per recipe, one column per number of epochs."""
    images = "All images" if per_class is None else f"{per_class} images"
    epochs = sorted({point.epochs for point in group})
    rows = []
    for recipe in recipes_of(group):
        row = {point.epochs: point for point in group if point.recipe == recipe}
        rows.append([recipe, *(_cell(row.get(n)) for n in epochs), pays_from(list(row.values()))])
    header = ["recipe", *(f"{n} epochs" for n in epochs), "above ERM from"]
    table = tabulate(rows, header, "pipe", colalign=["left", *["right"] * len(epochs), "left"])
    return f"{images} of each base class, training seeds: {seeds_text(group)}.\n\n{table}"


def _cell(point: Point | None) -> str:
    """Write the accuracy in %, in brackets the difference from ERM in points; bold if it is significant."""
    if point is None:
        return "-"
    text = f"{100 * point.accuracy:.1f}"
    if point.difference is None:
        return text
    half = "" if point.half_width is None else f" ± {100 * point.half_width:.1f}"
    text = f"{text} ({100 * point.difference:+.1f}{half})"
    return f"**{text}**" if is_significant(point) else text


def is_significant(point: Point) -> bool:
    """Whether the difference from ERM is significant after Holm's correction."""
    return point.p is not None and point.p < LEVEL


def pays_from(group: Sequence[Point]) -> str:
    """Name the number of epochs from which on a recipe is always significantly above ERM."""
    compared = [
        point for point in sorted(group, key=lambda point: point.epochs) if point.difference is not None
    ]
    if not compared:
        return ""
    if compared[-1].half_width is None:  # nothing is claimed of the largest budget
        return "too few seeds"
    first = None
    for point in compared:
        assert point.difference is not None
        wins = is_significant(point) and point.difference > 0
        first = (first or point.epochs) if wins else None
    return f"{first} epochs" if first else "never here"


if __name__ == "__main__":
    sys.exit(guarded(main))
