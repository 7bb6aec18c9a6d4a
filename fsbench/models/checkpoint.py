"""Checkpoints: safetensors weights with JSON provenance, never pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import atomic_write, sha256_of
from fsbench._util.untrusted import InvalidValueError, check_file_name, parse_json, typed
from fsbench.models.backbones import Backbone, build
from fsbench.models.classifiers import Network, assemble
from fsbench.models.identity import LARGEST_IMAGE, Model

FORMAT = "fsbench-checkpoint-1"


@dataclass(frozen=True)
class _Settings:
    """Settings of a recipe that are read back from a checkpoint."""

    overrides: tuple[str, ...]
    classifier: str
    classifier_width: int | None
    scale: float | None
    extra_heads: dict[str, int]


@dataclass(frozen=True)
class Provenance:
    """The training of a checkpoint; provenances of the same run are equal at any epoch.

    Attributes:
        run: Name of the training run.
        backbone: Architecture.
        image_size: Side of the square images that it takes, in pixels.
        dropout: Dropout rate, 0 to 1.
        source: Data set that it was trained on.
        source_fingerprint: Fingerprint of the base images of that data set.
        class_names: Classes of the classifier, in order.
        synthetic: Whether the images are drawn by code.
        recipe: Training recipe.
        preset: Preset of the recipe.
        epochs: Epochs of all stages, if none ends early.
        epoch: Finished epochs.
        train_seed: Seed of the training.
        val_accuracy: Few-shot accuracy on val classes at this epoch, 0 to 1.
        settings: The whole resolved recipe.
        versions: Versions of fsbench, Python and the libraries.
        precision: Precision of convolutions and matrix products.
        micro_batch: Images per forward pass; batch norm sees no more at once.
        per_class: Images of each base class, the first by content; None: all.
        best_epoch: Epoch with the highest val accuracy, of those validated so far.
        source_files: Digest of the files of the base images.
        source_decoder: Library that decoded them.
    """

    run: str
    backbone: str
    image_size: Annotated[int, Meta(ge=1, le=LARGEST_IMAGE)]
    dropout: float
    source: str
    source_fingerprint: str
    class_names: tuple[str, ...] = field(compare=False)
    synthetic: bool
    recipe: str
    preset: str
    epochs: int
    epoch: int = field(compare=False)
    train_seed: int
    val_accuracy: float | None = field(compare=False)
    settings: dict[str, Any]
    versions: dict[str, str] = field(compare=False)
    precision: str = "float32"
    micro_batch: int | None = None
    per_class: int | None = None
    best_epoch: int | None = field(default=None, compare=False)
    source_files: str | None = field(default=None, compare=False)
    source_decoder: str | None = field(default=None, compare=False)

    @property
    def identity(self) -> dict[str, Any]:
        """The values that identify the run, with the settings of its recipe, as JSON values by name."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.compare}
        identity: dict[str, Any] = json.loads(json.dumps({**values.pop("settings"), **values}))
        return identity

    @property
    def n_outputs(self) -> int:
        """Outputs of all classifiers together."""
        width: int = self.settings["classifier_width"] or 0
        extra: dict[str, int] = self.settings["extra_heads"]
        return max(len(self.class_names), width) + sum(extra.values())

    @property
    def model(self) -> Model:
        """The values that identify the backbone in feature stores and results."""
        names = {part.name for part in fields(self)}
        return Model(
            **{part.name: getattr(self, part.name) for part in fields(Model) if part.name in names},
            source_classes=len(self.class_names),
            overrides=", ".join(self.settings["overrides"]),
            classifier=self.settings["classifier"],
        )


def write(path: Path, tensors: Mapping[str, Tensor], provenance: Provenance, **extra: object) -> None:
    """Write tensors and provenance, whole or not at all.

    Args:
        path: The checkpoint file.
        tensors: Weights by name.
        provenance: How they were trained.
        extra: Further JSON values to keep.

    Raises:
        FsbenchError: The provenance holds a value that `read` would refuse.
    """
    about = {**asdict(provenance), **extra}
    try:
        as_provenance(about)
    except InvalidValueError as error:
        raise FsbenchError(f"checkpoint {path}: {error}") from error
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_write(path) as part:
        # One entry: safetensors writes several in random order, and equal weights must give equal files.
        part.write_bytes(save(plain, metadata={FORMAT: json.dumps(about)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and all other values that `write` stored, as plain JSON values.

    Raises:
        FsbenchError: The file cannot be read, is damaged, or was not written by fsbench.
    """
    tensors, about, _ = _read(path)
    return tensors, about


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], Provenance]:
    """Return the tensors, all JSON values, and the provenance among them."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        # Copies, since tensors of load_file map the file, and Windows replaces no file that is mapped.
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        if FORMAT not in metadata:
            raise FsbenchError(f"checkpoint {path}: is not marked as {FORMAT}")
        about = parse_json(metadata[FORMAT])
        return tensors, about, as_provenance(about)
    except OSError as error:
        raise FsbenchError(f"cannot read checkpoint {path}: {reason(error)}") from error
    except SafetensorError as error:
        raise FsbenchError(f"checkpoint {path}: damaged, or not a safetensors file ({error})") from error
    except InvalidValueError as error:
        raise FsbenchError(f"checkpoint {path}: {error}") from error


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like a safetensors file, even if damaged: header length, then a brace."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def is_checkpoint(path: Path) -> bool:
    """Whether a file is an undamaged checkpoint of fsbench, by its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return FORMAT in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def load_provenance(path: Path) -> Provenance:
    """Read how a checkpoint was trained.

    Args:
        path: The checkpoint file.

    Returns:
        Its provenance.

    Raises:
        FsbenchError: As `read`.
    """
    return _read(path)[2]


def as_provenance(about: Mapping[str, Any]) -> Provenance:
    """Convert JSON values to a provenance; other keys are ignored.

    Raises:
        InvalidValueError: A value is missing, of another type or out of range.
    """
    provenance = typed(about, Provenance, other_keys=True)
    try:
        typed(provenance.settings, _Settings, other_keys=True)
    except InvalidValueError as error:
        raise InvalidValueError(f"settings: {error}") from error
    check_file_name("run", provenance.run)
    return provenance


def read_backbone(path: Path) -> tuple[Backbone, Provenance, str]:
    """Load the trained backbone of a checkpoint.

    Args:
        path: The checkpoint file.

    Returns:
        The backbone in evaluation mode, its provenance, and the SHA-256 of the file.

    Raises:
        FsbenchError: The file cannot be read, or the weights do not fit the backbone that it names.
    """
    tensors, _, provenance = _read(path)
    backbone = build(provenance.backbone, provenance.image_size, dropout=provenance.dropout)
    prefix = "backbone."
    weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    fit(backbone, weights, path)
    return backbone.eval(), provenance, sha256_of(path)


def load_network(path: Path) -> tuple[Network, Provenance]:
    """Load the whole trained network of a checkpoint, with its classifiers.

    Args:
        path: The checkpoint file.

    Returns:
        The network in evaluation mode, without gradients, and its provenance.

    Raises:
        FsbenchError: The file cannot be read, or the weights do not fit the network that it describes.
    """
    tensors, _, provenance = _read(path)
    backbone = build(provenance.backbone, provenance.image_size, dropout=provenance.dropout)
    claimed = backbone.feature_dim * provenance.n_outputs
    if claimed > sum(tensor.numel() for tensor in tensors.values()):
        raise FsbenchError(f"checkpoint {path}: claims {claimed:,} classifier weights, more than it holds")
    with torch.random.fork_rng(devices=[]):  # layers draw initial weights, which are then replaced
        network = assemble(backbone, len(provenance.class_names), provenance.settings)
    fit(network, tensors, path)
    return network.eval().requires_grad_(False), provenance


def fit(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy weights into a module; names and shapes must be equal.

    Raises:
        FsbenchError: A weight is missing, unknown or of another shape; the message names the first one.
    """
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        actual = tuple(weights[name].shape) if name in weights else "missing"
        needed = tuple(wanted[name].shape) if name in wanted else "not part of it"
        if actual != needed:
            raise FsbenchError(
                f"checkpoint {path}: weights do not fit the network: {name} is {actual}, needed {needed}"
            )
    module.load_state_dict(weights)
