"""Which results a plot shows: those that match the filters, with most tasks, and of one head."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from fsbench._util.errors import FsbenchError
from fsbench.evaluation.result import Result
from fsbench.report.grouping import group_by, with_most_tasks
from fsbench.report.leaderboard import wording
from fsbench.report.plots import labels

T = TypeVar("T")

FIRST_HEAD = "nearest-mean"


@dataclass(frozen=True)
class Selection:
    """Filters of the results to draw; an empty filter keeps all.

    Attributes:
        dataset: Data sets of the tasks; for curves of training, of the training.
        recipe: Training recipes; for networks without one, backbones.
        head: Heads, by name or with settings. Empty: one head, which most configurations have, nearest-mean
            first.
        n_shot: Numbers of support images per class.
    """

    dataset: tuple[str, ...] = ()
    recipe: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    n_shot: tuple[int, ...] = ()

    def only(self, kind: str, *allowed: str) -> None:
        """Refuse filters that have no effect on a kind of plot.

        Raises:
            FsbenchError: A filter that is not `allowed` has a value.
        """
        for part in fields(self):
            if getattr(self, part.name) and part.name not in allowed:
                raise FsbenchError(f"{_flag(part.name)} has no effect on plot {kind}; leave it out")


EVERYTHING = Selection()


_TEXTS: Mapping[str, Callable[[Result], Sequence[str | int]]] = {  # values that a filter matches
    "dataset": lambda result: [result.data.dataset],
    "recipe": lambda result: [labels.recipe(result.model)],
    "head": lambda result: [result.head.text, result.head.name, wording.head(result).rstrip(" †‡")],
    "n_shot": lambda result: [result.spec.n_shot],
}


def select(
    results: Sequence[Result], selection: Selection, *, one_head: bool = True
) -> tuple[list[Result], str]:
    """Select the results to draw.

    Of results that differ only in their number of tasks, the one with most tasks is kept. Heads that use
    class counts are kept only if selected, or if there is no other.

    Args:
        results: The results.
        selection: Filters.
        one_head: Whether all results that are kept have one head, unless several are selected.

    Returns:
        The results, and a sentence about heads that are not drawn; it may be empty.

    Raises:
        FsbenchError: No result matches a filter.
    """
    shown = list(results)
    for part in fields(selection):
        shown = matching(part.name, getattr(selection, part.name), shown, _TEXTS[part.name])
    by_head = group_by(with_most_tasks(shown, lambda result: result), wording.head)
    heads = list(by_head)
    if not selection.head:
        heads = [head for head in by_head if not by_head[head][0].head.class_prior] or heads
    if one_head and len(selection.head) < 2:
        heads = heads and [max(sorted(heads), key=lambda head: _preference(by_head[head]))]
    left_out = sorted({by_head[head][0].head.text for head in by_head.keys() - heads})
    note = f"Other heads, not drawn: {', '.join(left_out)} (fsbench plot --head). " if left_out else ""
    return [result for head in heads for result in by_head[head]], note


def trained_first(results: Sequence[Result], selection: Selection) -> tuple[list[Result], str]:
    """Leave out networks that fsbench did not train, if there are others and no recipe is selected.

    Returns:
        The results, and a sentence about what is left out; it may be empty.
    """
    trained = [result for result in results if result.model.recipe]
    if selection.recipe or not trained or len(trained) == len(results):
        return list(results), ""
    return trained, "Not drawn: networks that fsbench did not train (fsbench plot --recipe). "


def matching(
    name: str, values: Sequence[str | int], items: Sequence[T], texts: Callable[[T], Sequence[str | int]]
) -> list[T]:
    """Keep the items with one of these values; empty `values` keep all.

    Raises:
        FsbenchError: No item has one of the values.
    """
    kept = [item for item in items if not values or set(texts(item)) & set(values)]
    if values:
        present = sorted({texts(item)[0] for item in items})
        for value in values:
            if not any(value in texts(item) for item in items):
                raise FsbenchError(
                    f"{_flag(name)} {value}: matches nothing; choose {', '.join(map(str, present))}"
                )
    return kept


def _preference(of_head: Sequence[Result]) -> tuple[int, bool]:
    """Rank a head by the number of its questions, then nearest-mean before others."""
    questions = {(replace(r.spec, n_tasks=2), r.data.dataset, r.data.split, r.model) for r in of_head}
    return len(questions), of_head[0].head.name == FIRST_HEAD


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
