"""Subjects of evaluations: features of one split, extracted by a backbone or loaded from a file."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.data import glyphs
from fsbench.data.identity import explain_mismatch
from fsbench.data.image_split import first_of_each_class
from fsbench.data.image_store import prepared_stores, split_info
from fsbench.data.loading import find_store, name_holding
from fsbench.features import importers, store
from fsbench.features.extract import extract_features, warn_of_seen
from fsbench.features.store import Features
from fsbench.heads import Head
from fsbench.heads.base import BaseStatistics, base_statistics
from fsbench.heads.preprocess import NEEDS_BASE_MEAN, find_preprocess
from fsbench.models.checkpoint import is_safetensors
from fsbench.models.identity import Model
from fsbench.models.pretrained import checkpoint_file, find, is_network, of_checkpoint
from fsbench.models.pretrained.extractor import FeatureExtractor


class BaseNeed(IntEnum):
    """The base features that heads and preprocessing need; each value includes those before it."""

    NOTHING = 0
    MEAN = 1
    FEATURES = 2


def base_need(head: Head, preprocess: str) -> BaseNeed:
    """Return which base features a head and its preprocessing need."""
    if head.needs_base:
        return BaseNeed.FEATURES
    return BaseNeed.MEAN if preprocess in NEEDS_BASE_MEAN else BaseNeed.NOTHING


@dataclass(frozen=True)
class Images:
    """The images that tasks are drawn from.

    Attributes:
        datasets: Names of data sets; empty: the data set of the backbone's training or of the feature file.
        split: `base`, `val` or `novel`.
        base: File of base features, for heads that need them and backbones that fsbench did not train.
    """

    datasets: Sequence[str] = ()
    split: str = "novel"
    base: Path | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """Features to evaluate, and the backbone that computed them.

    Attributes:
        features: Features of the split that tasks are drawn from.
        model: The backbone.
        base: Features of the images that the backbone was trained on, for heads that use them.
        stored_mean: Mean of the base features, (d,), if a file contains only their mean.
    """

    features: Features
    model: Model
    base: Features | None = None
    stored_mean: NDArray[np.float32] | None = None

    @cached_property
    def base_mean(self) -> NDArray[np.float32] | None:
        """Mean of the base features, (d,); None if unknown."""
        if self.base is None:
            return self.stored_mean
        mean: NDArray[np.float32] = self.base.values.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    @cached_property
    def base_digest(self) -> str | None:
        """SHA-256 of the base features, or of their mean if only that is known; None if neither is."""
        if self.base is not None:
            return self.base.digest
        mean = self.base_mean
        return None if mean is None else hashlib.sha256(np.ascontiguousarray(mean, "<f4").data).hexdigest()


def preprocessing(
    step: str, base_mean: NDArray[np.float32] | None, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return the preprocessing of features (m, d) on `device`; `base_mean` (d,) is for steps that use it."""
    mean = None
    if step in NEEDS_BASE_MEAN:
        assert base_mean is not None
        mean = torch.from_numpy(base_mean).to(device)
    preprocess = find_preprocess(step)
    return lambda values: preprocess(values, mean)


def statistics_of(base: Features | None, device: torch.device) -> BaseStatistics:
    """Compute mean and covariance of each base class, from features without preprocessing."""
    assert base is not None
    values, labels = (torch.tensor(x, device=device) for x in (base.values, base.labels))
    return base_statistics(values, labels)


def subject_of(
    text: str, architecture: str | None = None, image_size: int | None = None
) -> Path | FeatureExtractor:
    """Resolve a name: a file, a backbone such as `timm:resnet50`, or a weights file with an architecture.

    Raises:
        FsbenchError: The backbone cannot be loaded.
    """
    if architecture is None and image_size is None and not is_network(text):
        return Path(text)
    return find(text, architecture, image_size)


def check_subject(
    subject: Path | FeatureExtractor, images: Images, need: BaseNeed, session: Session, *, needed_by: str
) -> None:
    """Check that a subject, its images and its base features can be read, without extracting features.

    Args:
        subject: A checkpoint, the folder of a run, a feature file or a backbone.
        images: Data sets, split and base features.
        need: Which base features heads and preprocessing need.
        session: Cache, device and progress.
        needed_by: The head with the greatest need, for messages.

    Raises:
        FsbenchError: A file cannot be read or holds other images, or a data set is not prepared.
    """
    if isinstance(subject, Path):
        subject = checkpoint_file(subject)
        if not is_safetensors(subject):
            load_subjects(subject, images, need, session, needed_by=needed_by)
            return
        subject = of_checkpoint(subject)
    if images.base is not None:
        _base_of(images.base, subject.model.checkpoint, subject.model.run)
    elif need and subject.provenance is not None:
        _check_base_images(subject.provenance.source, need, session, needed_by)
    for dataset in _datasets(subject, images):
        split_info(find_store(dataset, session.cache), images.split)


def load_subjects(
    subject: Path | FeatureExtractor | Subject,
    images: Images,
    need: BaseNeed,
    session: Session,
    *,
    needed_by: str = "the head or preprocess",
) -> list[Subject]:
    """Load one subject per data set that a backbone is evaluated on, or the one subject of a feature file.

    Args:
        subject: A checkpoint, the folder of a run, a feature file, a backbone, or a subject, which is
            returned unchanged.
        images: Data sets, split and base features.
        need: Which base features heads and preprocessing need. A base file is checked even without need.
        session: Cache, device and progress.
        needed_by: The head with the greatest need, for messages.

    Returns:
        The subjects, in the order of the data sets.

    Raises:
        FsbenchError: A file cannot be read or holds other images, or base features are needed and missing.
    """
    base = images.base
    if isinstance(subject, Path):
        subject = checkpoint_file(subject)
    if isinstance(subject, Subject):
        subjects = [subject]
    elif isinstance(subject, Path) and store.is_store(subject):
        subjects = [_of_store(subject, images, base)]
    elif isinstance(subject, Path) and not is_safetensors(subject) and (raw := importers.recognise(subject)):
        subjects = [_of_import(subject, raw, images, base)]
    else:
        extractor = of_checkpoint(subject) if isinstance(subject, Path) else subject
        if need and base is None and extractor.provenance is not None:
            _check_base_images(extractor.provenance.source, need, session, needed_by)
        subjects = list(_of_backbone(extractor, images, bool(need), base, session))
    first = subjects[0]
    lacks_features = need == BaseNeed.FEATURES and first.base is None
    if lacks_features or (need == BaseNeed.MEAN and first.base_mean is None):
        raise FsbenchError(f"{first.model.run}: {needed_by} needs base features; name them with --base FILE")
    return subjects


def _of_backbone(
    extractor: FeatureExtractor, images: Images, with_base: bool, base: Path | None, session: Session
) -> Iterator[Subject]:
    """Yield the features of each data set, extracted or read from the cache."""
    model = extractor.model
    base_features = None if base is None else _base_of(base, model.checkpoint, model.run)
    if with_base and base_features is None and extractor.provenance is not None:
        base_features = base_features_of(extractor, session)
    for dataset in _datasets(extractor, images):
        _, features = extract_features(extractor, dataset, images.split, session)
        yield Subject(features, model, base_features)


def _datasets(extractor: FeatureExtractor, images: Images) -> Sequence[str]:
    """Return the data sets that a backbone is evaluated on."""
    if not images.datasets and extractor.dataset is None:
        run = extractor.model.run
        raise FsbenchError(f"{run}: was not trained on a data set of fsbench; name one with --dataset")
    return images.datasets or [str(extractor.dataset)]


def _check_base_images(source: str, need: BaseNeed, session: Session, needed_by: str) -> None:
    """Refuse a data set of base images that is not prepared: the user may have named another data set."""
    if source in (*prepared_stores(session.cache), *glyphs.NAMES):
        return
    mean = need == BaseNeed.MEAN
    raise FsbenchError(
        f"{needed_by} needs the {'mean of the ' * mean}base features of {source}, which is not prepared; "
        f"prepare it{',' if mean else ' or'} pass --base FILE{', or use --preprocess l2' * mean}"
    )


def base_features_of(extractor: FeatureExtractor, session: Session) -> Features:
    """Return the features of the images that a backbone was trained on: the first of each class, or all.

    Raises:
        FsbenchError: The data set is not prepared, or its images are not those of the training.
    """
    trained = extractor.provenance
    assert trained is not None
    source = name_holding(
        trained.source, "base", trained.source_fingerprint, extractor.transform.stored, session.cache
    )
    _, base = extract_features(extractor, source, "base", session)
    identity = base.identity
    assert identity is not None
    if identity.fingerprint != trained.source_fingerprint:
        cause = explain_mismatch(trained.source_files, trained.source_decoder, identity)
        raise FsbenchError(
            f"data set {trained.source}: base features are needed, but the prepared images are not those "
            f"that {trained.run} was trained on{cause}"
        )
    if trained.per_class is None:
        return base
    kept = first_of_each_class(base.labels, trained.per_class)
    return replace(base, values=base.values[kept], labels=base.labels[kept])


def _of_store(path: Path, images: Images, base: Path | None) -> Subject:
    """Read a feature store, which must be of the requested images."""
    features = store.read(path)
    origin = features.origin
    for dataset in images.datasets:
        if dataset != origin.dataset:
            raise FsbenchError(f"feature file {path}: holds {origin.dataset}, not {dataset}")
    if images.split != origin.split:
        raise FsbenchError(f"feature file {path}: holds split {origin.split}, not {images.split}")
    warn_of_seen(features)
    base_features = None if base is None else _base_of(base, origin.checkpoint, str(path))
    return Subject(features, origin.model(path.stem), base_features)


def _base_of(base: Path, checkpoint: str | None, subject: str) -> Features:
    """Read a file of base features, which must come from the same backbone."""
    if not base.exists():
        raise FsbenchError(f"--base {base}: no such file")
    features = store.read(base)
    if features.origin.checkpoint != checkpoint:
        raise FsbenchError(f"--base {base}: its features come from another checkpoint than {subject}")
    return features


def _of_import(path: Path, raw: importers.RawFeatures, images: Images, base: Path | None) -> Subject:
    """Read a feature file of another project, which does not name its data set."""
    if len(images.datasets) != 1:
        raise FsbenchError(f"feature file {path}: does not name its data set; name one with --dataset")
    (dataset,) = images.datasets
    imported = importers.read(path, dataset, images.split, raw)
    base_features = None
    if base is not None:
        base_features = (
            store.read(base) if store.is_store(base) else importers.read(base, dataset, "base").features
        )
    return Subject(imported.features, Model(run=path.stem), base_features, imported.base_mean)
