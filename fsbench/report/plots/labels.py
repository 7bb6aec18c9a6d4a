"""Texts of plots: names of lines, what all lines have in common, and what ± covers."""

from collections.abc import Sequence

from fsbench.evaluation.result import Result
from fsbench.report.leaderboard.tables import NAMED, Line

CHANGES = "changes"  # of the recipe, and details that distinguish similar lines
_READ = {"epochs": "{} epochs", "train seed": "seed {}"}  # how a bare number reads


def labels(lines: Sequence[Line], names: Sequence[str] = NAMED) -> list[str]:
    """Name each line of a table by what differs between the lines; by its recipe where nothing does."""
    telling = [name for name in (*names, CHANGES) if _differs(lines, name)] or ["recipe"]
    return [", ".join(_texts(line, telling)) for line in lines]


def common(lines: Sequence[Line]) -> str:
    """Describe what all lines have in common, as a sentence; may be empty."""
    text = ", ".join(_texts(lines[0], [name for name in (*NAMED, CHANGES) if not _differs(lines, name)]))
    return f"All: {text}. " if text else ""


def interval(results: Sequence[Result], shown_as: str) -> str:
    """Describe tasks and intervals; `shown_as` is how intervals are drawn, such as "Bands"."""
    fewest, most = (limit(result.spec.n_tasks for result in results) for limit in (min, max))
    number = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    covers = "tasks and images, not of" if results[0].spec.disjoint else "tasks, not of images, classes or"
    queries = "all other images as" if results[0].spec.n_query is None else f"{results[0].spec.n_query}"
    return (
        f"Each number is a mean over {number} tasks with {queries} queries per class. {shown_as}: 95 % "
        f"Student-t interval over tasks; it covers the drawing of {covers} training seeds."
    )


def without_epochs(changes: str) -> str:
    """Changes of a recipe without the epochs, which are shown separately."""
    return ", ".join(part for part in changes.split(", ") if not part.startswith("epochs "))


def _texts(line: Line, names: Sequence[str]) -> list[str]:
    texts = {name: text for name in names if (text := _text(line, name)) not in ("", "-")}
    return [
        _READ[name].format(text) if name in _READ and text[0].isdigit() else text
        for name, text in texts.items()
    ]


def _text(line: Line, name: str) -> str:
    return without_epochs(line.changes) if name == CHANGES else line.named[name]


def _differs(lines: Sequence[Line], name: str) -> bool:
    return len({_text(line, name) for line in lines}) > 1
