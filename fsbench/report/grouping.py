"""Group results, and find short names that distinguish the members of a group."""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fsbench.evaluation.result import Question, Result, of_any_length

_DIGEST = re.compile(r"-[0-9a-f]{8}$")

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def group_by(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Any, list[T]]:
    """Group items by a key.

    Args:
        items: The items.
        key: Function that returns the key of an item.

    Returns:
        Lists of items by key, keys in the order of their first item.
    """
    groups: dict[Any, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def evaluation(result: Result) -> Question:
    """Return what was evaluated, up to the number of tasks.

    Args:
        result: A result.

    Returns:
        Its question for any number of tasks. Features of a checkpoint follow from it, so their last bits,
        which depend on the device, do not count.
    """
    data = replace(result.data, feature_digest="") if result.model.checkpoint else result.data
    task = replace(result.task, spec=of_any_length(result.spec))
    return replace(result.question, task=task, data=data)


def with_most_tasks(items: Iterable[T], result: Callable[[T], Result]) -> list[T]:
    """Drop each result that differs from another one in nothing but fewer tasks.

    The tasks of the shorter list are the beginning of the longer one, so both results are one measurement.

    Args:
        items: The items.
        result: Gives the result of an item.

    Returns:
        The remaining items, in their order.
    """
    members = [(item, evaluation(result(item)), result(item).spec.n_tasks) for item in items]
    most: dict[Question, int] = {}
    for _, key, n_tasks in members:
        most[key] = max(n_tasks, most.get(key, 0))
    return [item for item, key, n_tasks in members if n_tasks == most[key]]


def differing(details: Sequence[Mapping[str, str]]) -> list[str]:
    """List the details in which the members of a group differ.

    Args:
        details: Texts by name for each member, all with the same names.

    Returns:
        The names of details with several different texts, in their order.
    """
    return [name for name in (details[0] if details else ()) if len({texts[name] for texts in details}) > 1]


def distinguishing(labels: Sequence[Hashable], details: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """Choose the details that distinguish each label from equal ones.

    Args:
        labels: Labels, some of which may be equal.
        details: Texts by name for each label, all with the same names, the most informative first.

    Returns:
        For each label as few details as needed, in their order; empty for a label that is unique.
    """
    extras: list[tuple[str, ...]] = [()] * len(labels)
    for name in differing(details):
        keys = list(zip(labels, extras, strict=True))
        texts = defaultdict(set)
        for key, detail in zip(keys, details, strict=True):
            texts[key].add(detail[name])
        extras = [
            (*key[1], detail[name]) if len(texts[key]) > 1 else key[1]
            for key, detail in zip(keys, details, strict=True)
        ]
    return extras


def without_digests(runs: Sequence[str]) -> list[str]:
    """Drop the digests at the end of names of runs, such as "-c86e8edf", if the names stay distinct.

    Args:
        runs: The names; some may be equal.

    Returns:
        The names without digests; unchanged if different names would become equal.
    """
    short = [_DIGEST.sub("", run) for run in runs]
    return short if len(set(short)) == len(set(runs)) else list(runs)


def first_distinct(candidates: Iterable[Sequence[H]]) -> Sequence[H] | None:
    """Return the first list of names without duplicates; None if there is no such list."""
    return next((names for names in candidates if len(set(names)) == len(names)), None)
