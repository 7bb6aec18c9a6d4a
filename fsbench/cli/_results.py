"""The table of results that commands print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsbench._util.terminal import escaped, shortened, table

if TYPE_CHECKING:
    from rich.console import Group

    from fsbench.evaluation.result import Result


def result_table(results: Sequence["Result"], new: Sequence[bool] = ()) -> "Group":
    """Make a table with one row per result, below a line that says once what all results share.

    Marks are explained below it. `new` tells for each result whether it was
    computed by this call; without it, the table has no such column.
    """
    from rich.console import Group
    from rich.text import Text

    from fsbench.report.grouping import without_digests
    from fsbench.report.leaderboard.wording import head

    runs, shared = shortened(without_digests([result.model.run for result in results]))
    columns = {
        "run": runs,
        "data set": [_place(result) for result in results],
        "task": [result.spec.protocol for result in results],
        "head": [head(result) for result in results],
        "tasks": [f"{result.spec.n_tasks:,}" for result in results],
        "queries per class": [str(result.spec.n_query or "all") for result in results],
    }
    constant = {name: texts[0] for name, texts in columns.items() if len({*texts}) == 1}
    if len(results) == 1:  # a row needs some columns
        constant = {name: text for name, text in constant.items() if name not in ("task", "head")}
    cells = {name: [*map(escaped, texts)] for name, texts in columns.items() if name not in constant}
    cells["accuracy in %"] = [_accuracy(result) for result in results]
    if new:
        cells["state"] = ["new" if is_new else "existing" for is_new in new]
    shown = table([*cells], [*zip(*cells.values(), strict=True)], right=("accuracy in %", "tasks"))
    for column in shown.columns:
        column.no_wrap = column.header in ("accuracy in %", "state")
    notes = [f"… stands for {shared}"] * bool(shared)
    if any(result.head.transductive for result in results):
        notes.append("† transductive: uses all query images of a task together")
    if any(result.head.class_prior for result in results):
        notes.append("‡ is given the number of query images per class")
    about = [
        f"{text} {name}" if name in ("tasks", "queries per class") else text
        for name, text in constant.items()
    ]
    return Group(Text(", ".join(about)), shown, *map(Text, notes))


def _place(result: "Result") -> str:
    """Name data set and split, after the data set that the backbone was trained on if that is another."""
    data, source = result.data, result.model.source
    origin = f"{source} -> " if source not in (None, data.dataset) else ""
    return f"{origin}{data.dataset} {data.split}{' (synthetic)' * data.synthetic}"


def _accuracy(result: "Result") -> str:
    outcome = result.outcome
    return f"[bold]{100 * outcome.accuracy:.2f} ± {100 * outcome.half_width:.2f}[/]"
