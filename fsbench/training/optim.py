"""The optimiser of a recipe and the schedule of its learning rate, as plain numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from fsbench._util.errors import unknown

OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True)
class Optimiser:
    """An optimiser, and its learning rate over a stage.

    Attributes:
        name: "adam" or "sgd".
        learning_rate: Highest learning rate of a stage.
        weight_decay: Weight decay (of Adam: added to the gradient).
        momentum: Momentum of SGD.
        nesterov: Nesterov momentum of SGD.
        warm_up: Fraction of a stage, 0..1, during which the rate rises linearly from 0.
        cosine: After the warm-up the rate falls to 0 along half a cosine.
        milestones: Fractions of a stage at which the rate is multiplied by `cut`.
        cut: Factor of the rate at each milestone.
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    warm_up: float = 0.0
    cosine: bool = False
    milestones: tuple[float, ...] = ()
    cut: float = 0.1

    def rate(self, progress: float) -> float:
        """Compute the learning rate at a point of a stage.

        Args:
            progress: Fraction of the steps of the stage that are done, 0..1.

        Returns:
            The learning rate.

        Source:
            SGDR, arXiv:1608.03983, equation 5, without restarts (the cosine).
        """
        rate = self.learning_rate * self.cut ** sum(progress >= milestone for milestone in self.milestones)
        if progress < self.warm_up:
            return rate * progress / self.warm_up
        if self.cosine:
            rate *= (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))) / 2
        return rate

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimiser without any state.

        Args:
            parameters: Parameters to train.

        Returns:
            The optimiser.

        Raises:
            FsbenchError: No optimiser has this name.
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
