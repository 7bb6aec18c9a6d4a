"""The state that the next epoch of a run depends on, so that a stopped run goes on as if it had not been.

Random streams need no place in it: each is a function of the seed and of where the loop stands.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsbench import checkpoint
from fsbench.checkpoint import Provenance
from fsbench.network import Network


@dataclass(frozen=True)
class State:
    """Where a run stands after an epoch."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    path: Path

    @property
    def stage(self) -> int:
        """Index of the stage that goes on."""
        return int(self.about["stage"])

    @property
    def epoch(self) -> int:
        """Epochs of that stage that are done."""
        return int(self.about["epoch_of_stage"])

    @property
    def log(self) -> list[dict[str, Any]]:
        """A row an epoch, of all stages so far."""
        rows: list[dict[str, Any]] = self.about["log"]
        return rows

    def restore(self, network: Network, optimiser: torch.optim.Optimizer) -> None:
        """Put weights and the optimiser's moments back."""
        checkpoint.fit(network, _under("network.", self.tensors), self.path)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimiser.", self.tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})


def save(
    path: Path,
    network: Network,
    optimiser: torch.optim.Optimizer,
    provenance: Provenance,
    *,
    stage: int,
    epoch: int,
    log: list[dict[str, Any]],
) -> None:
    """Write the state after `epoch` epochs of a stage, whole or not at all."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    checkpoint.write(path, tensors, provenance, stage=stage, epoch_of_stage=epoch, log=log)


def load(path: Path) -> State:
    """Read a state.

    Raises:
        FsbenchError: unreadable or damaged.
    """
    tensors, about = checkpoint.read(path)
    return State(tensors, about, path)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
