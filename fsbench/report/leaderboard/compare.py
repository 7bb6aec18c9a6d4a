"""Compare every pair of a column, and derive ranks and bold type."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsbench.report.pairwise import LEVEL, Measured, Over, Pairs, adjusted, compare_pairs


@dataclass(frozen=True, eq=False)
class Compared:
    """The m accuracies of a column that are compared with each other."""

    accuracies: NDArray[np.float64]  # (m,)
    pairs: Pairs
    p: NDArray[np.float64]  # (m, m), adjusted over all pairs; NaN where nothing is claimed

    @property
    def ranks(self) -> list[int | None]:
        """1 + the number of significantly better ones; None for one that no claim is made of."""
        better = (self.pairs.difference.T > 0) & (self.p < LEVEL)
        return [
            1 + int(count) if claimed or len(self.p) == 1 else None
            for count, claimed in zip(better.sum(axis=1), self._claimed, strict=True)
        ]

    @property
    def best(self) -> list[bool]:
        """Whether each is the highest of two or more, or not significantly different from the highest."""
        if len(self.p) < 2:
            return [False] * len(self.p)
        highest = int(self.accuracies.argmax())
        claimed = self._claimed[highest]
        return [bool(claimed if place == highest else p >= LEVEL) for place, p in enumerate(self.p[highest])]

    @property
    def _claimed(self) -> NDArray[np.bool_]:
        """Whether each is compared with any other one."""
        others = ~np.isnan(self.p) & ~np.eye(len(self.p), dtype=bool)
        return np.asarray(others.any(axis=1))


def compared(measured: Sequence[Measured], over: Over) -> Compared:
    """Compare accuracies with each other; p-values are of the claim over classes or over tasks.

    All pairs are one family, so that the best row may be picked after the fact and any two compared.
    """
    pairs = compare_pairs(measured)
    return Compared(np.array([one.accuracy for one in measured]), pairs, adjusted(pairs.over[over].p))
