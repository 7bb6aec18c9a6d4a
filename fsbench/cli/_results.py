"""The table of results that commands print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsbench._util.terminal import escaped, table

if TYPE_CHECKING:
    from rich.table import Table

    from fsbench.evaluation.result import Result

COLUMNS = ("run", "data set", "tasks", "head", "accuracy in %")


def result_table(results: Sequence["Result"]) -> "Table":
    """Make a table with one row per result; † marks heads that use all query images of a task together."""
    rows = [_row(result) for result in results]
    shown = table(COLUMNS, rows, right=("accuracy in %",))
    if any(result.head.transductive for result in results):
        shown.caption, shown.caption_justify = (
            "† transductive: uses all query images of a task together",
            "left",
        )
    return shown


def _row(result: "Result") -> tuple[str, ...]:
    """Return run, data set, tasks, head and accuracy of one result."""
    spec, data, head, outcome = result.spec, result.data, result.head, result.outcome
    source = result.model.source
    words = (
        result.model.run,
        f"{f'{source} -> ' if source not in (None, data.dataset) else ''}{data.dataset} {data.split}"
        f"{' (synthetic)' if data.synthetic else ''}",
        f"{spec.n_tasks:,} x {spec.protocol}",
        f"{head.name} ({head.preprocess}){' †' if head.transductive else ''}",
    )
    accuracy = f"[bold]{100 * outcome.accuracy:.2f} ± {100 * outcome.half_width:.2f}[/]"
    return (*map(escaped, words), accuracy)
