"""The page of training budgets: writes its figures and its tables from the result files below results/budget.

    python -m results.budgets

The tables take the place of what stands between the markers in results/budget/README.md; the text around them
is written by hand.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fsbench._util.errors import FsbenchError
from fsbench._util.files import write_text
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.pages import with_block
from fsbench.report.plots import budgets, save
from fsbench.report.plots.budget import Point, points, recipes_of, seeds_text
from results.campaign import guarded

FOLDER = Path(__file__).parent / "budget"
BEGIN, END = "<!-- budgets:begin -->", "<!-- budgets:end -->"


def main() -> int:
    """Write the page and its figures."""
    found = list(result_files.read_all(FOLDER))
    page = FOLDER / "README.md"
    write_text(page, with_tables(page.read_text(encoding="utf-8"), found))
    for n_shot in sorted({result.spec.n_shot for result in found}):
        save(
            budgets([result for result in found if result.spec.n_shot == n_shot]),
            FOLDER / f"{n_shot}-shot.svg",
        )
    return 0


def with_tables(text: str, found: Sequence[Result]) -> str:
    """The page with the tables of these results between its markers.

    Raises:
        FsbenchError: it lacks the markers.
    """
    page = with_block(text, BEGIN, END, f"{tables(found)}\n")
    if page is None:
        raise FsbenchError(f"the tables go between {BEGIN} and {END}, which are missing")
    return page


def tables(found: Sequence[Result]) -> str:
    """A section of level 3 per setting, a table per number of images of each base class."""
    parts = []
    for setting, of in points(found).items():
        by_images: dict[int | None, list[Point]] = defaultdict(list)
        for point in of:
            by_images[point.per_class].append(point)
        parts.append(f"### {setting.text()}")
        parts += [_table(per_class, own) for per_class, own in by_images.items()]
    return "\n\n".join(parts)


def _table(per_class: int | None, of: Sequence[Point]) -> str:
    images = "All images" if per_class is None else f"{per_class} images"
    epochs = sorted({point.epochs for point in of})
    rows = []
    for recipe in recipes_of(of):
        own = {point.epochs: point for point in of if point.recipe == recipe}
        rows.append([recipe, *(_cell(own.get(n)) for n in epochs), pays_from(list(own.values()))])
    heads = ["recipe", *(f"{n} epochs" for n in epochs), "above ERM from"]
    table = tabulate(rows, heads, "pipe", colalign=["left", *["right"] * len(epochs), "left"])
    return f"{images} of each base class, training seeds: {seeds_text(of)}.\n\n{table}"


def _cell(point: Point | None) -> str:
    """Accuracy in %, and in brackets the difference from ERM with its half width, in points."""
    if point is None:
        return "-"
    text = f"{100 * point.accuracy:.1f}"
    if point.difference is None:
        return text
    half = "" if point.half_width is None else f" ± {100 * point.half_width:.1f}"
    return f"{text} ({100 * point.difference:+.1f}{half})"


def pays_from(of: Sequence[Point]) -> str:
    """The least budget from which on a recipe is significantly above ERM with every budget, in epochs."""
    compared = [point for point in sorted(of, key=lambda point: point.epochs) if point.difference is not None]
    if not compared:
        return ""
    if all(point.half_width is None for point in compared):
        return "too few seeds"
    first = None
    for point in compared:
        assert point.difference is not None
        wins = point.half_width is not None and point.difference > point.half_width
        first = (first or point.epochs) if wins else None
    return f"{first} epochs" if first else "never here"


if __name__ == "__main__":
    sys.exit(guarded(main))
