"""What plots say of results: names of lines, what is common to all, and what ± is."""

from collections.abc import Sequence

from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.tables import NAMED, Line

CHANGES = "changes"  # in the recipe, and what else tells a line from its like
_READ = {"epochs": "{} epochs", "train seed": "seed {}"}  # how a bare number reads


def labels(lines: Sequence[Line], names: Sequence[str] = NAMED) -> list[str]:
    """For each line of a table that by which it differs from the others; its recipe where nothing does."""
    telling = [name for name in (*names, CHANGES) if _differs(lines, name)] or ["recipe"]
    return [", ".join(_texts(line, telling)) for line in lines]


def common(lines: Sequence[Line]) -> str:
    """What all lines have in common, as a sentence; empty when there is nothing."""
    text = ", ".join(_texts(lines[0], [name for name in (*NAMED, CHANGES) if not _differs(lines, name)]))
    return f"All: {text}. " if text else ""


def interval(results: Sequence[Result], shown_as: str) -> str:
    """How many tasks each number is over, and what its interval covers; `shown_as` is such as "Bands"."""
    fewest, most = (limit(result.spec.n_tasks for result in results) for limit in (min, max))
    number = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    covers = "tasks and images, not of" if results[0].spec.disjoint else "tasks, not of images, classes or"
    queries = "all other images as" if results[0].spec.n_query is None else f"{results[0].spec.n_query}"
    return (
        f"Each number is a mean over {number} tasks with {queries} queries per class. {shown_as}: 95 % "
        f"Student-t interval over tasks; it covers the drawing of {covers} training seeds."
    )


def without_epochs(changes: str) -> str:
    """Changes in a recipe but for the epochs, which are told beside it."""
    return ", ".join(part for part in changes.split(", ") if not part.startswith("epochs "))


def _texts(line: Line, names: Sequence[str]) -> list[str]:
    found = {name: text for name in names if (text := _text(line, name)) not in ("", "-")}
    return [
        _READ[name].format(text) if name in _READ and text[0].isdigit() else text
        for name, text in found.items()
    ]


def _text(line: Line, name: str) -> str:
    return without_epochs(line.changes) if name == CHANGES else line.named[name]


def _differs(lines: Sequence[Line], name: str) -> bool:
    return len({_text(line, name) for line in lines}) > 1
