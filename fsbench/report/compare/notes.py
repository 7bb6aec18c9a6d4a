"""Notes below a comparison: columns and marks that occur in its tables."""

from collections.abc import Sequence

from fsbench.report.compare.pairs import Comparison, Entry
from fsbench.report.grouping import group_by
from fsbench.stats.all_pairs import FEWEST_SEEDS, LEVEL

_FILES = 3  # files that a note names


def by_rank(entries: Sequence[Entry]) -> bool:
    """Whether the table of these entries shows ranks, because they do not all have groups."""
    return any(entry.rank is not None and not entry.group for entry in entries)


def notes(comparison: Comparison, *, with_pairs: bool) -> list[str]:
    """Explain the columns and those marks that occur in the tables, one line each.

    Args:
        comparison: The comparison.
        with_pairs: Whether there are tables of pairs.

    Returns:
        The notes.
    """
    entries, over, n_pairs = comparison.entries, comparison.over, comparison.adjusted_for
    folded = any(entry.seed_accuracies for entry in entries)
    population = {
        "classes": "new classes and their images (narrower: --over tasks)",
        "tasks": "other tasks from the same images, not for new classes",
    }[over]
    adjusted = f"Holm's correction for {n_pairs} pair{'s' * (n_pairs != 1)}, level {LEVEL}"
    both = not folded or with_pairs
    widths = ["± tasks: for other tasks from the same images"] * (both or over == "tasks")
    widths += ["± classes: for new classes and their images"] * (both or over == "classes")
    lines = [f"95 % half widths in points; {'; '.join(widths)}."]
    tables = list(group_by(entries, lambda entry: entry.question).values())
    meanings = {
        "group: entries that share a letter do not differ significantly": any(
            entry.group for table in tables if not by_rank(table) for entry in table
        ),
        "rank: 1 + the number of entries that are significantly better": any(map(by_rank, tables)),
    }
    lines += [f"{meaning}, for {population}; {adjusted}." for meaning, occurs in meanings.items() if occurs]
    if any(map(by_rank, tables)):
        lines.append(
            "There are ranks instead of groups where some pairs are not tested, where more than 26 letters "
            "are needed, or where a significant difference has the other sign on the tasks that both have."
        )
    if folded:
        lines.append(
            f"Recipes are compared as means over {FEWEST_SEEDS} or more training seeds, with the variance "
            "over seeds. seeds: their number, lowest and highest accuracy. "
            "To compare single checkpoints: --each-seed."
        )
    else:
        lines.append("Checkpoints are compared; no interval covers training seeds.")
    if not all(entry.compared for entry in entries):
        lines.append(f"-: fewer than {FEWEST_SEEDS} seeds, or seeds on different tasks.")
    heads = " ".join(f"{entry.head} {entry.label}" for entry in entries)
    if "†" in heads:
        lines.append("†: transductive; uses all query images of a task together.")
    if "‡" in heads:
        lines.append("‡: is given the number of query images per class.")
    if any(pair.class_half_width is None for pair in comparison.pairs):
        lines.append("-: no claim over classes, because class values are missing or the images may differ.")
    if _lengths_differ(comparison):
        lines.append("Results with different numbers of tasks are compared on the tasks that both have.")
    if with_pairs:
        lines += [f"p: for {population}. p (Holm): with {adjusted}.", *_notes_on_pairs(comparison)]
    lines += _left_out("no other result answers the same question", comparison.left_out)
    reason = "another result differs only in its larger number of tasks"
    lines += _left_out(reason, comparison.fewer_tasks)
    if not with_pairs:
        lines.append("For each difference with its interval and p-value: --pairs, or --against best.")
    return lines


def _notes_on_pairs(comparison: Comparison) -> list[str]:
    """Explain those columns and marks that occur in tables of pairs."""
    lines = []
    if comparison.over == "tasks":
        lines.append("tasks needed: to find a true difference of this size with probability 0.8.")
    if not all(pair.same_tasks for pair in comparison.pairs):
        lines.append("*: measured on other tasks than A, so Welch's t test over tasks, not the paired one.")
    return lines


def _lengths_differ(comparison: Comparison) -> bool:
    """Whether a pair has the same tasks, but more of them in one of the entries."""
    lengths = {(entry.question, entry.head, entry.label): entry.n_tasks for entry in comparison.entries}
    return any(
        pair.same_tasks
        and lengths[pair.question, pair.head, pair.first] != lengths[pair.question, pair.head, pair.second]
        for pair in comparison.pairs
    )


def _left_out(reason: str, files: Sequence[str]) -> list[str]:
    """Name the first files that are left out for a reason."""
    more = f" and {len(files) - _FILES} more" * (len(files) > _FILES)
    return [f"Left out, because {reason}: {', '.join(files[:_FILES])}{more}"] if files else []
