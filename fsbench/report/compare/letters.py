"""Groups of values that do not differ significantly, as letters."""

from collections.abc import Collection, Sequence
from string import ascii_lowercase


def letters(order: Sequence[int], different: Collection[tuple[int, int]]) -> dict[int, str] | None:
    """Assign letters to values: two values share a letter exactly if they do not differ significantly.

    Args:
        order: Indices of the values, the highest first; it has the letter a.
        different: Pairs of indices, in either order, that differ significantly.

    Returns:
        The letters of each index, such as "ab"; None if more than 26 letters are needed.

    Source:
        Piepho, Journal of Computational and Graphical Statistics 13 (2004), 456-466. Each letter is a largest
        set of values without a significant difference.

    Example:
        >>> letters([0, 1, 2], {(0, 2)})
        {0: 'a', 1: 'ab', 2: 'b'}
    """
    pairs = {frozenset(pair) for pair in different}
    groups: list[frozenset[int]] = []
    for place, index in enumerate(order):
        alike = frozenset(other for other in order[:place] if frozenset((index, other)) not in pairs)
        with_index = {(group & alike) | {index} for group in groups} or {frozenset([index])}
        largest = [group for group in with_index if not any(group < other for other in with_index)]
        groups = [group for group in groups if not group <= alike] + largest
        if len(groups) > len(ascii_lowercase):  # their number never falls when a value is added
            return None
    rank = {index: place for place, index in enumerate(order)}
    groups.sort(key=lambda group: sorted(rank[index] for index in group))
    return {
        index: "".join(
            letter for letter, group in zip(ascii_lowercase, groups, strict=False) if index in group
        )
        for index in order
    }
