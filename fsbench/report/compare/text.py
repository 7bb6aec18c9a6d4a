"""A comparison as tables and text for the terminal."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsbench._util.terminal import escaped, shortened, table
from fsbench.report.compare.notes import by_rank, notes
from fsbench.report.compare.pairs import Comparison, Entry, Pair
from fsbench.report.grouping import group_by
from fsbench.stats.all_pairs import FEWEST_SEEDS, LEVEL

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

PAIRS = ("A", "B", "A - B", "± tasks", "± classes", "p", "p (Holm)")
OVER_TASKS = ("p (Wilcoxon)", "correlation", "tasks needed")  # additional columns for p-values over tasks


def tables(comparison: Comparison, *, pairs: bool = False) -> list["str | Text | Table"]:
    """Make a ranking of the accuracies in % of each question, a summary, and notes on how to read them.

    Args:
        comparison: The comparison.
        pairs: Also make a table of the pairs of each question.

    Returns:
        Tables and lines of text; tables and texts of rich can be wrapped at any width.
    """
    from rich.text import Text

    labels = [entry.label for entry in comparison.entries]
    short, shared = shortened(labels)
    names = dict(zip(labels, map(escaped, short), strict=True))
    parts: list[str | Text | Table] = []
    for question, entries in group_by(comparison.entries, lambda entry: entry.question).items():
        parts += [Text(_heading(question, entries), "bold"), "", _ranking(entries, comparison, names), ""]
        if pairs:
            of_question = [pair for pair in comparison.pairs if pair.question == question]
            parts += [_pairs(of_question, comparison, names), ""]
    if shared:
        parts += [Text(f"… stands for {shared}."), ""]
    parts += [Text(_summary(comparison, dict(zip(labels, short, strict=True)))), ""]
    return [*parts, *map(Text, notes(comparison, with_pairs=pairs))]


def _heading(question: str, entries: Sequence[Entry]) -> str:
    """Describe the question, with the number of tasks if it is the same for all."""
    n_tasks = {entry.n_tasks for entry in entries}
    return question + (f", {n_tasks.pop():,} tasks" if len(n_tasks) == 1 else "")


def _ranking(entries: Sequence[Entry], comparison: Comparison, names: dict[str, str]) -> "Table":
    """Make the table of the entries of a question, the highest of each head first."""
    seeds = any(entry.seed_accuracies for entry in entries)
    columns = {
        "head": any(entry.head for entry in entries),
        "recipe" if seeds else "": True,
        "accuracy": True,
        "seeds": seeds,
        "± tasks": not seeds or comparison.over == "tasks",
        "± classes": not seeds or comparison.over == "classes",
        "tasks": len({entry.n_tasks for entry in entries}) > 1,
        "rank": by_rank(entries),
        "group": any(entry.group for entry in entries) and not by_rank(entries),
    }
    rows = []
    for head, members in group_by(entries, lambda entry: entry.head).items():
        for place, entry in enumerate(sorted(members, key=lambda entry: -entry.accuracy)):
            cells = (
                escaped(head or "") if place == 0 else "",
                names[entry.label],
                f"{100 * entry.accuracy:.2f}",
                _seeds(entry),
                _percent(entry.half_width),
                _percent(entry.class_half_width),
                f"{entry.n_tasks:,}",
                "-" if entry.rank is None else str(entry.rank),
                entry.group or "-",
            )
            rows.append([cell for cell, shown in zip(cells, columns.values(), strict=True) if shown])
    shown = [name for name, is_shown in columns.items() if is_shown]
    return table(shown, rows, ("accuracy", "± tasks", "± classes", "tasks", "rank"))


def _pairs(pairs: Sequence[Pair], comparison: Comparison, names: dict[str, str]) -> "Table":
    """Make the table of the pairs of a question."""
    over_tasks, by_head = comparison.over == "tasks", any(pair.head for pair in pairs)
    columns = ("head",) * by_head + (*PAIRS, *OVER_TASKS * over_tasks)
    rows = []
    for head, members in group_by(pairs, lambda pair: pair.head).items():
        first_cells = [escaped(head or ""), *[""] * len(members)]
        for first_cell, pair in zip(first_cells, members, strict=False):
            rows.append([first_cell] * by_head + _cells(pair, over_tasks, names))
    return table(columns, rows, (*PAIRS[2:], *OVER_TASKS))


def _cells(pair: Pair, over_tasks: bool, names: dict[str, str]) -> list[str]:
    """Format one pair as the cells of a row."""
    cells = [
        names[pair.first],
        names[pair.second] + " *" * (not pair.same_tasks),
        f"{100 * pair.difference:+.2f}",
        _percent(pair.half_width),
        _percent(pair.class_half_width),
        _p(pair.p_tasks if over_tasks else pair.p_classes),
        _p(pair.p_holm),
    ]
    if over_tasks:
        cells += [
            _p(pair.p_wilcoxon),
            "-" if pair.correlation is None else f"{pair.correlation:.2f}",
            "-" if pair.tasks_needed is None else f"{pair.tasks_needed:,}",
        ]
    return cells


def _seeds(entry: Entry) -> str:
    """Write the number of training seeds, with the lowest and the highest accuracy."""
    accuracies = entry.seed_accuracies
    if not accuracies:
        return "1"
    return f"{len(accuracies)} ({100 * min(accuracies):.2f}-{100 * max(accuracies):.2f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _summary(comparison: Comparison, names: dict[str, str]) -> str:
    """State in one sentence which entry is ahead, by how much, and how many pairs differ."""
    rankings = list(group_by(comparison.entries, lambda entry: (entry.question, entry.head)).values())
    tested = [pair for pair in comparison.pairs if pair.p_holm is not None]
    differ = sum(_differs(pair) for pair in tested)
    number = f"{differ or 'none'} differ{'s' * (differ <= 1)}"
    shown = (
        f"of {len(tested)} pairs"
        if len(tested) == comparison.adjusted_for
        else f"of the {len(tested)} pairs shown"
    )
    count = f"{shown}, {number} significantly"
    of = _compared(comparison.entries)
    if len(rankings) == 1:
        order = sorted((entry for entry in rankings[0] if entry.compared), key=lambda entry: -entry.accuracy)
        ahead = _ahead(order[0], order[1], comparison, names)
        return f"{of}{ahead}; {count}." if len(tested) > 1 else f"{of}{ahead}."
    compared = [[entry for entry in entries if entry.compared] for entries in rankings]
    highest = Counter(names[max(entries, key=lambda entry: entry.accuracy).label] for entries in compared)
    first, *others = highest.most_common(3)
    more = "".join(f", {name} in {times}" for name, times in others)
    return f"{of}{first[0]} is highest in {first[1]} of {len(rankings)} rankings{more}; {count}."


def _compared(entries: Sequence[Entry]) -> str:
    """Return the beginning of a sentence that limits it to compared entries; empty if all are compared."""
    if all(entry.compared for entry in entries):
        return ""
    if all(entry.seed_accuracies for entry in entries if entry.compared):
        return f"Of the recipes with {FEWEST_SEEDS} or more seeds, "
    return "Of the compared results, "


def _ahead(first: Entry, second: Entry, comparison: Comparison, names: dict[str, str]) -> str:
    """State the difference of the two highest entries; if they are a pair, as tested, with its half width."""
    for pair in comparison.pairs:
        if {pair.first, pair.second} == {first.label, second.label}:
            half_width = pair.half_width if comparison.over == "tasks" else pair.class_half_width
            interval = "" if half_width is None else f" ± {100 * half_width:.2f}"
            significant = f" ({'' if _differs(pair) else 'not '}significant)" * (pair.p_holm is not None)
            shared = f" on the {pair.n_tasks:,} tasks of both" * (
                first.n_tasks != second.n_tasks and pair.same_tasks
            )
            ahead, behind = (pair.first, pair.second) if pair.difference >= 0 else (pair.second, pair.first)
            text = f"{names[ahead]} is ahead of {names[behind]} by {100 * abs(pair.difference):.2f}"
            return f"{text}{interval} points{shared}{significant}"
    difference = 100 * (first.accuracy - second.accuracy)
    return f"{names[first.label]} is ahead of {names[second.label]} by {difference:.2f} points"


def _differs(pair: Pair) -> bool:
    return pair.p_holm is not None and pair.p_holm < LEVEL
