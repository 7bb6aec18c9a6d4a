"""A comparison as tables and text for the terminal."""

from typing import TYPE_CHECKING

from fsbench._util.terminal import escaped, table
from fsbench.report.compare.pairs import Comparison, Pair
from fsbench.stats.all_pairs import LEVEL

if TYPE_CHECKING:
    from rich.table import Table

ENTRIES = ("", "accuracy", "± tasks", "± classes", "tasks")
PAIRS = ("A", "B", "A - B", "± tasks", "± classes", "p", "p (Holm)")
OVER_TASKS = ("p (Wilcoxon)", "correlation", "tasks needed")  # additional columns for p-values over tasks


def tables(comparison: Comparison) -> list["str | Table"]:
    """Make tables of the accuracies in % and of the pairs of each question, with notes on how to read them.

    Args:
        comparison: The comparison.

    Returns:
        Tables and lines of text.
    """
    parts: list[str | Table] = []
    over_tasks = comparison.over == "tasks"
    for question in dict.fromkeys(entry.question for entry in comparison.entries):
        accuracies = [
            (
                escaped(entry.label),
                f"{100 * entry.accuracy:.2f}",
                _percent(entry.half_width),
                _percent(entry.class_half_width),
                f"{entry.n_tasks:,}",
            )
            for entry in comparison.entries
            if entry.question == question
        ]
        pairs = [_cells(pair, over_tasks) for pair in comparison.pairs if pair.question == question]
        columns = (*PAIRS, *OVER_TASKS) if over_tasks else PAIRS
        parts += [question, "", table(ENTRIES, accuracies, ENTRIES[1:]), ""]
        parts += [table(columns, pairs, columns[2:]), ""]
    return [*parts, _notes(comparison)]


def _cells(pair: Pair, over_tasks: bool) -> tuple[str, ...]:
    """Format one pair as the cells of a row."""
    shared = (
        escaped(pair.first),
        escaped(pair.second if pair.same_tasks else f"{pair.second} *"),
        f"{100 * pair.difference:+.2f}",
        _percent(pair.half_width),
        _percent(pair.class_half_width),
        _p(pair.p_tasks if over_tasks else pair.p_classes),
        _p(pair.p_holm),
    )
    if not over_tasks:
        return shared
    return (
        *shared,
        _p(pair.p_wilcoxon),
        "-" if pair.correlation is None else f"{pair.correlation:.2f}",
        "-" if pair.tasks_needed is None else f"{pair.tasks_needed:,}",
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _notes(comparison: Comparison) -> str:
    """Explain the columns and those marks that occur in the tables."""
    n_pairs = comparison.adjusted_for
    notes = [
        "± tasks: 95 % half width in points, for other tasks from the same images.",
        "± classes: 95 % half width in points, for new classes and their images.",
        "Neither interval covers training seeds.",
        {
            "classes": "p: for new classes and their images (narrower: --over tasks).",
            "tasks": "p: for other tasks from the same images, not for new classes.",
        }[comparison.over],
        f"p (Holm): p adjusted for {n_pairs} pair{'s' * (n_pairs != 1)}. "
        f"Below {LEVEL}: significantly different.",
    ]
    pairs = comparison.pairs
    if comparison.over == "tasks":
        notes.append("tasks needed: to find a true difference of this size with probability 0.8.")
    if any(pair.class_half_width is None for pair in pairs):
        notes.append("-: no claim over classes, because class values are missing or the images may differ.")
    if not all(pair.same_tasks for pair in pairs):
        notes.append("*: measured on other tasks than A, so Welch's t test over tasks, not the paired one.")
    lengths = {(entry.question, entry.label): entry.n_tasks for entry in comparison.entries}
    if any(
        pair.same_tasks and lengths[pair.question, pair.first] != lengths[pair.question, pair.second]
        for pair in pairs
    ):
        notes.append("A - B: over the tasks of both, where one task list is the beginning of the other.")
        notes.append("There, ± classes is over all tasks of each, so it is wider than for equal lists.")
    if comparison.left_out:
        notes.append(
            f"Left out, because no other result answers the same question: {', '.join(comparison.left_out)}"
        )
    if comparison.fewer_tasks:
        notes.append(
            "Left out, because another result differs only in its larger number of tasks: "
            f"{', '.join(comparison.fewer_tasks)}"
        )
    return "\n".join(notes)
