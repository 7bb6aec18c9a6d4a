"""The parts of a report: a paragraph, tables, figures, claims, and the numbers behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


@dataclass(frozen=True)
class TextTable:
    """A table of texts; the first cell of a row is its label."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Claim:
    """A number that mixing raises or lowers according to a paper, measured for every network."""

    quantity: str  # as the report names it
    paper: str
    sign: int  # +1: mixing raises it, -1: mixing lowers it, 0: no paper makes a claim
    digits: int  # decimals in the report
    samples: Mapping[str, NDArray[np.float64]]  # network -> one value per question (n,), in the same order


@dataclass(frozen=True, eq=False)
class ReportSection:
    """One section of the report."""

    name: str  # as `--only` takes it
    title: str
    text: str  # what is measured, on which images, how many, after which paper
    tables: tuple[TextTable, ...]
    figures: Mapping[str, Figure] = field(default_factory=dict)  # by caption
    values: Mapping[str, Any] = field(default_factory=dict)  # unrounded, for JSON
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Mean:
    """A mean and the half width of its 95 % interval, in %."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half_width:.1f}"
