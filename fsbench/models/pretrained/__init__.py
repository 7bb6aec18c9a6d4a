"""Backbones that are evaluated as they are, whoever trained them.

    subject                                   what it is
    best.safetensors                          a checkpoint of fsbench
    timm:resnet50.a1_in1k                     a model of timm, its weights from the hub cache or the hub
    torchvision:resnet50.IMAGENET1K_V2        a model of torchvision, likewise
    ./mine.py:network, package.module:network a function of the user's that returns a torch module
    FILE with an architecture                 weights of conv4 ... wrn28-10, or of any of the last three

A user's function takes nothing. It returns a module from images (b, 3, s, s) to features (b, d), or a pair of
the module and what it takes: the side of its images in pixels, which are then made as for fsbench's own
backbones, or a `Transform`. A third value names what the module was pretrained on; target classes among those
of `imagenet-1k` are then counted.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fsbench._util import user_code
from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import reason
from fsbench.models.backbones import BACKBONES, build
from fsbench.models.checkpoint import is_safetensors, load_backbone
from fsbench.models.pretrained import weight_files
from fsbench.models.pretrained.libraries import timm_model, torchvision_model
from fsbench.models.pretrained.model import Model
from fsbench.models.pretrained.overlap import IMAGENET_1K, Seen, imagenet_1k
from fsbench.models.pretrained.transform import Transform, usual

_LIBRARIES = {"timm:": timm_model, "torchvision:": torchvision_model}


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network that turns images into features, and what tells its features from those of others."""

    network: nn.Module  # images (b, 3, s, s) -> features (b, d)
    transform: Transform
    digest: str  # SHA-256 of a checkpoint of fsbench, or over the name and all weights of another network
    run: str  # names the folder of its features and results
    provenance: Mapping[str, Any]  # as of a checkpoint; of others backbone, image_size and source alone
    seen: Seen | None = None  # what it was pretrained on, where that may be what it is asked about

    @property
    def dataset(self) -> str | None:
        """The data set of fsbench that it was trained on, if it was trained here."""
        return self.provenance["source"] if "source_fingerprint" in self.provenance else None


def is_network(subject: str) -> bool:
    """Whether a subject is named as a network, not as a file."""
    return subject.startswith(tuple(_LIBRARIES)) or user_code.is_reference(subject)


def find(subject: str | Path, architecture: str | None = None, image_size: int | None = None) -> Frozen:
    """The backbone of a subject; `architecture` is that of a file of weights that does not say it.

    `image_size` goes with one of fsbench's architectures or a user's function that returns a module alone.

    Raises:
        FsbenchError: a subject that does not exist, cannot be had or cannot be read, weights of another
            network, or an image size where none is taken or one is missing.
    """
    if architecture is not None:
        return _of_file(Path(subject), architecture, image_size)
    if is_network(str(subject)):
        model = _model(str(subject), image_size, pretrained=True)
        return _frozen(model, model.name.replace(":", "-"), model.seen)
    if image_size is not None:
        raise FsbenchError(f"--image-size {image_size}: checkpoint {subject} has its own")
    return of_checkpoint(Path(subject))


def of_checkpoint(path: Path) -> Frozen:
    """The backbone of a checkpoint of fsbench.

    Raises:
        FsbenchError: unreadable, or not a checkpoint of fsbench.
    """
    try:
        ours = is_safetensors(path)
    except OSError as error:
        raise FsbenchError(f"cannot read checkpoint {path}: {reason(error)}") from error
    if not ours:
        raise FsbenchError(f"{path}: is no checkpoint of fsbench; for other weights name their --backbone")
    backbone, provenance, sha256 = load_backbone(path)
    transform = usual(provenance.image_size)
    return Frozen(backbone, transform, sha256, provenance.run, asdict(provenance))


def _of_file(path: Path, architecture: str, image_size: int | None) -> Frozen:
    """The backbone of a file of weights."""
    model = _model(architecture, image_size, pretrained=False)
    found = weight_files.read(path)
    if architecture in BACKBONES:
        weight_files.fit_own(model.network, found, path)
        n_classes = None
    else:
        n_classes = weight_files.fit_named(model.network, found, model.classifier, path)
    seen = model.seen if n_classes is not None and n_classes == model.n_classes else None
    return _frozen(model, f"{model.name.replace(':', '-')}-{path.stem}", seen, unique=True)


def _frozen(model: Model, run: str, seen: Seen | None, *, unique: bool = False) -> Frozen:
    """A model as it is evaluated; `unique` when its name does not say which weights it has."""
    digest = _digest(model)
    about = {"backbone": model.name, "image_size": model.transform.size}
    if seen is not None:
        about["source"] = seen.source
        about["source_classes"] = None if seen.classes is None else len(seen.classes)
    run = f"{run}-{digest[:8]}" if unique or model.code else run
    return Frozen(model.network.eval(), model.transform, digest, run, about, seen)


@torch.random.fork_rng(devices=[])  # layers draw weights, which are then replaced
def _model(name: str, image_size: int | None, *, pretrained: bool) -> Model:
    """The network of that name; a user's own has whatever weights its function gives it."""
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
    return Model(name, build(name, image_size), usual(image_size))


def _of_user(reference: str, image_size: int | None) -> Model:
    """What a user's function returns."""
    found = user_code.load_reference(reference, "backbone")
    if not callable(found.value):
        raise FsbenchError(f"backbone {reference}: must be a function, but is {type(found.value).__name__}")
    with user_code.user_errors(f"backbone {reference}"):
        network = found.value()
    taken: Any = image_size
    source: Any = None
    if isinstance(network, tuple) and len(network) in (2, 3) and image_size is None:
        network, taken, source = (*network, None)[:3]
    if not (
        isinstance(network, nn.Module)
        and isinstance(taken, int | Transform)
        and isinstance(source, str | None)
    ):
        raise FsbenchError(
            f"backbone {reference}: must return a torch module, with --image-size, or a pair of module and "
            "image size or Transform, with the name of its pretraining data as a third value where known, "
            f"but returned {_kinds(network, taken, source)}"
        )
    transform = taken if isinstance(taken, Transform) else usual(taken)
    seen = None
    if source is not None:
        seen = imagenet_1k() if source == IMAGENET_1K else Seen(source, None)
    return Model(found.name, network, transform, seen=seen, code=found.digest)


def _kinds(*values: object) -> str:
    return " and ".join(type(value).__name__ for value in values if value is not None)


def _digest(model: Model) -> str:
    """The SHA-256 over the name of a model, the code of a user's own, and all weights by name."""
    digest = hashlib.sha256(repr((model.name, model.code)).encode())
    for name, tensor in model.network.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
