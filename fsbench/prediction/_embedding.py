"""Features of the images of a folder, of any size and format."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fsbench._util.errors import FsbenchError
from fsbench._util.progress import Bar
from fsbench._util.session import Session
from fsbench.data.bit_depth import BitDepth
from fsbench.data.decode import squares_or_errors
from fsbench.features import store
from fsbench.features.extract import embed
from fsbench.models.pretrained.extractor import FeatureExtractor


@dataclass(frozen=True, eq=False)
class EmbeddedFolder:
    """Features of the readable images of a folder."""

    names: tuple[str, ...]
    features: NDArray[np.float32]  # (images, d)
    digests: tuple[bytes, ...]  # of the pixels
    errors: tuple[str, ...]  # one line per unreadable image


def embed_folder(
    backbone: FeatureExtractor,
    network: torch.nn.Module,
    folder: Path,
    names: Sequence[str],
    depth: BitDepth,
    session: Session,
    bar: Bar,
) -> EmbeddedFolder:
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
    return EmbeddedFolder(tuple(readable), values, tuple(digests), tuple(errors))
