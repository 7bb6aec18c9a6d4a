"""Extract the features of a split with a backbone and write them to a feature store."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError, memory_advice
from fsbench._util.files import cache_folder, exclusive_lock
from fsbench._util.machine import device_name
from fsbench._util.progress import progress
from fsbench._util.session import Session as Session
from fsbench.data import image_store
from fsbench.data.image_split import ImageSplit
from fsbench.data.image_store import SplitInfo
from fsbench.data.loading import shared_with_base, stored_for
from fsbench.features import store
from fsbench.features.store import Features, Origin
from fsbench.models.pretrained import overlap
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.models.pretrained.transform import Transform

_PIXELS = 256 * 112 * 112  # per batch; limits the memory of large networks with large images
_log = logging.getLogger(__name__)


def embed(
    network: nn.Module,
    transform: Transform,
    pixels: NDArray[np.uint8],
    session: Session,
) -> NDArray[np.float32]:
    """Compute the features of images in evaluation mode, without gradients.

    Afterwards each submodule of the network is in the same mode as before.

    Args:
        network: Module from images (b, 3, s, s) to features (b, d).
        transform: Transform from pixels to images.
        pixels: Images, (n, h, w, 3).
        session: Device of the network, and whether progress is shown.

    Returns:
        Features, (n, d).

    Raises:
        FsbenchError: The network does not return features (b, d).
    """
    values = np.empty((0, 0), dtype=np.float32)
    at_once = min(256, max(1, _PIXELS // transform.size**2))
    with (
        _evaluation_mode(network),
        torch.no_grad(),  # not inference mode: a module may keep tensors and use them in training
        progress("extract", len(pixels), "images", quiet=session.quiet) as bar,
    ):
        for start in range(0, len(pixels), at_once):
            images = torch.tensor(pixels[start : start + at_once], device=session.device)
            features = network(transform.apply(images))
            if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
                shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
                raise FsbenchError(f"backbone: must return features ({len(images)}, d), but returned {shape}")
            if start == 0:
                values = np.empty((len(pixels), features.shape[1]), dtype=np.float32)
            assert features.shape[1] == values.shape[1], "features of another width"
            values[start : start + at_once] = features.float().cpu().numpy()
            bar.update(len(images))
    return values


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode in the block, then restore the mode of each submodule."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def extract_features(
    extractor: FeatureExtractor,
    dataset: str,
    split: str,
    session: Session,
    *,
    out: Path | None = None,
    force: bool = False,
) -> tuple[Path, Features]:
    """Extract the features of a split, or read them from an existing file.

    A warning is logged if the backbone was trained on classes or images of the split, and if images are
    enlarged for it.

    Args:
        extractor: The backbone.
        dataset: Name of a prepared data set.
        split: `base`, `val` or `novel`.
        session: Cache, device and progress.
        out: Feature file. Default: a file in the cache whose name contains a digest of backbone, images,
            stored size, class names and transform.
        force: Whether to replace an existing file.

    Returns:
        The path of the feature store, and its content.

    Raises:
        FsbenchError: The data set cannot be read, features are not finite or out of range, `out` holds other
            features, or the store cannot be written.
    """
    transform, run = extractor.transform, extractor.model.run
    trained = extractor.provenance
    is_source = trained is not None and trained.source == dataset
    trained_on = trained.source_fingerprint if trained and is_source else None
    info = stored_for(dataset, split, run, transform.size, transform.stored, session.cache, trained_on)
    key = Origin(
        checkpoint=str(extractor.model.checkpoint),
        fingerprint=info.identity.fingerprint,
        stored_size=info.size,
        transform=transform.name,
        names=info.names,
    )
    digest = hashlib.sha256(repr(sorted(key.attributes().items())).encode()).hexdigest()[:12]
    name = f"{dataset.partition('@')[0]}-{split}-{digest}.h5"
    path = out or cache_folder(session.cache) / "features" / run / name
    if path.exists() and not force:  # checked first: a read-only cache has no locks
        features = store.read(path, **key.attributes())
    else:
        with exclusive_lock(path):
            if path.exists() and not force:
                features = store.read(path, **key.attributes())
            else:
                features = _extract(extractor, dataset, split, info, key, session)
                store.write(path, features)
    warn_of_seen(features)
    return path, features


def warn_of_seen(features: Features) -> None:
    """Log a warning if the backbone of features was trained on classes or images of their split."""
    origin = features.origin
    if origin.seen:
        _log.warning(
            "fsbench: warning: %s on %s %s: %s", origin.run, origin.dataset, origin.split, origin.seen
        )


def _seen(extractor: FeatureExtractor, images: ImageSplit, dataset: str, cache: Path | None) -> str:
    """Describe in one line which classes or images of the split the backbone was trained on; "" if unknown.

    Images in two splits of one data set are reported when it is prepared.
    """
    if extractor.seen is not None:
        return overlap.text(extractor.seen, images.dataset, images.class_names)
    trained = extractor.provenance
    if trained is None or trained.source == images.dataset:
        return ""
    rows = shared_with_base(dataset, images.split, trained.source, trained.source_fingerprint, cache)
    if not rows:
        return ""
    first = f"{images.class_names[images.labels[rows[0]]]}/{images.items[rows[0]]}"
    return f"trained on {len(rows)} of its {len(images.items)} images (for example {first})"


def _extract(
    extractor: FeatureExtractor,
    dataset: str,
    split: str,
    info: SplitInfo,
    key: Origin,
    session: Session,
) -> Features:
    """Extract the features of a split."""
    began = time.perf_counter()
    model = extractor.model
    images = image_store.read(info.path, split)
    if images.identity != info.identity:
        raise FsbenchError(f"data set {dataset}: was prepared again while it was read; try again")
    with memory_advice(f"{model.run} on images of {dataset}", "free some of it, or use another --device"):
        network = extractor.network.to(session.device).to(memory_format=torch.channels_last)
        values = embed(network, extractor.transform, images.pixels, session)
    store.check_values(values, f"{model.run}: features of {dataset}")
    origin = replace(
        key,
        files=info.identity.files,
        decoder=info.identity.decoder,
        dataset=images.dataset,
        split=split,
        synthetic=images.synthetic,
        run=model.run,
        backbone=str(model.backbone),
        image_size=extractor.transform.size,
        provenance=json.dumps(asdict(extractor.provenance or model)),
        seen=_seen(extractor, images, dataset, session.cache),
        torch=str(torch.__version__),
        device=device_name(session.device),
        seconds=time.perf_counter() - began,
    )
    return Features(values, images.labels, images.class_names, origin)
