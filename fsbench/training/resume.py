"""The state of an interrupted run, from which it continues as if it had not been interrupted.

It does not contain random generators: each is a function of the seed and of the place in the loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.models import checkpoint
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network
from fsbench.training.run import Run

# Settings that are named first where several differ, and settings whose names differ from those of people.
_FIRST = ("recipe", "preset", "source", "backbone", "image_size", "train_seed", "epochs", "batch_size")
_WORDS = {
    "source": "data set",
    "source_fingerprint": "images of fingerprint",
    "per_class": "images per class",
    "train_seed": "seed",
    "code": "a recipe file of SHA-256",
}

_NEWEST, _OLDER = "resume.safetensors", "resume-older.safetensors"


@dataclass(frozen=True, eq=False)
class State:
    """Weights, optimiser and place in the loop after an epoch."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    path: Path

    @property
    def stage(self) -> int:
        """Index of the stage to continue."""
        return int(self.about["stage"])

    @property
    def epoch(self) -> int:
        """Finished epochs of that stage."""
        return int(self.about["epoch_of_stage"])

    @property
    def log(self) -> list[dict[str, Any]]:
        """One row per finished epoch of all stages."""
        rows: list[dict[str, Any]] = self.about["log"]
        return rows

    def restore(
        self, network: Network, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> None:
        """Load weights, moments of the optimiser and scale of the loss."""
        checkpoint.fit(network, _with_prefix("network.", self.tensors), self.path)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _with_prefix("optimiser.", self.tensors).items():
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
    """Write the state at a place in the loop (stage, epoch_of_stage, log), and keep the previous state."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    newest = folder / _NEWEST
    if newest.exists():
        newest.replace(folder / _OLDER)
    checkpoint.write(newest, tensors, provenance, scaler=scaler.state_dict(), **place)


def load(folder: Path) -> State | None:
    """Load the newest undamaged state in the folder of a run; None if there is no state.

    Raises:
        FsbenchError: There are states, and all are damaged.
    """
    paths = [path for path in (folder / _NEWEST, folder / _OLDER) if path.exists()]
    for path in paths:
        try:
            return State(*checkpoint.read(path), path)
        except FsbenchError:
            continue  # damaged by a crash; the previous state is not
    if paths:
        names = " and ".join(path.name for path in paths)
        raise FsbenchError(
            f"--out {folder}: {names} cannot be read; --force starts the run from the beginning"
        )
    return None


def find(run: Run) -> tuple[bool, State | None]:
    """Return whether a run is finished, and the state to continue from, if any.

    If there is a state, the last checkpoint, which a power cut may have damaged, is not read.

    Raises:
        FsbenchError: The folder holds another run, or damaged files.
    """
    state = load(run.folder)
    if state is not None:
        refuse_other(run.folder, run.provenance, state.about)
        return False, state
    if not run.last.exists():
        return False, None
    about = checkpoint.read(run.last)[1]
    refuse_other(run.folder, run.provenance, about)
    return bool(about["finished"]), None


def forget(folder: Path) -> None:
    """Remove the states of a finished run."""
    for name in (_NEWEST, _OLDER):
        (folder / name).unlink(missing_ok=True)


def refuse_other(folder: Path, provenance: Provenance, about: dict[str, Any]) -> None:
    """Refuse a folder whose files belong to another run, according to their provenance.

    Raises:
        FsbenchError: A setting differs; the message names the first one.
    """
    stored, own = (_settings(each.identity) for each in (checkpoint.as_provenance(about), provenance))
    for name in {**dict.fromkeys(_FIRST), **dict.fromkeys(sorted({*stored, *own}))}:
        if stored.get(name) != own.get(name):
            words = _WORDS.get(name, name.replace("_", " "))
            # The default precision depends on the processor, so nobody may have asked for another one.
            advice = f"continue it with --precision {stored.get(name)}, " * (name == "precision")
            raise FsbenchError(
                f"--out {folder}: holds a run with {words} {_short(stored.get(name))}, "
                f"not {_short(own.get(name))}; {advice}choose another folder, or replace the run with --force"
            )


def _settings(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, those within others by a longer name such as `optimiser learning_rate`."""
    flat: dict[str, Any] = {}
    for name, value in identity.items():
        if isinstance(value, list):
            value = {str(number): part for number, part in enumerate(value, 1)}
        if isinstance(value, dict):
            flat |= {f"{name} {key}": part for key, part in _settings(value).items()}
        else:
            flat[name] = value
    return flat


def _short(value: object) -> str:
    """Format a setting in at most 40 characters."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
