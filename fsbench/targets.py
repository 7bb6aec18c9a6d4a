"""What is evaluated: features of one split, of a checkpoint or out of a file, and what they come from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fsbench import features, foreign
from fsbench.checkpoint import is_safetensors, load_provenance
from fsbench.errors import FsbenchError
from fsbench.extract import extract
from fsbench.features import Features


@dataclass(frozen=True)
class Target:
    """Features whose tasks are evaluated."""

    features: Features
    run: str  # name of the training run, or of the file
    base: Features | None = None  # of the images that the backbone was trained on, for heads that use them
    known_mean: NDArray[np.float32] | None = None  # of base features, where a file holds it without them

    @cached_property
    def base_mean(self) -> NDArray[np.float32] | None:
        """The mean of the base features, (d,); None where there are none."""
        if self.base is None:
            return self.known_mean
        mean: NDArray[np.float32] = self.base.values.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

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
    needs: frozenset[str],
    base: Path | None,
    cache: Path | None,
    device: torch.device,
    quiet: bool,
) -> list[Target]:
    """A target for each data set that a checkpoint is evaluated on, or the one that a feature file holds.

    `needs` says what heads use of the base classes: "mean", "features", both or nothing.

    Raises:
        FsbenchError: a file that cannot be read, that holds something else than is asked for, or that comes
            without base features where they are needed.
    """
    if features.is_store(subject):
        found = [_of_store(subject, datasets, split, base if needs else None)]
    elif not is_safetensors(subject) and foreign.recognise(subject):
        found = [_of_others(subject, datasets, split, base if needs else None)]
    else:
        found = list(_of_checkpoint(subject, datasets, split, bool(needs), cache, device, quiet))
    target = found[0]
    if ("features" in needs and target.base is None) or ("mean" in needs and target.base_mean is None):
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


def _of_store(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
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


def _of_others(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
    """Features in a file of another project, which does not say which data set they are of."""
    if len(datasets) != 1:
        raise FsbenchError(f"feature file {path}: does not say its data set; name it with --dataset, one")
    found = foreign.read(path, datasets[0], split)
    of_base = None
    if base is not None:
        of_base = (
            features.read(base)
            if features.is_store(base)
            else foreign.read(base, datasets[0], "base").features
        )
    return Target(found.features, path.stem, of_base, found.base_mean)
