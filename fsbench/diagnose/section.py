"""What a diagnosis hands to the report: a paragraph, tables, figures, claims, and the numbers behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


@dataclass(frozen=True)
class Table:
    """A table as people read it; each row begins with what it is about."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Claim:
    """A number that a paper says mixing raises or lowers, measured of every network on the same questions."""

    what: str
    paper: str
    sign: int  # +1: mixing raises it, -1: lowers it, 0: no paper says either
    digits: int  # after the point, for people
    samples: Mapping[str, NDArray[np.float64]]  # by network, one value a question (n,), in the same order


@dataclass(frozen=True, eq=False)
class Section:
    """One part of the report."""

    name: str  # what `--only` takes
    title: str
    text: str  # what is measured, on which images, how many, after which paper
    tables: tuple[Table, ...]
    figures: Mapping[str, Figure] = field(default_factory=dict)  # by what they show
    values: Mapping[str, Any] = field(default_factory=dict)  # JSON, unrounded
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Mean:
    """A mean and the half width of its 95 % interval, in %."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half_width:.1f}"
