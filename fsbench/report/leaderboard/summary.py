"""A short table for a README: one row per backbone, in-domain and on other data sets."""

from collections import Counter
from collections.abc import Sequence

from fsbench.evaluation.result import Result
from fsbench.report.grouping import group_by
from fsbench.report.leaderboard.markdown import escape
from fsbench.report.leaderboard.rows import family_key
from fsbench.report.leaderboard.tables import Line, Table
from fsbench.report.leaderboard.wording import epochs, head, or_dash, recipe, without_epochs

MOST_ROWS = 8
PREFERRED = "nearest-mean"  # among heads with the same number of rows


def summary(tables: Sequence[Table], link_prefix: str = "") -> str:
    """Write a table of backbones, those that a recipe has trained if there are any, and how to read it.

    Training seeds are folded, and the head with the most rows is shown.

    Args:
        tables: The tables of the leaderboard.
        link_prefix: Path from the page to the results folder, such as `results/`.

    Returns:
        Markdown with at most `MOST_ROWS` rows.
    """
    every = f"[{link_prefix}README.md]({link_prefix}README.md)"
    every_line = [line for table in tables for line in table.lines if not line.in_mean]
    # Other backbones are shown only where there is none that a recipe has trained.
    lines = [line for line in every_line if line.result.model.recipe] or every_line
    if not lines:
        return f"There are no results yet. All results: {every}.\n"
    shown = _most_common_head(lines)
    lines = [line for line in lines if head(line.result) == shown]
    backbones = group_by(lines, lambda line: family_key(line.result).model)
    rows = [_row(same) for same in backbones.values()]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    align = [":--" if name in ("trained on", "recipe") else "--:" for name in columns]
    cells = [columns, align, *([row.get(name, "-") for name in columns] for row in rows[:MOST_ROWS])]
    table = "\n".join(f"| {' | '.join(row)} |" for row in cells)  # without padding: a README is short
    recipes = {line.result.model.recipe for line in lines}
    results = [
        result
        for compared in tables
        for result in compared.results
        if result.model.recipe in recipes and head(result) == shown
    ]
    more = f"{len(rows) - MOST_ROWS} more rows and all" if len(rows) > MOST_ROWS else "All"
    return "\n\n".join([_lead(shown, results), table, f"{more} heads and intervals: {every}.\n"])


def _most_common_head(lines: Sequence[Line]) -> str:
    """Return the head with the most rows."""
    heads = Counter(
        (line.result.head.class_prior, head(line.result), line.result.head.name) for line in lines
    )
    # Class counts are rarely known, so heads that are given them come last.
    return min(heads, key=lambda key: (key[0], -heads[key], key[2] != PREFERRED, key))[1]


def _row(lines: Sequence[Line]) -> dict[str, str]:
    """Describe one backbone by column; the first of several evaluations of a data set is shown."""
    model = lines[0].result.model
    row = {
        "trained on": escape(or_dash(model.source)),
        "recipe": escape(", ".join(filter(None, [recipe(model), without_epochs(lines[0].changes)]))),
        "epochs": epochs(family_key(lines[0].result).model),
        "seeds": str(lines[0].n_seeds),
    }
    for line in lines:
        column, accuracies = _accuracies(line)
        row.setdefault(escape(column), accuracies)
    return row


def _accuracies(line: Line) -> tuple[str, str]:
    """Name the column of an evaluation and format its accuracies: of the fewest ways, one per shot."""
    n_way = min(way for way, _ in line.cells)
    means = {shot: cell.mean for (way, shot), cell in sorted(line.cells.items()) if way == n_way}
    data, model = line.result.data, line.result.model
    target = "" if data.dataset == model.source else f"→ {data.dataset} "
    protocol = f"{n_way}-way {'/'.join(map(str, means))}-shot"
    return f"{target}{protocol}", " / ".join(f"{100 * mean:.1f}" for mean in means.values())


def _lead(shown: str, results: Sequence[Result]) -> str:
    """Describe the numbers of the table."""
    outcomes = [result.outcome for result in results]
    classes = [outcome.class_half_width for outcome in outcomes if outcome.class_half_width is not None]
    over_classes = f", and {_range(classes)} over new classes and their images" if classes else ""
    return (
        f"Accuracy in % of the head {escape(shown)}; of several training seeds, the mean. 95 % half widths, "
        f"in points: {_range([outcome.half_width for outcome in outcomes])} over the tasks{over_classes}."
    )


def _range(half_widths: Sequence[float]) -> str:
    """Format the smallest and the largest half width, in points."""
    ends = dict.fromkeys(f"{100 * end:.1f}" for end in (min(half_widths), max(half_widths)))
    return " to ".join(ends)
