"""Which mark a line has: a shipped recipe has the same colour and marker in every plot."""

from collections.abc import Iterable
from itertools import count

SHIPPED = ("erm", "manifold-mixup", "mixup", "rotation", "s2m2-r", "exemplar", "s2m2-e")  # marks 0, 1, ...


def mark_numbers(lines: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Number the lines of a figure, so that lines of one name have one mark in all of its panels.

    The line of a shipped recipe has the mark of the recipe. If there are several, such as with other numbers
    of epochs, the one with the shortest name has it. All other lines have the remaining marks, by name.

    Args:
        lines: The recipe of each line, and its name.

    Returns:
        The number of the mark for `fsbench.report.plots.page.mark`, by name.
    """
    numbers: dict[str, int] = {}
    in_order = sorted(set(lines), key=lambda line: (len(line[1]), *line))
    for recipe, name in in_order:
        if recipe in SHIPPED and SHIPPED.index(recipe) not in numbers.values():
            numbers.setdefault(name, SHIPPED.index(recipe))
    remaining = (number for number in count() if number not in set(numbers.values()))
    for name in sorted({name for _, name in in_order} - numbers.keys()):
        numbers[name] = next(remaining)
    return numbers
