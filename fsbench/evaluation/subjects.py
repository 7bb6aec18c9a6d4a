"""What is evaluated: features of one split, of a backbone or out of a file, and what they come from."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench._util.validation import Wrong, as_json
from fsbench.data.identity import why_other
from fsbench.data.image_store import first_of_each_class
from fsbench.features import importers, store
from fsbench.features.extract import extract, warn_of_seen
from fsbench.features.store import Features
from fsbench.heads.distribution_calibration import BaseStatistics, base_statistics
from fsbench.heads.preprocess import NEEDS_BASE_MEAN, find_preprocess
from fsbench.models.checkpoint import check_provenance, is_safetensors
from fsbench.models.pretrained import Frozen, find, is_network, of_checkpoint


@dataclass(frozen=True, eq=False)
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
    def base_digest(self) -> str | None:
        """The digest of the base features, or of their mean where that is all there is; None without any."""
        if self.base is not None:
            return self.base.digest
        mean = self.base_mean
        return None if mean is None else hashlib.sha256(np.ascontiguousarray(mean, "<f4").data).hexdigest()

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the checkpoint says of itself; empty for a feature file that does not tell."""
        try:
            found = as_json(str(self.features.about.get("provenance", "{}")))
            check_provenance(found, needed=())
        except Wrong as error:
            raise FsbenchError(f"{self.run}: provenance of its features: {error}") from error
        return found


def preprocessing(step: str, target: Target | None, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What turns features (m, d) on the device into what a head gets; `target` has the base mean it needs."""
    mean = None
    if step in NEEDS_BASE_MEAN:
        assert target is not None
        assert target.base_mean is not None
        mean = torch.from_numpy(target.base_mean).to(device)
    preprocess = find_preprocess(step)
    return lambda values: preprocess(values, mean)


def statistics_of(target: Target | None, device: torch.device) -> BaseStatistics:
    """Mean and covariance of each base class, of features as the backbone gives them."""
    assert target is not None
    assert target.base is not None
    values, labels = (torch.tensor(x, device=device) for x in (target.base.values, target.base.labels))
    return base_statistics(values, labels)


def subject_of(text: str, architecture: str | None = None, image_size: int | None = None) -> Path | Frozen:
    """What a user names: a file, or a backbone such as timm:resnet50 or ./mine.py:network, or weights.

    Raises:
        FsbenchError: a backbone that cannot be had.
    """
    if architecture is None and image_size is None and not is_network(text):
        return Path(text)
    return find(text, architecture, image_size)


def targets(
    subject: Path | Frozen | Target,
    datasets: Sequence[str],
    split: str,
    *,
    needs: frozenset[str],
    base: Path | None,
    session: Session,
) -> list[Target]:
    """A target for each data set that a backbone is evaluated on, or the one that a feature file holds.

    A path is that of a checkpoint or of a feature file; a target stands for itself. `needs` says what heads
    use of the base classes: "mean", "features", both or nothing. Where a subject does not say what they are,
    `base` is a file of their features.

    Raises:
        FsbenchError: a file that cannot be read, that holds something else than is asked for, or that comes
            without base features where they are needed.
    """
    base = base if needs else None
    if isinstance(subject, Target):
        found = [subject]
    elif isinstance(subject, Path) and store.is_store(subject):
        found = [_of_store(subject, datasets, split, base)]
    elif isinstance(subject, Path) and not is_safetensors(subject) and importers.recognise(subject):
        found = [_of_others(subject, datasets, split, base)]
    else:
        backbone = of_checkpoint(subject) if isinstance(subject, Path) else subject
        found = list(_of_backbone(backbone, datasets, split, bool(needs), base, session))
    target = found[0]
    if ("features" in needs and target.base is None) or ("mean" in needs and target.base_mean is None):
        raise FsbenchError(
            f"{target.run}: the head or preprocess needs base features; name them with --base FILE"
        )
    return found


def _of_backbone(
    backbone: Frozen,
    datasets: Sequence[str],
    split: str,
    with_base: bool,
    base: Path | None,
    session: Session,
) -> Iterator[Target]:
    """Features of each data set, extracted or found in the cache."""
    source = backbone.dataset
    of_base = None if base is None else _base_of(base, backbone.digest, backbone.run)
    if with_base and of_base is None and source is not None:
        _, of_base = extract(backbone, source, "base", session)
        made_by, images = backbone.provenance, of_base.identity
        assert images is not None
        if images.fingerprint != made_by["source_fingerprint"]:
            why = why_other(made_by.get("source_files"), made_by.get("source_decoder"), images)
            raise FsbenchError(
                f"data set {source}: base features are needed, but the prepared images are not those that "
                f"{backbone.run} was trained on{why}"
            )
        of_base = _trained_on(of_base, made_by.get("per_class"))
    chosen = datasets or ([] if source is None else [source])
    if not chosen:
        raise FsbenchError(f"{backbone.run}: was trained on no data set of fsbench; name one with --dataset")
    for dataset in chosen:
        _, found = extract(backbone, dataset, split, session)
        yield Target(found, backbone.run, of_base)


def _trained_on(base: Features, per_class: int | None) -> Features:
    """The features of those base images that a backbone was trained on: the first of each class, or all."""
    if per_class is None:
        return base
    kept = first_of_each_class(base.labels, per_class)
    return replace(base, values=base.values[kept], labels=base.labels[kept])


def _of_store(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
    """Features that lie in a file; what is asked of them must be what they are."""
    found = store.read(path)
    about = found.about
    for dataset in datasets:
        if dataset != about.get("dataset"):
            raise FsbenchError(f"feature file {path}: holds {about.get('dataset')}, not {dataset}")
    if split != about.get("split"):
        raise FsbenchError(f"feature file {path}: holds split {about.get('split')}, not {split}")
    warn_of_seen(found)
    of_base = None if base is None else _base_of(base, about.get("checkpoint"), str(path))
    return Target(found, str(about.get("run", path.stem)), of_base)


def _base_of(base: Path, digest: object, subject: str) -> Features:
    """Base features in a file, which must come from the same backbone."""
    found = store.read(base)
    if found.about.get("checkpoint") != digest:
        raise FsbenchError(f"--base {base}: its features come from another checkpoint than {subject}")
    return found


def _of_others(path: Path, datasets: Sequence[str], split: str, base: Path | None) -> Target:
    """Features in a file of another project, which does not say which data set they are of."""
    if len(datasets) != 1:
        raise FsbenchError(f"feature file {path}: does not say its data set; name it with --dataset, one")
    found = importers.read(path, datasets[0], split)
    of_base = None
    if base is not None:
        of_base = (
            store.read(base) if store.is_store(base) else importers.read(base, datasets[0], "base").features
        )
    return Target(found.features, path.stem, of_base, found.base_mean)
