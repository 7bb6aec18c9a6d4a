"""The table of results that commands print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsbench.cli._output import escaped, table

if TYPE_CHECKING:
    from rich.table import Table

    from fsbench.evaluation.results import Result

COLUMNS = ("run", "data set", "tasks", "head", "accuracy in %")


def result_table(results: Sequence["Result"]) -> "Table":
    """One row per result; † marks heads that classify all query images of a task together."""
    rows = [_row(result) for result in results]
    shown = table(COLUMNS, rows, right=("accuracy in %",))
    if any(result.transductive for result in results):
        shown.caption, shown.caption_justify = (
            "† transductive: uses all query images of a task together",
            "left",
        )
    return shown


def _row(result: "Result") -> tuple[str, ...]:
    """Run, data set, tasks, head and accuracy of one result; the only place here that knows its fields."""
    usual = f"{result.n_way}w{result.n_shot}s{result.n_query}q"
    unusual = "" if result.spec.name == usual else f" ({result.spec.name})"
    source = f"{result.source} -> " if result.source and result.source != result.dataset else ""
    words = (
        result.run,
        f"{source}{result.dataset} {result.split}{' (synthetic)' if result.synthetic else ''}",
        f"{result.n_tasks:,} x {result.n_way}-way {result.n_shot}-shot{unusual}",
        f"{result.head} ({result.preprocess}){' †' if result.transductive else ''}",
    )
    accuracy = f"[bold]{100 * result.accuracy:.2f} ± {100 * result.half_width:.2f}[/]"
    return (*map(escaped, words), accuracy)
