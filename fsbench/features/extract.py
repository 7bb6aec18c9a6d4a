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

from fsbench._util.errors import FsbenchError, memory_advice
from fsbench._util.files import cache_folder, exclusive_lock
from fsbench._util.machine import device_name
from fsbench._util.progress import progress
from fsbench.data import image_store
from fsbench.data.image_split import ImageSplit
from fsbench.data.image_store import SplitInfo
from fsbench.data.loading import shared_with_base, stored_for
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
    device: torch.device,
    *,
    quiet: bool = True,
) -> NDArray[np.float32]:
    """Compute the features of images in evaluation mode, without gradients.

    Afterwards the mode (training or evaluation) of each submodule is as before.

    Args:
        network: Maps transformed images, shape (b, c, h, w), to features, shape (b, d).
        transform: Resizes and normalises the images.
        pixels: Images, shape (n, h, w, 3), uint8.
        device: Device of the network.
        quiet: Show no progress.

    Returns:
        Features, shape (n, d), float32.

    Raises:
        FsbenchError: The network does not return features of shape (b, d).
    """
    values = np.empty((0, 0), dtype=np.float32)
    at_once = min(256, max(1, _PIXELS // transform.size**2))
    with (
        _evaluation_mode(network),
        torch.no_grad(),  # not inference mode: what a module keeps for itself must serve in training, too
        progress("extract", len(pixels), "images", quiet=quiet) as bar,
    ):
        for start in range(0, len(pixels), at_once):
            images = torch.tensor(pixels[start : start + at_once], device=device)
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


def extract_features(
    backbone: Frozen,
    dataset: str,
    split: str,
    *,
    device: torch.device,
    out: Path | None = None,
    cache: Path | None = None,
    force: bool = False,
    quiet: bool = False,
) -> tuple[Path, Features]:
    """Extract the features of a split, or read them if they were extracted before.

    Logs a warning if the backbone was trained on classes or images of the split, or if images are enlarged.

    Args:
        backbone: A pretrained network with its transform and provenance.
        dataset: Name of a prepared data set.
        split: "base", "val" or "novel".
        device: Device to compute on.
        out: Path of the feature store. By default it lies in the cache; its name contains a digest of the
            backbone, the images, their stored size, the class names and the transform.
        cache: Cache folder; None for the default.
        force: Extract again even if the store exists.
        quiet: Show no progress.

    Returns:
        The path of the feature store, and its content.

    Raises:
        FsbenchError: The data set cannot be read, the features are not finite, `out` was made from something
            else, or the store cannot be written.
    """
    transform = backbone.transform
    info = stored_for(dataset, split, backbone.run, transform.size, transform.stored, cache)
    key: dict[str, str | int] = {
        "checkpoint": backbone.digest,
        "fingerprint": info.identity.fingerprint,
        "stored_size": info.size,
        "transform": transform.name,
        "names": info.names,
    }
    digest = hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()[:12]
    name = f"{dataset.partition('@')[0]}-{split}-{digest}.h5"
    path = out or cache_folder(cache) / "features" / backbone.run / name
    if path.exists() and not force:  # most calls need no lock, and a read-only cache has none
        found = features.read(path, **key)
    else:
        with exclusive_lock(path):
            if path.exists() and not force:
                found = features.read(path, **key)
            else:
                found = _extracted(backbone, dataset, split, info, key, cache, device, quiet=quiet)
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
    both = shared_with_base(dataset, images.split, backbone.dataset, fingerprint, cache)
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
    cache: Path | None,
    device: torch.device,
    *,
    quiet: bool,
) -> Features:
    """The features of a split, made now."""
    began = time.perf_counter()
    images = image_store.read(info.path, split)
    if images.identity != info.identity:
        raise FsbenchError(f"data set {dataset}: was prepared anew while it was read; try again")
    with memory_advice(f"{backbone.run} on images of {dataset}", "free some of it, or use another --device"):
        network = backbone.network.to(device).to(memory_format=torch.channels_last)
        values = embed(network, backbone.transform, images.pixels, device, quiet=quiet)
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
        "seen": _seen(backbone, images, dataset, cache),
        "torch": str(torch.__version__),
        "device": device_name(device),
        "seconds": time.perf_counter() - began,
    }
    return Features(values, images.labels, images.class_names, about)
