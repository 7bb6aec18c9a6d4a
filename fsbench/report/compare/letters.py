"""Groups of values that do not differ significantly, as letters."""

from collections.abc import Collection, Sequence
from string import ascii_lowercase


def letters(order: Sequence[int], different: Collection[tuple[int, int]]) -> dict[int, str]:
    """Assign letters to values: two values share a letter exactly if they do not differ significantly.

    Args:
        order: Indices of the values, the highest first; it has the letter a.
        different: Pairs of indices, in either order, that differ significantly.

    Returns:
        The letters of each index, such as "ab".

    Source:
        Piepho, Journal of Computational and Graphical Statistics 13 (2004), 456-466 (insert and absorb).

    Example:
        >>> letters([0, 1, 2], {(0, 2)})
        {0: 'a', 1: 'ab', 2: 'b'}
    """
    groups = [frozenset(order)]
    for pair in different:
        split = [
            part
            for group in groups
            for part in ([group - {index} for index in pair] if group.issuperset(pair) else [group])
        ]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    place = {index: rank for rank, index in enumerate(order)}
    groups.sort(key=lambda group: sorted(place[index] for index in group))
    return {
        index: "".join(_letter(number) for number, group in enumerate(groups) if index in group)
        for index in order
    }


def _letter(number: int) -> str:
    """Return the letter of a group; after z they are numbered, such as a2."""
    turn, index = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[index] + (str(turn + 1) if turn else "")
