"""From a backbone and a split of images to its feature store."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from fsbench._util.errors import FsbenchError, enough_memory
from fsbench._util.files import cache_folder, only_one
from fsbench._util.machine import device_name
from fsbench._util.session import Session
from fsbench.data import image_store
from fsbench.data.image_store import ImageSplit, SplitInfo
from fsbench.data.prepare import shared, stored_for
from fsbench.features import store as features
from fsbench.features.store import Features
from fsbench.models.pretrained import Frozen, overlap
from fsbench.models.pretrained.transform import Transform

_PIXELS = 256 * 112 * 112  # of a batch of images; the large networks of libraries take large images
_log = logging.getLogger(__name__)


def embed(
    network: nn.Module,
    transform: Transform,
    pixels: NDArray[np.uint8],
    session: Session,
) -> NDArray[np.float32]:
    """Features (n, d) of images (n, h, w, 3), in evaluation mode, without gradients.

    The network is left in the mode that it was in, each submodule by itself.

    Raises:
        FsbenchError: the network returns something else than features (b, d).
    """
    values = np.empty((0, 0), dtype=np.float32)
    at_once = min(256, max(1, _PIXELS // transform.size**2))
    with (
        _evaluation_mode(network),
        torch.no_grad(),  # not inference mode: what a module keeps for itself must serve in training, too
        tqdm(
            total=len(pixels),
            desc="extract",
            unit="img",
            unit_scale=True,
            disable=True if session.quiet else None,
        ) as bar,
    ):
        for start in range(0, len(pixels), at_once):
            images = torch.tensor(pixels[start : start + at_once], device=session.device)
            found = network(transform.apply(images))
            if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
                shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise FsbenchError(f"backbone: must return features ({len(images)}, d), but returned {shape}")
            if start == 0:
                values = np.empty((len(pixels), found.shape[1]), dtype=np.float32)
            assert found.shape[1] == values.shape[1], "features of another width"
            values[start : start + at_once] = found.float().cpu().numpy()
            bar.update(len(images))
    return values


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode in the block; then each submodule is as before, such as a frozen batch norm."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def extract(
    backbone: Frozen,
    dataset: str,
    split: str,
    session: Session,
    *,
    out: Path | None = None,
    force: bool = False,
) -> tuple[Path, Features]:
    """The feature store of a split, made now or found where it was made before; its path and its content.

    Without `out` it lies in the cache under a digest of backbone, images, their stored size, class names and
    transform, so that another of these is another file. A backbone that has learned classes or images of the
    split is a warning of the log, and so are images that it sees enlarged.

    Raises:
        FsbenchError: the data set cannot be read, the features are not finite, `out` is a store of something
            else, or the store cannot be written.
    """
    transform = backbone.transform
    info = stored_for(dataset, split, backbone.run, transform.size, transform.stored, session.cache)
    key: dict[str, str | int] = {
        "checkpoint": backbone.digest,
        "fingerprint": info.identity.fingerprint,
        "stored_size": info.size,
        "transform": transform.name,
        "names": info.names,
    }
    digest = hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()[:12]
    name = f"{dataset.partition('@')[0]}-{split}-{digest}.h5"
    path = out or cache_folder(session.cache) / "features" / backbone.run / name
    if path.exists() and not force:  # most calls need no lock, and a read-only cache has none
        found = features.read(path, **key)
    else:
        with only_one(path):
            if path.exists() and not force:
                found = features.read(path, **key)
            else:
                found = _extracted(backbone, dataset, split, info, key, session)
                features.write(path, found)
    warn_of_seen(found)
    return path, found


def warn_of_seen(found: Features) -> None:
    """Log a warning where features say that their backbone has learned classes or images of their split."""
    if found.about.get("seen"):
        about = found.about
        _log.warning(
            "fsbench: warning: %s on %s %s: %s", *map(about.get, ("run", "dataset", "split", "seen"))
        )


def _seen(backbone: Frozen, images: ImageSplit, dataset: str, cache: Path | None) -> str:
    """What the backbone has learned of the split, in a line; empty when that is nothing or not known.

    Images that lie in two splits of one data set are told when it is prepared.
    """
    if backbone.seen is not None:
        return overlap.text(backbone.seen, images.dataset, images.class_names)
    if backbone.dataset in (None, images.dataset):
        return ""
    fingerprint = backbone.provenance["source_fingerprint"]
    both = shared(dataset, images.split, backbone.dataset, fingerprint, cache)
    if not both:
        return ""
    first = f"{images.class_names[images.labels[both[0]]]}/{images.items[both[0]]}"
    return f"trained on {len(both)} of its {len(images.items)} images, as {first}"


def _extracted(
    backbone: Frozen,
    dataset: str,
    split: str,
    info: SplitInfo,
    key: Mapping[str, str | int],
    session: Session,
) -> Features:
    """The features of a split, made now."""
    began = time.perf_counter()
    images = image_store.read(info.path, split)
    if images.identity != info.identity:
        raise FsbenchError(f"data set {dataset}: was prepared anew while it was read; try again")
    with enough_memory(f"{backbone.run} on images of {dataset}", "free some of it, or use another --device"):
        network = backbone.network.to(session.device).to(memory_format=torch.channels_last)
        values = embed(network, backbone.transform, images.pixels, session)
    if not features.are_finite(values):
        raise FsbenchError(f"{backbone.run}: features of {dataset} are not all finite")
    about: dict[str, str | int | float] = {
        **key,
        "files": info.identity.files,
        "decoder": info.identity.decoder,
        "dataset": images.dataset,
        "split": split,
        "synthetic": images.synthetic,
        "run": backbone.run,
        "backbone": backbone.provenance["backbone"],
        "image_size": backbone.provenance["image_size"],
        "provenance": json.dumps(backbone.provenance),
        "seen": _seen(backbone, images, dataset, session.cache),
        "torch": str(torch.__version__),
        "device": device_name(session.device),
        "seconds": time.perf_counter() - began,
    }
    return Features(values, images.labels, images.class_names, about)
