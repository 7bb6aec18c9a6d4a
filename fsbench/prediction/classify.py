"""Classify images: features of labelled and unlabelled images, and the scores of a few-shot head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.progress import Bar, progress
from fsbench._util.rng import stream_seed
from fsbench._util.session import Session as Session
from fsbench.data.bit_depth import BitDepth
from fsbench.data.decode import squares_or_errors
from fsbench.evaluation.subjects import (
    Images,
    Subject,
    base_need,
    load_subjects,
    preprocessing,
    statistics_of,
)
from fsbench.features import store
from fsbench.features.extract import embed
from fsbench.heads import find_head
from fsbench.heads.head import Head
from fsbench.heads.preprocess import find_preprocess
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.prediction import _folders
from fsbench.prediction.outcome import Prediction


@dataclass(frozen=True, eq=False)
class _Embedded:
    """Features of the readable images of a folder."""

    names: tuple[str, ...]
    features: NDArray[np.float32]  # (images, d)
    digests: tuple[bytes, ...]  # of the pixels
    errors: tuple[str, ...]  # one line per unreadable image


def predict(
    backbone: FeatureExtractor,
    support: Path,
    query: Path,
    *,
    head: str = "nearest-mean",
    preprocess: str | None = None,
    n_shot: int | None = None,
    seed: int = 0,
    session: Session,
) -> Prediction:
    """Classify every image below a folder from a few labelled images of each class.

    Images of any aspect ratio become squares, as in an evaluation. Query images that cannot be read are left
    out and listed in the prediction; a support image that cannot be read is an error.

    Args:
        backbone: The pretrained network that turns images into features.
        support: Folder with one folder of labelled images per class.
        query: Folder of images to classify, at any depth.
        head: Few-shot classifier: a name such as `nearest-mean`, or `./mine.py:function`.
        preprocess: Preprocessing of the features; None: the default of the head.
        n_shot: Support images per class, the first ones by name; None: all. Classes may have different
            numbers if the head supports it.
        seed: Seed of the random numbers that some heads draw.
        session: Cache folder, device and progress.

    Returns:
        The scores of all readable query images.

    Raises:
        FsbenchError: A folder has the wrong content, the head cannot use this support set, or the head needs
            features of base classes that are not available.

    Example:
        >>> backbone = fsbench.models.pretrained.find("timm:resnet50.a1_in1k")
        >>> predict(backbone, Path("labelled"), Path("unlabelled"), session=Session()).table()
    """
    few_shot_head = find_head(head)
    step = preprocess or few_shot_head.preprocess
    find_preprocess(step)
    support_names = _folders.class_images(support, n_shot)
    shots = {name: len(images) for name, images in support_names.items()}
    _check_shots(head, few_shot_head, shots)
    query_names = _folders.images("--query", query)
    base = _base_features(backbone, head, few_shot_head, step, session)
    network = backbone.network.to(session.device).to(memory_format=torch.channels_last)
    labelled = [f"{name}/{image}" for name, images in support_names.items() for image in images]
    depth = BitDepth([*(support / name for name in labelled), *(query / name for name in query_names)])
    total = sum(shots.values()) + len(query_names)
    silent = replace(session, quiet=True)
    with progress("predict", total, "images", quiet=session.quiet) as bar:
        supports = _embed(backbone, network, support, labelled, depth, silent, bar)
        if supports.errors:
            more = len(supports.errors) - 1
            others = (
                f"; {more} more support {'image' if more == 1 else 'images'} cannot be read" if more else ""
            )
            raise FsbenchError(f"--support: {supports.errors[0]}{others}")
        queries = _embed(backbone, network, query, query_names, depth, silent, bar)
    if not queries.names:
        raise FsbenchError(f"--query {query}: no image can be read; the first error: {queries.errors[0]}")
    prepared = preprocessing(step, None if base is None else base.base_mean, session.device)
    support_features, query_features = (
        prepared(torch.from_numpy(images.features).to(session.device)) for images in (supports, queries)
    )
    return Prediction(
        run=backbone.model.run,
        head=head,
        preprocess=step,
        support={name: tuple(images) for name, images in support_names.items()},
        images=queries.names,
        scores=_scores(support_features, query_features, [*shots.values()], few_shot_head, base, seed),
        in_support=np.isin(queries.digests, supports.digests),
        unreadable=queries.errors,
        other_files=_folders.other_files(query),
    )


def _check_shots(name: str, head: Head, shots: dict[str, int]) -> None:
    """Refuse different numbers of support images if the head needs the same number for every class."""
    most, least = max(shots, key=shots.__getitem__), min(shots, key=shots.__getitem__)
    if shots[most] != shots[least] and not head.uneven:
        raise FsbenchError(
            f"head {name}: needs the same number of support images for every class, but {most} has "
            f"{shots[most]} and {least} has {shots[least]}; use --n-shot {shots[least]}, or a built-in head"
        )


def _base_features(
    backbone: FeatureExtractor, name: str, head: Head, step: str, session: Session
) -> Subject | None:
    """Load features of the base classes if the head or the preprocessing needs them."""
    need = base_need(head, step)
    if not need:
        return None
    if backbone.provenance is None:
        raise FsbenchError(
            f"head {name} ({step}): needs features of base classes, but {backbone.model.run} was not trained "
            "on a data set of fsbench; use another head, or --preprocess l2 if only the preprocessing needs "
            "them"
        )
    (subject,) = load_subjects(backbone, Images(split="base"), need, session)
    return subject


def _embed(
    backbone: FeatureExtractor,
    network: torch.nn.Module,
    folder: Path,
    names: Sequence[str],
    depth: BitDepth,
    session: Session,
    bar: Bar,
) -> _Embedded:
    """Decode images and compute their features, one part of the folder at a time."""
    side = backbone.transform.stored  # so that no image is resized twice
    readable: list[str] = []
    features: list[NDArray[np.float32]] = [np.empty((0, 0), dtype=np.float32)]
    digests: list[bytes] = []
    errors: list[str] = []
    remaining = iter(names)
    for part in squares_or_errors([folder / name for name in names], side, depth):
        squares = []
        for square, name in zip(part, remaining, strict=False):  # in this order, zip skips no name
            if isinstance(square, FsbenchError):
                errors.append(str(square))
            else:
                readable.append(name)
                squares.append(square)
                digests.append(sha256(square.tobytes()).digest())
        if squares:
            features.append(embed(network, backbone.transform, np.stack(squares), session))
        bar.update(len(part))
    values = np.concatenate(features[1:] or features)
    if values.size:
        store.check_values(values, f"{backbone.model.run}: features of {folder}")
    return _Embedded(tuple(readable), values, tuple(digests), tuple(errors))


def _scores(
    support: Tensor, query: Tensor, shots: Sequence[int], head: Head, base: Subject | None, seed: int
) -> NDArray[np.float32]:
    """Score query features (queries, d) by support features (all shots, d): (queries, n_way)."""
    padded = torch.nn.utils.rnn.pad_sequence(list(support.split(list(shots))), batch_first=True)
    logits = head(
        padded[None],
        query[None],
        keys=torch.tensor([stream_seed(seed, "head")], device=query.device),
        shots=torch.tensor([list(shots)], device=query.device) if len(set(shots)) > 1 else None,
        base=statistics_of(base.base, query.device) if base and head.needs_base else None,
    )
    scores: NDArray[np.float32] = logits[0].cpu().numpy()
    return scores
