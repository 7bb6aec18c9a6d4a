"""Checkpoints: safetensors weights with JSON provenance, never pickle."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError
from fsbench._util.files import atomic_write, reason, sha256_of
from fsbench._util.validation import InvalidValueError, check, check_file_name, parse_json, required
from fsbench.models.backbones import Backbone, build
from fsbench.models.classifiers import Network, assemble

FORMAT = "fsbench-checkpoint-1"
_LARGEST = 4096  # pixels a side, as of image stores


class Settings(TypedDict):
    """Those settings of a recipe that are read again."""

    overrides: tuple[str, ...]
    classifier: str
    classifier_width: int | None
    scale: float | None
    extra_heads: dict[str, int]


@dataclass(frozen=True)
class Provenance:
    """What a checkpoint says of itself."""

    run: str  # name of the training run
    backbone: str
    image_size: int
    dropout: float
    source: str  # data set it was trained on
    source_fingerprint: str  # of that data set's base images
    class_names: tuple[str, ...]  # of the classifier, in order
    synthetic: bool
    recipe: str
    preset: str
    epochs: int  # asked for, over all stages
    epoch: int  # done
    train_seed: int
    val_accuracy: float | None  # few-shot, on val classes, at this epoch
    settings: dict[str, Any]  # the whole resolved recipe
    versions: dict[str, str]
    precision: str = "float32"  # of convolutions and matrix products
    micro_batch: int | None = None  # images a forward; batch norm sees no more at once
    per_class: int | None = None  # images of each base class, the first by content; None: all
    best_epoch: int | None = None  # that has the highest val accuracy, of those validated so far
    source_files: str | None = None  # digest of the files of the base images
    source_decoder: str | None = None  # what decoded them

    @property
    def n_outputs(self) -> int:
        """Outputs of all classifiers together."""
        width: int = self.settings["classifier_width"] or 0
        extra: dict[str, int] = self.settings["extra_heads"]
        return max(len(self.class_names), width) + sum(extra.values())


def write(path: Path, tensors: Mapping[str, Tensor], provenance: Provenance, **extra: object) -> None:
    """Write tensors and provenance, whole or not at all; `extra` are further JSON values to keep."""
    try:
        check_provenance(asdict(provenance))
    except InvalidValueError as error:
        raise FsbenchError(f"checkpoint {path}: {error}") from error
    about = json.dumps({**asdict(provenance), **extra})
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_write(path) as part:
        # one entry: safetensors writes several in random order, and equal weights shall be equal files
        part.write_bytes(save(plain, metadata={FORMAT: about}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and everything that `write` was told, as plain JSON values.

    Raises:
        FsbenchError: unreadable, damaged, or not written by fsbench.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
        if FORMAT not in metadata:
            raise FsbenchError(f"checkpoint {path}: is not marked as {FORMAT}")
        about = parse_json(metadata[FORMAT])
        check_provenance(about)
    except OSError as error:
        raise FsbenchError(f"cannot read checkpoint {path}: {reason(error)}") from error
    except SafetensorError as error:
        raise FsbenchError(f"checkpoint {path}: not a whole safetensors file ({error})") from error
    except InvalidValueError as error:
        raise FsbenchError(f"checkpoint {path}: {error}") from error
    return tensors, about


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do, whole or torn: the length of a header and its brace."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def load_provenance(path: Path) -> Provenance:
    """What the checkpoint at `path` says of itself."""
    return _provenance(read(path)[1])


def check_provenance(about: Mapping[str, Any], needed: Collection[str] = required(Provenance)) -> None:
    """Refuse JSON values that are no provenance, or one that nobody could have trained.

    Raises:
        InvalidValueError: one is missing, of another type or out of range.
    """
    check(Provenance, _with_tuples(about), needed)
    if "settings" in about:
        check(Settings, _with_tuples(about["settings"]), required(Settings))
    if "run" in about:
        check_file_name("run", about["run"])
    if not 1 <= about.get("image_size", 1) <= _LARGEST:
        raise InvalidValueError(f"image_size must be 1 to {_LARGEST}, but is {about['image_size']}")


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as before JSON made lists of tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _provenance(about: Mapping[str, Any]) -> Provenance:
    """The provenance among the JSON values of a checkpoint."""
    values = {field.name: about[field.name] for field in fields(Provenance) if field.name in about}
    return Provenance(**{**values, "class_names": tuple(values["class_names"])})


def load_backbone(path: Path) -> tuple[Backbone, Provenance, str]:
    """The trained backbone of a checkpoint, its provenance and the SHA-256 of the file.

    Raises:
        FsbenchError: unreadable, or the weights do not fit the backbone that the file names.
    """
    tensors, about = read(path)
    provenance = _provenance(about)
    backbone = build(provenance.backbone, provenance.image_size, dropout=provenance.dropout)
    prefix = "backbone."
    weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    fit(backbone, weights, path)
    return backbone.eval(), provenance, sha256_of(path)


def load_network(path: Path) -> tuple[Network, Provenance]:
    """The whole trained network of a checkpoint, classifier and extra heads included.

    Raises:
        FsbenchError: unreadable, or the weights do not fit the network that the file describes.
    """
    tensors, about = read(path)
    provenance = _provenance(about)
    backbone = build(provenance.backbone, provenance.image_size, dropout=provenance.dropout)
    claimed = backbone.feature_dim * provenance.n_outputs
    if claimed > sum(tensor.numel() for tensor in tensors.values()):
        raise FsbenchError(f"checkpoint {path}: claims {claimed:,} classifier weights, more than it holds")
    with torch.random.fork_rng(devices=[]):  # layers draw weights, which are then replaced
        network = assemble(backbone, len(provenance.class_names), provenance.settings)
    fit(network, tensors, path)
    return network.eval().requires_grad_(False), provenance


def fit(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy weights into a module that they fit exactly.

    Raises:
        FsbenchError: a weight is missing, unknown or of another shape; the first one is named.
    """
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        found = tuple(weights[name].shape) if name in weights else "missing"
        needed = tuple(wanted[name].shape) if name in wanted else "not part of it"
        if found != needed:
            raise FsbenchError(
                f"checkpoint {path}: weights are of another network: {name} is {found}, needed {needed}"
            )
    module.load_state_dict(weights)
