"""Differences between all pairs of a column as the data of the page."""

import numpy as np
from numpy.typing import NDArray

from fsbench.stats.all_pairs import Compared

UNITS = 10_000  # p-values and differences are written as whole ten-thousandths
MOST_COMPARED = 100  # rows of a column; pairs grow with their square, and the page should stay small


def pairs_data(compared: Compared) -> dict[str, list[int | None]] | None:
    """Return the lower triangles, row by row, of differences, half widths and p-values.

    P-values are rounded down, so that a value below the level stays below it. A small constant
    is added first: with rounding errors, a p-value of 1 would become 9999. None for too many rows.
    """
    if len(compared.p) > MOST_COMPARED:
        return None
    over = compared.pairs.over
    return {
        "difference": _triangle(np.round(UNITS * compared.pairs.difference)),
        "tasks": _triangle(np.round(UNITS * over["tasks"].half_width)),
        "classes": _triangle(np.round(UNITS * over["classes"].half_width)),
        "p": _triangle(np.floor(UNITS * compared.p + 1e-6)),
    }


def _triangle(whole: NDArray[np.float64]) -> list[int | None]:
    """Return the lower triangle row by row, with None for NaN."""
    lower = whole[np.tril_indices(len(whole), -1)]
    return [None if value != value else int(value) for value in lower.tolist()]
