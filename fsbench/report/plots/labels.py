"""Texts of plots: names of lines, properties that all lines share, and the meaning of intervals."""

from collections.abc import Collection, Mapping, Sequence

from fsbench.evaluation.result import Result
from fsbench.report.grouping import differing
from fsbench.report.leaderboard import wording
from fsbench.report.leaderboard.tables import Line

_NUMBER = {"epochs": "{} epochs", "train seed": "seed {}"}  # text around a bare number


def labels(lines: Sequence[Line], without: Collection[str] = ()) -> list[str]:
    """Name each line of a table by the details that differ between lines, or by its recipe if none does.

    Args:
        lines: Lines of one table.
        without: Columns that are shown in another way.

    Returns:
        The names.
    """
    details = [_details(line) for line in lines]
    names = [name for name in differing(details) if name not in without] or ["recipe"]
    return [_joined(texts, names) for texts in details]


def common(lines: Sequence[Line]) -> str:
    """Describe the properties that all lines share, as a sentence; may be empty."""
    details = [_details(line) for line in lines]
    text = _joined(details[0], details[0].keys() - differing(details))
    return f"The same for all: {text}. " if text else ""


def interval(results: Sequence[Result], shown_as: str) -> str:
    """Describe tasks and intervals; `shown_as` is how intervals are drawn, such as "Bands"."""
    fewest, most = (limit(result.spec.n_tasks for result in results) for limit in (min, max))
    number = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    queries = wording.queries(results[0]).capitalize()
    return (
        f"Each number is the mean over {number} tasks. {queries}. {shown_as}: 95 % Student-t interval over "
        f"tasks. {wording.interval_covers(results[0])}"
    )


def without_epochs(changes: str) -> str:
    """Remove the epochs, which are shown separately, from the overrides of a recipe."""
    return ", ".join(part for part in changes.split(", ") if not part.startswith("epochs "))


def _details(line: Line) -> dict[str, str]:
    """Return texts that may distinguish the lines of a table."""
    return {**line.named, "changes": without_epochs(line.changes)}


def _joined(details: Mapping[str, str], names: Collection[str]) -> str:
    """Join the details with these names, in their order."""
    texts = [(name, text) for name, text in details.items() if name in names and text not in ("", "-")]
    return ", ".join(
        _NUMBER.get(name, "{}").format(text) if text[0].isdigit() else text for name, text in texts
    )
