"""What a diagnosis hands to the report: a paragraph, tables, figures, and the numbers behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table as people read it; each row begins with what it is about."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    name: str  # what `--only` takes
    title: str
    text: str  # what is measured, on which images, how many, after which paper
    tables: tuple[Table, ...]
    figures: Mapping[str, Figure] = field(default_factory=dict)  # by what they show
    values: Mapping[str, Any] = field(default_factory=dict)  # JSON, unrounded


@dataclass(frozen=True)
class Mean:
    """A mean and the half width of its 95 % interval, in %."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half_width:.1f}"
