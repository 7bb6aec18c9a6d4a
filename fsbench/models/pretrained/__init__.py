"""Backbones that are evaluated without further training, whoever trained them.

    name                                      backbone
    best.safetensors                          a checkpoint of fsbench
    timm:resnet50.a1_in1k                     a model of timm, its weights from the hub cache or the hub
    torchvision:resnet50.IMAGENET1K_V2        a model of torchvision, likewise
    ./mine.py:network, package.module:network your function, which returns a torch module
    FILE with an architecture                 weights of conv4 ... wrn28-10, or of any of the last three

Your function takes no arguments. It returns a module from images (b, 3, s, s) to features (b, d), or a pair
of the module and its input: the side of its images in pixels, which are then transformed as for fsbench's own
backbones, or a `Transform`. A third value names the data that the module was pretrained on; novel classes
among those of `imagenet-1k` are then counted.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, reason, unknown
from fsbench.models.backbones import BACKBONES, build
from fsbench.models.checkpoint import is_checkpoint, is_safetensors, read_backbone
from fsbench.models.identity import Model
from fsbench.models.pretrained import weight_files
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.models.pretrained.libraries import timm_model, torchvision_model
from fsbench.models.pretrained.overlap import IMAGENET_1K, Seen, imagenet_1k
from fsbench.models.pretrained.transform import Transform, standard_transform

_LIBRARIES: dict[str, Callable[..., FeatureExtractor]] = {
    "timm:": timm_model,
    "torchvision:": torchvision_model,
}


def is_network(name: str) -> bool:
    """Whether a name is that of a network, not of a file."""
    return name.startswith(tuple(_LIBRARIES)) or user_code.is_reference(name)


def find(
    name: str | Path, architecture: str | None = None, image_size: int | None = None
) -> FeatureExtractor:
    """Load a backbone by name or file.

    Args:
        name: One of the forms above.
        architecture: Architecture of a file of weights that does not hold its own.
        image_size: Side of the images in pixels, for architectures of fsbench and for user functions that
            return a module alone.

    Returns:
        The network without a classifier, with its transform and what is known of its training.

    Raises:
        FsbenchError: The backbone does not exist or cannot be read, its weights are of another network, or
            `architecture` or `image_size` is given where none is taken, or missing where it is needed.
    """
    if architecture is not None:
        if is_checkpoint(Path(name)):
            raise FsbenchError(
                f"--backbone {architecture}: checkpoint {name} of fsbench names its own backbone; "
                "leave out --backbone and --image-size"
            )
        return _of_file(Path(name), architecture, image_size)
    if is_network(str(name)):
        return _identified(_network(str(name), image_size, pretrained=True))
    if image_size is not None:
        raise FsbenchError(f"--image-size {image_size}: checkpoint {name} has its own")
    return of_checkpoint(Path(name))


def of_checkpoint(path: Path) -> FeatureExtractor:
    """Load the backbone of a checkpoint of fsbench.

    Raises:
        FsbenchError: The file cannot be read, or is not a checkpoint of fsbench.
    """
    try:
        ours = is_safetensors(path)
    except OSError as error:
        raise FsbenchError(f"cannot read checkpoint {path}: {reason(error)}") from error
    if not ours:
        raise FsbenchError(f"{path}: is no checkpoint of fsbench; for other weights name their --backbone")
    backbone, provenance, sha256 = read_backbone(path)
    transform = standard_transform(provenance.image_size)
    model = replace(provenance.model, checkpoint=sha256, transform=transform.name)
    return FeatureExtractor(backbone, transform, model, provenance)


def _of_file(path: Path, architecture: str, image_size: int | None) -> FeatureExtractor:
    """The backbone of a file of weights."""
    untrained = _network(architecture, image_size, pretrained=False)
    weights = weight_files.read(path)
    n_classes = None
    if architecture in BACKBONES:
        weight_files.fit_own(untrained.network, weights, path)
    else:
        n_classes = weight_files.fit_named(untrained.network, weights, untrained.classifier, path)
    same_classes = n_classes is not None and n_classes == untrained.n_classes
    return _identified(replace(untrained, seen=untrained.seen if same_classes else None), path.stem)


def _identified(extractor: FeatureExtractor, file: str = "") -> FeatureExtractor:
    """The extractor with the digest of its weights, also in its name where that does not identify them."""
    name, digest, seen = extractor.model.run, _digest(extractor), extractor.seen
    run = "-".join(filter(None, [name.replace(":", "-"), file, digest[:8] if file or extractor.code else ""]))
    model = Model(
        run=run,
        backbone=name,
        image_size=extractor.transform.size,
        transform=extractor.transform.name,
        checkpoint=digest,
        source=seen.source if seen else None,
        source_classes=len(seen.classes) if seen and seen.classes is not None else None,
    )
    return replace(extractor, network=extractor.network.eval(), model=model)


@torch.random.fork_rng(devices=[])  # layers draw weights, which are then replaced
def _network(name: str, image_size: int | None, *, pretrained: bool) -> FeatureExtractor:
    """The network of that name, not yet identified; a user's function decides on its weights."""
    for prefix, make in _LIBRARIES.items():
        if name.startswith(prefix):
            if image_size is not None:
                raise FsbenchError(f"--image-size {image_size}: {name} comes with its own")
            return make(name.removeprefix(prefix), pretrained=pretrained)
    if user_code.is_reference(name):
        return _of_user(name, image_size)
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    if image_size is None:
        raise FsbenchError(f"--image-size is missing: {name} takes images of any size")
    return FeatureExtractor(build(name, image_size), standard_transform(image_size), Model(run=name))


def _of_user(reference: str, image_size: int | None) -> FeatureExtractor:
    """The network that a user's function returns."""
    function = user_code.load_reference(reference, "backbone")
    if not callable(function.value):
        kind = type(function.value).__name__
        raise FsbenchError(f"backbone {reference}: must be a function, but is {kind}")
    with user_code.user_errors(f"backbone {reference}"):
        network = function.value()
    size: Any = image_size
    source: Any = None
    if isinstance(network, tuple) and len(network) in (2, 3) and image_size is None:
        network, size, source = (*network, None)[:3]
    if not (
        isinstance(network, nn.Module)
        and isinstance(size, int | Transform)
        and isinstance(source, str | None)
    ):
        raise FsbenchError(
            f"backbone {reference}: must return a torch module, with --image-size, or a pair of module and "
            "image size or Transform, with the name of its pretraining data as a third value where known, "
            f"but returned {_kinds(network, size, source)}"
        )
    transform = size if isinstance(size, Transform) else standard_transform(size)
    seen = None
    if source is not None:
        seen = imagenet_1k() if source == IMAGENET_1K else Seen(source, None)
    return FeatureExtractor(network, transform, Model(run=function.name), seen=seen, code=function.digest)


def _kinds(*values: object) -> str:
    return " and ".join(type(value).__name__ for value in values if value is not None)


def _digest(extractor: FeatureExtractor) -> str:
    """SHA-256 of the name of a network, the code of a user's function, and all weights by name."""
    digest = hashlib.sha256(repr((extractor.model.run, extractor.code)).encode())
    for name, tensor in extractor.network.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
