"""The optimiser of a recipe and its learning-rate schedule, as plain numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from fsbench.errors import unknown

OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True)
class Optimiser:
    """Which optimiser, how fast, and when the learning rate is cut."""

    name: str = "adam"  # or "sgd"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9  # of sgd
    milestones: tuple[float, ...] = ()  # shares of the stage's epochs at which the rate is cut
    cut: float = 0.1  # what a milestone multiplies the rate by

    def rate(self, progress: float) -> float:
        """The learning rate when a share `progress` (0..1) of the stage's epochs is done."""
        return self.learning_rate * self.cut ** sum(progress >= share for share in self.milestones)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser of these parameters.

        Raises:
            FsbenchError: no optimiser has that name.
        """
        if self.name == "adam":
            return torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        if self.name == "sgd":
            return torch.optim.SGD(
                parameters, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
            )
        raise unknown("optimiser", self.name, OPTIMISERS)
