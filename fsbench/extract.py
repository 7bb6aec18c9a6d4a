"""From a checkpoint and a split of images to its feature store."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fsbench import features
from fsbench.backbones import Backbone
from fsbench.checkpoint import load_backbone
from fsbench.data.augment import eval_transform, transform_name
from fsbench.data.prepare import fingerprint_of, load
from fsbench.errors import FsbenchError
from fsbench.features import Features
from fsbench.files import cache_folder, only_one
from fsbench.machine import device_name

_BATCH = 256


def embed(
    backbone: Backbone, pixels: NDArray[np.uint8], device: torch.device, *, quiet: bool = True
) -> NDArray[np.float32]:
    """Features (n, d) of images (n, h, w, 3), in evaluation mode, without gradients."""
    values = np.empty((len(pixels), backbone.feature_dim), dtype=np.float32)
    training = backbone.training
    backbone.eval()
    with (
        torch.inference_mode(),
        tqdm(
            total=len(pixels), desc="extract", unit="img", unit_scale=True, disable=True if quiet else None
        ) as bar,
    ):
        for part in _parts(len(pixels)):
            images = torch.from_numpy(pixels[part]).to(device)
            values[part] = backbone(eval_transform(images, backbone.image_size)).float().cpu().numpy()
            bar.update(len(images))
    backbone.train(training)
    return values


def extract(
    checkpoint: Path,
    dataset: str,
    split: str,
    *,
    device: torch.device,
    out: Path | None = None,
    cache: Path | None = None,
    force: bool = False,
    quiet: bool = False,
) -> tuple[Path, Features]:
    """The feature store of a split, made now or found where it was made before; its path and its content.

    Without `out` it lies in the cache under a digest of checkpoint, images and transform, so that another of
    these is another file.

    Raises:
        FsbenchError: checkpoint or data set cannot be read, `out` is a store of something else, or the store
            cannot be written.
    """
    backbone, provenance, sha256 = load_backbone(checkpoint)
    key = {
        "checkpoint": sha256,
        "fingerprint": fingerprint_of(dataset, split, cache),
        "transform": transform_name(provenance.image_size),
    }
    digest = hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()[:12]
    name = f"{dataset.partition('@')[0]}-{split}-{digest}.h5"
    path = out or cache_folder(cache) / "features" / provenance.run / name
    with only_one(path):
        if path.exists() and not force:
            return path, features.read(path, **key)
        began = time.perf_counter()
        images = load(dataset, split, cache)
        assert images.fingerprint == key["fingerprint"]
        backbone = backbone.to(device).to(memory_format=torch.channels_last)
        values = embed(backbone, images.pixels, device, quiet=quiet)
        if not np.isfinite(values).all():
            raise FsbenchError(f"checkpoint {checkpoint}: features of {dataset} are not all finite")
        about: dict[str, str | int | float] = {
            **key,
            "dataset": images.dataset,
            "split": split,
            "synthetic": images.synthetic,
            "run": provenance.run,
            "backbone": provenance.backbone,
            "image_size": provenance.image_size,
            "provenance": json.dumps(asdict(provenance)),
            "torch": str(torch.__version__),
            "device": device_name(device),
            "seconds": time.perf_counter() - began,
        }
        made = Features(values, images.labels, images.class_names, about)
        features.write(path, made)
    return path, made


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, start + _BATCH) for start in range(0, n, _BATCH))
