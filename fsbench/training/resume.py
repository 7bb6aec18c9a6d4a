"""The state that the next epoch of a run depends on, so that a stopped run goes on as if it had not been.

Random streams need no place in it: each is a function of the seed and of where the loop stands.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.models import checkpoint
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network

# What may differ between two starts of one run: how far it is, and what does not change its numbers.
_FREE = {"epoch", "best_epoch", "val_accuracy", "versions", "class_names", "source_files", "source_decoder"}
_NEWEST, _OLDER = "resume.safetensors", "resume-older.safetensors"


@dataclass(frozen=True, eq=False)
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

    def restore(
        self, network: Network, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> None:
        """Put weights, the optimiser's moments and the scale of the loss back."""
        checkpoint.fit(network, _under("network.", self.tensors), self.path)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimiser.", self.tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
        scaler.load_state_dict(self.about["scaler"])


def save(
    folder: Path,
    network: Network,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    provenance: Provenance,
    place: dict[str, Any],
) -> None:
    """Write the state at a place in the run (stage, epoch_of_stage, log); the one before it is kept, too."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    newest = folder / _NEWEST
    if newest.exists():
        newest.replace(folder / _OLDER)
    checkpoint.write(newest, tensors, provenance, scaler=scaler.state_dict(), **place)


def load(folder: Path) -> State | None:
    """The newest whole state in a run's folder; None where there is none.

    Raises:
        FsbenchError: there are states, and all are damaged.
    """
    paths = [path for path in (folder / _NEWEST, folder / _OLDER) if path.exists()]
    for path in paths:
        try:
            return State(*checkpoint.read(path), path)
        except FsbenchError:
            continue  # torn: the one before it is whole
    if paths:
        names = " and ".join(path.name for path in paths)
        raise FsbenchError(f"--out {folder}: {names} cannot be read; --force starts the run anew")
    return None


def forget(folder: Path) -> None:
    """Remove the states of a finished run."""
    for name in (_NEWEST, _OLDER):
        (folder / name).unlink(missing_ok=True)


def refuse_other(folder: Path, provenance: Provenance, about: dict[str, Any]) -> None:
    """Refuse a folder whose files, by what they say of themselves, are of another run.

    Raises:
        FsbenchError: they are; the first setting that differs is named.
    """
    wanted = json.loads(json.dumps(asdict(provenance)))
    wanted |= wanted.pop("settings")
    found = {**about, **about["settings"]}
    for name in sorted(wanted.keys() - _FREE):
        if wanted[name] != found.get(name):
            raise FsbenchError(
                f"--out {folder}: holds a run with {name} = {_short(found.get(name))}, "
                f"not {_short(wanted[name])}; name another folder, or --force to replace it"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
