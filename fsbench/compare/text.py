"""A comparison for the terminal."""

from collections.abc import Sequence

from tabulate import tabulate

from fsbench.compare.pairs import Comparison, Pair

HEAD = ("A", "B", "A - B", "p (t)", "p (Holm)", "p (Wilcoxon)", "correlation", "tasks needed")


def table(comparison: Comparison) -> str:
    """Of each question its accuracies in %, then its pairs; at the end how to read them."""
    parts = []
    for question in dict.fromkeys(entry.question for entry in comparison.entries):
        accuracies = [
            (entry.label, f"{100 * entry.accuracy:.2f} ± {100 * entry.half_width:.2f}", f"{entry.n_tasks:,}")
            for entry in comparison.entries
            if entry.question == question
        ]
        pairs = [_cells(pair) for pair in comparison.pairs if pair.question == question]
        parts += [question, _plain(("", "accuracy", "tasks"), accuracies, 1), _plain(HEAD, pairs, 2)]
    return "\n\n".join([*parts, _notes(comparison)])


def _cells(pair: Pair) -> tuple[str, ...]:
    return (
        pair.first,
        pair.second if pair.same_tasks else f"{pair.second} *",
        f"{100 * pair.difference:+.2f} ± {100 * pair.half_width:.2f}",
        _p(pair.p_t),
        _p(pair.p_holm),
        "-" if pair.p_wilcoxon is None else _p(pair.p_wilcoxon),
        "-" if pair.correlation is None else f"{pair.correlation:.2f}",
        "-" if pair.tasks_needed is None else f"{pair.tasks_needed:,}",
    )


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _notes(comparison: Comparison) -> str:
    """How to read the table, and each mark that occurs in it."""
    notes = [
        "±: 95 % Student-t half width in points; covers which tasks were drawn, not which images or seeds.",
        f"p (Holm): p (t) adjusted for all {len(comparison.pairs)} pairs.",
        "tasks needed: with so many a true difference of this size is found with probability 0.8.",
    ]
    if not all(pair.same_tasks for pair in comparison.pairs):
        notes.append("*: on other tasks than A, so not in pairs: Welch's t test, tasks needed on each side.")
    if comparison.left_out:
        notes.append(f"Left out, nothing answers the same question: {', '.join(comparison.left_out)}")
    return "\n".join(notes)


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]], n_left: int) -> str:
    """A plain table whose first `n_left` columns are words, the others numbers."""
    align = ["left" if i < n_left else "right" for i in range(len(head))]
    return tabulate(rows, head, tablefmt="simple", colalign=align, disable_numparse=True)
