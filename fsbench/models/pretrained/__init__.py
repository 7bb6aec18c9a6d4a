"""Pretrained backbones: checkpoints, models of timm and torchvision, user functions and weights files.

    name                                      backbone
    best.safetensors                          a checkpoint of fsbench, or the folder of its run
    timm:resnet50.a1_in1k                     a model of timm, with weights from the hub or its cache
    torchvision:resnet50.IMAGENET1K_V2        a model of torchvision, with downloaded or cached weights
    ./mine.py:network, package.module:network a user function that returns a torch module
    FILE with an architecture                 weights of a backbone of fsbench or of any model above

A user function takes no arguments. It returns a module from images (b, 3, s, s) to features (b, d), or a pair
of the module and either the side of its images in pixels or a `Transform`. With a side, images are
transformed as for the backbones of fsbench. A third value may name the pretraining data; for `imagenet-1k`,
novel classes that were part of it are then reported.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, reason
from fsbench.models.backbones import BACKBONES, build, unknown_backbone
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
    """Whether a name denotes a network instead of a file."""
    return name.startswith(tuple(_LIBRARIES)) or user_code.is_reference(name)


def find(
    name: str | Path, architecture: str | None = None, image_size: int | None = None
) -> FeatureExtractor:
    """Load a backbone by name or file.

    Args:
        name: Name or file, in one of the forms listed in this module's docstring.
        architecture: Architecture of a weights file that does not state it.
        image_size: Side of the images in pixels, for architectures of fsbench and for user functions that
            return a module alone.

    Returns:
        The network without a classifier, with its transform and its identity.

    Raises:
        FsbenchError: The backbone does not exist or cannot be read, its weights do not fit the architecture,
            or `architecture` or `image_size` is missing or not allowed for this backbone.
    """
    if architecture is not None:
        if is_checkpoint(Path(name)):
            raise FsbenchError(
                f"--backbone {architecture}: checkpoint {name} of fsbench names its own backbone; "
                "leave out --backbone and --image-size"
            )
        return _load_weights_file(Path(name), architecture, image_size)
    if is_network(str(name)):
        return _with_identity(_network(str(name), image_size, pretrained=True))
    if image_size is not None:
        raise FsbenchError(f"--image-size {image_size}: the input size of {name} is fixed; leave it out")
    return of_checkpoint(Path(name))


def checkpoint_file(path: Path) -> Path:
    """Return the best checkpoint of a run for its folder, and other paths unchanged.

    Raises:
        FsbenchError: There is no such file, or the folder has no best checkpoint.
    """
    if path.is_dir():
        if not (path / "best.safetensors").exists():
            raise FsbenchError(f"{path}: is a folder without best.safetensors; name a file or a run's folder")
        return path / "best.safetensors"
    if not path.exists():
        library = (
            ""
            if path.suffix or len(path.parts) > 1
            else (f"; a model of another library is timm:{path} or torchvision:{path}")
        )
        raise FsbenchError(f"cannot read {path}: no such file or directory{library}")
    return path


def of_checkpoint(path: Path) -> FeatureExtractor:
    """Load the backbone of a checkpoint of fsbench.

    Raises:
        FsbenchError: The file cannot be read, or is not a checkpoint of fsbench.
    """
    path = checkpoint_file(path)
    try:
        if not is_safetensors(path):
            raise FsbenchError(f"{path}: not a checkpoint of fsbench; for other weights, add --backbone NAME")
    except OSError as error:
        raise FsbenchError(f"cannot read checkpoint {path}: {reason(error)}") from error
    backbone, provenance, sha256 = read_backbone(path)
    transform = standard_transform(provenance.image_size)
    model = replace(provenance.model, checkpoint=sha256, transform=transform.name)
    return FeatureExtractor(backbone, transform, model, provenance)


def _load_weights_file(path: Path, architecture: str, image_size: int | None) -> FeatureExtractor:
    """Load the weights of a file into the architecture."""
    untrained = _network(architecture, image_size, pretrained=False)
    weights = weight_files.read(path)
    n_classes = None
    if architecture in BACKBONES:
        weight_files.fit_backbone(untrained.network, weights, path)
    else:
        n_classes = weight_files.fit_by_name(untrained.network, weights, untrained.classifier, path)
    same_classes = n_classes is not None and n_classes == untrained.n_classes
    return _with_identity(replace(untrained, seen=untrained.seen if same_classes else None), path.stem)


def _with_identity(extractor: FeatureExtractor, file: str = "") -> FeatureExtractor:
    """Add the identity of the network; its run name contains a digest if name and file are ambiguous."""
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


@torch.random.fork_rng(devices=[])  # layers draw initial weights, which are then replaced
def _network(name: str, image_size: int | None, *, pretrained: bool) -> FeatureExtractor:
    """Build a network by name, still without identity; a user function decides whether it is pretrained."""
    for prefix, make in _LIBRARIES.items():
        if name.startswith(prefix):
            if image_size is not None:
                raise FsbenchError(
                    f"--image-size {image_size}: the input size of {name} is fixed; leave it out"
                )
            return make(name.removeprefix(prefix), pretrained=pretrained)
    if user_code.is_reference(name):
        return _call_user_function(name, image_size)
    if name not in BACKBONES:
        error = str(unknown_backbone(name))
        end = "" if error.endswith("?") else "."
        raise FsbenchError(f"{error}{end} Models of other libraries: timm:{name}, torchvision:{name}")
    if image_size is None:
        raise FsbenchError(f"--image-size is missing: {name} takes images of any size")
    return FeatureExtractor(build(name, image_size), standard_transform(image_size), Model(run=name))


def _call_user_function(reference: str, image_size: int | None) -> FeatureExtractor:
    """Call a user function and check the network that it returns."""
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
        returned = [type(value).__name__ for value in (network, size, source) if value is not None]
        raise FsbenchError(
            f"backbone {reference}: must return a torch module (then add --image-size), or module and image "
            "size or Transform, and optionally the name of the pretraining data, "
            f"but returned {' and '.join(returned)}"
        )
    transform = size if isinstance(size, Transform) else standard_transform(size)
    seen = None
    if source is not None:
        seen = imagenet_1k() if source == IMAGENET_1K else Seen(source, None)
    return FeatureExtractor(network, transform, Model(run=function.name), seen=seen, code=function.digest)


def _digest(extractor: FeatureExtractor) -> str:
    """Compute the SHA-256 of the name of a network, the code of a user function, and all weights by name."""
    digest = hashlib.sha256(repr((extractor.model.run, extractor.code)).encode())
    for name, tensor in extractor.network.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
