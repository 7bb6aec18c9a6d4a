"""The optimiser of a recipe and its learning-rate schedule, as plain numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from fsbench._util.errors import unknown

OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True)
class Optimiser:
    """Which optimiser, and its learning rate over a stage."""

    name: str = "adam"  # or "sgd"
    learning_rate: float = 1e-3  # the highest of a stage
    weight_decay: float = 0.0
    momentum: float = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    warm_up: float = 0.0  # share of a stage, 0..1, in which the rate rises from 0
    cosine: bool = False  # after the warm-up the rate falls to 0 along half a cosine
    milestones: tuple[float, ...] = ()  # shares of a stage at which the rate is cut
    cut: float = 0.1  # what a milestone multiplies the rate by

    def rate(self, progress: float) -> float:
        """The learning rate when a share `progress` (0..1) of a stage's steps is done.

        Source: the cosine is that of SGDR (arXiv:1608.03983), eq. 5, without restarts.
        """
        rate = self.learning_rate * self.cut ** sum(progress >= share for share in self.milestones)
        if progress < self.warm_up:
            return rate * progress / self.warm_up
        if self.cosine:
            rate *= (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))) / 2
        return rate

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser of these parameters.

        Raises:
            FsbenchError: no optimiser has that name.
        """
        if self.name == "adam":
            return torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        if self.name == "sgd":
            return torch.optim.SGD(
                parameters,
                lr=self.learning_rate,
                momentum=self.momentum,
                nesterov=self.nesterov,
                weight_decay=self.weight_decay,
            )
        raise unknown("optimiser", self.name, OPTIMISERS)
