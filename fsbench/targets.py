"""What is evaluated: features of one split, of a checkpoint or out of a file, and what they come from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from fsbench import features
from fsbench.checkpoint import load_provenance
from fsbench.errors import FsbenchError
from fsbench.extract import extract
from fsbench.features import Features
from fsbench.files import reason


@dataclass(frozen=True)
class Target:
    """Features whose tasks are evaluated."""

    features: Features
    run: str  # name of the training run, or of the file
    base: Features | None = None  # of the images that the backbone was trained on, for heads that use them

    @cached_property
    def digest(self) -> str:
        """The features' digest, computed once."""
        return self.features.digest

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the checkpoint says of itself; empty for a feature file that does not tell."""
        found: dict[str, Any] = json.loads(str(self.features.about.get("provenance", "{}")))
        return found


def targets(
    subject: Path,
    datasets: Sequence[str],
    split: str,
    *,
    with_base: bool,
    base: Path | None,
    cache: Path | None,
    device: torch.device,
    quiet: bool,
) -> list[Target]:
    """A target for each data set that a checkpoint is evaluated on, or the one that a feature file holds.

    Raises:
        FsbenchError: a file that cannot be read, that holds something else than is asked for, or that comes
            without base features where they are needed.
    """
    if is_hdf5(subject):
        found = [_of_file(subject, datasets, split, base if with_base else None)]
    else:
        found = list(_of_checkpoint(subject, datasets, split, with_base, cache, device, quiet))
    if with_base and found[0].base is None:
        raise FsbenchError(
            f"{subject}: the head or preprocess needs base features; name them with --base FILE"
        )
    return found


def _of_checkpoint(
    checkpoint: Path,
    datasets: Sequence[str],
    split: str,
    with_base: bool,
    cache: Path | None,
    device: torch.device,
    quiet: bool,
) -> Iterator[Target]:
    """Features of each data set, extracted or found in the cache."""
    provenance = load_provenance(checkpoint)
    base = None
    if with_base:
        _, base = extract(checkpoint, provenance.source, "base", device=device, cache=cache, quiet=quiet)
        if base.about["fingerprint"] != provenance.source_fingerprint:
            raise FsbenchError(
                f"data set {provenance.source}: base features are needed, but the prepared images are not "
                f"those that {checkpoint} was trained on"
            )
    for dataset in datasets or [provenance.source]:
        _, found = extract(checkpoint, dataset, split, device=device, cache=cache, quiet=quiet)
        yield Target(found, provenance.run, base)


def _of_file(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
    """Features that lie in a file; what is asked of them must be what they are."""
    found = features.read(path)
    about = found.about
    for dataset in datasets:
        if dataset != about.get("dataset"):
            raise FsbenchError(f"feature file {path}: holds {about.get('dataset')}, not {dataset}")
    if split != about.get("split"):
        raise FsbenchError(f"feature file {path}: holds split {about.get('split')}, not {split}")
    of_base = None
    if base is not None:
        of_base = features.read(base)
        if of_base.about.get("checkpoint") != about.get("checkpoint"):
            raise FsbenchError(f"--base {base}: its features come from another checkpoint than {path}")
    return Target(found, str(about.get("run", path.stem)), of_base)


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by its first bytes, not by its name."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x89HDF"
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
