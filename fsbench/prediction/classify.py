"""Classify images: features of labelled and unlabelled images, and the scores of a few-shot head."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.machine import device_of_heads
from fsbench._util.progress import progress
from fsbench._util.rng import stream_seed
from fsbench._util.session import Session as Session
from fsbench._util.settings import joined, split
from fsbench.data.bit_depth import BitDepth
from fsbench.evaluation.subjects import (
    Subject,
    base_features_of,
    base_need,
    preprocessing,
    statistics_of,
)
from fsbench.heads import find_head
from fsbench.heads.head import Head, for_imbalanced_queries
from fsbench.heads.preprocess import find_preprocess
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.prediction import _folders
from fsbench.prediction._distance import scaled_distances
from fsbench.prediction._embedding import EmbeddedFolder, embed_folder
from fsbench.prediction._leave_one_out import HeldOut, Score, assign_folds, leave_one_out, without_copies
from fsbench.prediction.outcome import NONE, Prediction


def predict(
    backbone: FeatureExtractor,
    support: Path,
    query: Path,
    *,
    head: str = "nearest-mean",
    preprocess: str | None = None,
    n_shot: int | None = None,
    reject: bool = False,
    seed: int = 0,
    session: Session,
) -> Prediction:
    """Classify every image below a folder from a few labelled images of each class.

    Images of any aspect ratio become squares, as in an evaluation. Query images that cannot be read are left
    out and listed in the prediction; a support image that cannot be read is an error.

    Every support image is also classified from the others. This gives the accuracy to expect, the temperature
    of the probabilities, and the distance above which an image is rejected.

    Args:
        backbone: The pretrained network that turns images into features.
        support: Folder with one folder of labelled images per class.
        query: Folder of images to classify, at any depth.
        head: Few-shot classifier: a name such as `nearest-mean`, or `./mine.py:function`; settings may
            follow, as in `cosine-sgd:epochs=100`. A setting `balanced` that is not given is False, because
            the number of images of each class is not known.
        preprocess: Preprocessing of the features; None: the default of the head.
        n_shot: Support images per class, the first ones by name; None: all. Classes may have different
            numbers if the head supports it.
        reject: Answer "none of these" for images that are farther from all classes than 90 % of the support
            images are when they are left out.
        seed: Seed of the random numbers that some heads draw.
        session: Cache folder, device and progress.

    Returns:
        The scores of all readable query images.

    Raises:
        FsbenchError: A folder has the wrong content, the head cannot use this support set, the head needs
            features of base classes that are not available, or `reject` is set and every class has a single
            image.

    Example:
        >>> backbone = fsbench.models.pretrained.find("timm:resnet50.a1_in1k")
        >>> predict(backbone, Path("labelled"), Path("unlabelled"), session=Session()).table()
    """
    few_shot_head = for_imbalanced_queries(find_head(head), head)
    name = split(head)[0]
    head = joined(name, few_shot_head.settings)
    step = preprocess or few_shot_head.preprocess
    find_preprocess(step)
    support_names = _folders.class_images(support, n_shot)
    shots = {name: len(images) for name, images in support_names.items()}
    _check_shots(head, few_shot_head, shots)
    if reject and NONE in shots:
        raise FsbenchError(f"--reject: the answer {NONE!r} must not be a class of --support {support}")
    query_names = _folders.images("--query", query)
    base = _base_features(backbone, head, few_shot_head, step, session)
    network = backbone.network.to(session.device).to(memory_format=torch.channels_last)
    labelled = [f"{name}/{image}" for name, images in support_names.items() for image in images]
    depth = BitDepth([*(support / name for name in labelled), *(query / name for name in query_names)])
    total = sum(shots.values()) + len(query_names)
    silent = replace(session, quiet=True)
    with progress("predict", total, "images", quiet=session.quiet) as bar:
        supports = embed_folder(backbone, network, support, labelled, depth, silent, bar)
        if supports.errors:
            more = len(supports.errors) - 1
            others = (
                f"; {more} more support {'image' if more == 1 else 'images'} cannot be read" if more else ""
            )
            raise FsbenchError(f"--support: {supports.errors[0]}{others}")
        queries = embed_folder(backbone, network, query, query_names, depth, silent, bar)
    if not queries.names:
        raise FsbenchError(f"--query {query}: no image can be read; the first error: {queries.errors[0]}")
    device = device_of_heads(session.device)
    prepared = preprocessing(step, None if base is None else base.base_mean, device)
    support_features, query_features = (
        prepared(torch.from_numpy(images.features).to(device)) for images in (supports, queries)
    )
    score = partial(_scores, name=head, head=few_shot_head, base=base, seed=seed)
    held_out = _held_out(few_shot_head, score, supports, support_features, [*shots.values()], query_features)
    if reject and not len(held_out.answers):
        raise FsbenchError(
            f"--reject: needs at least two different images of some class, but every class of --support "
            f"{support} has a single one"
        )
    return Prediction(
        run=backbone.model.run,
        head=name,
        settings=few_shot_head.settings,
        preprocess=step,
        support={name: tuple(images) for name, images in support_names.items()},
        images=queries.names,
        scores=score(support_features, query_features, [*shots.values()]),
        distances=scaled_distances(support_features, [*shots.values()], query_features),
        held_out=held_out,
        reject=reject,
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
    if not base_need(head, step):
        return None
    if backbone.provenance is None:
        raise FsbenchError(
            f"head {name} ({step}): needs features of base classes, but {backbone.model.run} was not trained "
            "on a data set of fsbench; use another head, or --preprocess l2 if only the preprocessing needs "
            "them"
        )
    features = base_features_of(backbone, session)
    return Subject(features, backbone.model, features)


def _held_out(
    head: Head, score: Score, supports: EmbeddedFolder, support: Tensor, shots: Sequence[int], query: Tensor
) -> HeldOut:
    """Score each support image by the others; its copies are no others.

    Copies are left out together. Where the head cannot use the uneven classes that remain, they are left out
    one by one, and do not count, because their answers are right for a wrong reason.
    """
    digests = supports.digests if head.uneven else [name.encode() for name in supports.names]
    folds = assign_folds(shots, digests)
    held_out = leave_one_out(support, shots, folds, score, query if head.transductive else None)
    if head.uneven:
        return held_out
    counted = without_copies(shots, supports.digests)[folds >= 0]
    return HeldOut(held_out.scores[counted], held_out.answers[counted], held_out.distances[counted])


def _scores(
    support: Tensor,
    query: Tensor,
    shots: Sequence[int],
    name: str,
    head: Head,
    base: Subject | None,
    seed: int,
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
    bad = int((~np.isfinite(scores)).any(axis=1).sum())
    if bad:
        raise FsbenchError(
            f"head {name}: scores must be finite, but those of {bad} of {len(scores)} images are not; use "
            "another head, or large negative numbers in place of -inf"
        )
    return scores
