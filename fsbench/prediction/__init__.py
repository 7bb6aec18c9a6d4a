"""From a few labelled images of one's own to what the others are: one task, whose queries have no answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from fsbench._util.errors import FsbenchError
from fsbench._util.rng import stream_seed
from fsbench._util.session import Session
from fsbench.data.decode import Depth, tried_squares
from fsbench.evaluation.subjects import Images, Subject, load_subjects, preprocessing, statistics_of
from fsbench.features.extract import embed
from fsbench.heads import Head, ask, find_head
from fsbench.heads.preprocess import NEEDS_BASE_MEAN, find_preprocess
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.prediction import folders
from fsbench.prediction.folders import Names
from fsbench.prediction.outcome import Prediction

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True, eq=False)
class _Seen:
    """The images of a list that could be read."""

    names: tuple[str, ...]
    features: NDArray[np.float32]  # (images, d)
    digests: tuple[bytes, ...]  # of the pixels
    unreadable: tuple[str, ...]  # a line each


def predict(
    backbone: FeatureExtractor,
    support: Path,
    query: Path,
    *,
    head: str = "nearest-mean",
    preprocess: str | None = None,
    n_shot: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    device: torch.device,
    quiet: bool = False,
) -> Prediction:
    """Say of each image below `query` which class it is, from the images in the class folders of `support`.

    Support are all images of a class, or its first `n_shot` by name; classes may have different numbers of
    them where the head takes that. Images become squares as for evaluation, whatever their aspect ratio.
    Query images that cannot be read are left out and named in the outcome; one of the support is an error.
    `seed` matters to heads that draw random numbers.

    Raises:
        FsbenchError: folders that are not so, support that the head cannot take, or base features that a head
            needs and that cannot be had.
    """
    chosen = find_head(head)
    step = preprocess or chosen.preprocess
    find_preprocess(step)
    classes = folders.classes(support, n_shot)
    shots = [len(names) for names in classes.values()]
    _check_shots(head, chosen, dict(zip(classes, shots, strict=True)))
    asked = folders.images("--query", query)
    base = _base(backbone, head, chosen, step, cache, device, quiet)
    network = backbone.network.to(device).to(memory_format=torch.channels_last)
    labelled = [f"{name}/{image}" for name, images in classes.items() for image in images]
    depth = Depth([*(support / name for name in labelled), *(query / name for name in asked)])
    total = sum(shots) + len(asked)
    with tqdm(total=total, desc="predict", unit="img", disable=True if quiet else None) as bar:
        known = _look(backbone, network, support, labelled, depth, device, bar)
        if known.unreadable:
            others = f"; so are {len(known.unreadable) - 1} others" if len(known.unreadable) > 1 else ""
            raise FsbenchError(f"--support: {known.unreadable[0]}{others}")
        found = _look(backbone, network, query, asked, depth, device, bar)
    if not found.names:
        raise FsbenchError(f"--query {query}: no image can be read; the first: {found.unreadable[0]}")
    prepared = preprocessing(step, None if base is None else base.base_mean, device)
    support_values, query_values = (
        prepared(torch.from_numpy(seen.features).to(device)) for seen in (known, found)
    )
    return Prediction(
        run=backbone.model.run,
        head=head,
        preprocess=step,
        class_names=tuple(classes),
        shots=tuple(shots),
        images=found.names,
        scores=_scores(support_values, query_values, shots, chosen, base, seed),
        in_support=np.isin(found.digests, known.digests),
        unreadable=found.unreadable,
        other_files=folders.other_files(query),
    )


def _check_shots(name: str, head: Head, shots: Mapping[str, int]) -> None:
    """Refuse classes with different numbers of images where the head takes one number for all."""
    most, least = max(shots, key=shots.__getitem__), min(shots, key=shots.__getitem__)
    if shots[most] != shots[least] and not head.uneven:
        raise FsbenchError(
            f"head {name}: must be given as many support images of every class, but {most} has {shots[most]} "
            f"and {least} {shots[least]}; take --n-shot {shots[least]}, or a head of fsbench"
        )


def _base(
    backbone: FeatureExtractor,
    name: str,
    head: Head,
    step: str,
    cache: Path | None,
    device: torch.device,
    quiet: bool,
) -> Subject | None:
    """Features of the classes that the backbone was trained on, where head or preprocessing needs them."""
    if step not in NEEDS_BASE_MEAN and not head.needs_base:
        return None
    if backbone.provenance is None:
        raise FsbenchError(
            f"head {name} ({step}): needs features of base classes, but {backbone.model.run} was trained on "
            "no data set of fsbench; take another head, or --preprocess l2 where that is what needs them"
        )
    needs = frozenset({"mean"})
    (subject,) = load_subjects(backbone, Images(split="base"), needs, Session(cache, device, quiet))
    return subject


def _look(
    backbone: FeatureExtractor,
    network: torch.nn.Module,
    folder: Path,
    names: Names,
    depth: Depth,
    device: torch.device,
    bar: "tqdm[Any]",
) -> _Seen:
    """Decode and embed images, a part at a time."""
    side = backbone.transform.stored  # no image is resized twice
    read: list[str] = []
    values: list[NDArray[np.float32]] = [np.empty((0, 0), dtype=np.float32)]
    digests: list[bytes] = []
    unreadable: list[str] = []
    left = iter(names)
    for part in tried_squares([folder / name for name in names], side, depth):
        squares = []
        for square, name in zip(part, left, strict=False):  # in this order zip takes no name too many
            if isinstance(square, FsbenchError):
                unreadable.append(str(square))
            else:
                read.append(name)
                squares.append(square)
                digests.append(sha256(square.tobytes()).digest())
        if squares:
            values.append(
                embed(network, backbone.transform, np.stack(squares), Session(device=device, quiet=True))
            )
        bar.update(len(part))
    features = np.concatenate(values[1:] or values)
    if not np.isfinite(features).all():
        raise FsbenchError(f"{backbone.model.run}: features of {folder} are not all finite")
    return _Seen(tuple(read), features, tuple(digests), tuple(unreadable))


def _scores(
    support: Tensor, query: Tensor, shots: Sequence[int], head: Head, base: Subject | None, seed: int
) -> NDArray[np.float32]:
    """The head's scores (queries, n_way) of query (queries, d) from support (shots of all, d) by class."""
    padded = torch.nn.utils.rnn.pad_sequence(list(support.split(list(shots))), batch_first=True)
    logits = ask(
        head,
        padded[None],
        query[None],
        keys=torch.tensor([stream_seed(seed, "head")], device=query.device),
        shots=torch.tensor([list(shots)], device=query.device) if len(set(shots)) > 1 else None,
        base=statistics_of(base.base, query.device) if base and head.needs_base else None,
    )
    scores: NDArray[np.float32] = logits[0].cpu().numpy()
    return scores
