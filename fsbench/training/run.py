"""A training run: recipe, images, network, compute settings and folder, which stay the same throughout."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fsbench._util import machine
from fsbench._util.arguments import convert_fields
from fsbench._util.distributed import Worker, join, share_batch_norm
from fsbench._util.errors import FsbenchError
from fsbench._util.rng import stream_seed
from fsbench._util.session import Session
from fsbench.data.augment import resized
from fsbench.data.image_split import ImageSplit, few_images
from fsbench.data.label_noise import add_label_noise
from fsbench.data.loading import load_for
from fsbench.models.backbones import build
from fsbench.models.checkpoint import Provenance
from fsbench.models.classifiers import Network, assemble
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import Recipe
from fsbench.training.validation import val_images

LARGEST_SIZE = 84  # pixels; default image size for data sets of larger images


@dataclass(frozen=True)
class TrainingSpec:
    """The backbone to train, the images to train on, and the seed of all random numbers.

    Attributes:
        dataset: Name of a prepared data set; the backbone learns its base classes.
        backbone: Architecture, a key of `fsbench.models.BACKBONES`.
        image_size: Side of the network's input in pixels. Default: the size of the stored images, at most 84.
        per_class: Images of each base class to train on, the first ones by content. Default: all.
        seed: Seed of initial weights, order, augmentation, dropout, label noise and the draws of the steps.
    """

    dataset: str
    backbone: str = "conv4"
    image_size: int | None = None
    per_class: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values of other types, and a negative seed."""
        convert_fields(self)
        if self.seed < 0:
            raise FsbenchError(f"seed must be at least 0, but is {self.seed}")


@dataclass(frozen=True, eq=False)
class Run:
    """One training run.

    Attributes:
        folder: Folder of its checkpoints and its log.
        recipe: The recipe with all overrides.
        network: The network; training changes its weights.
        pixels: Base images on the device, (n, h, w, 3) uint8.
        labels: Their labels, (n,) int64.
        val: Images of the val classes. None: the data set has too few for validation.
        compute: Precision, compilation and micro-batches.
        provenance: Provenance of its checkpoints, before the first epoch.
        tensorboard: Whether the log is also written as TensorBoard events.
    """

    folder: Path
    recipe: Recipe
    network: Network = field(repr=False)
    pixels: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    val: ImageSplit | None = field(repr=False)
    compute: ComputeSettings
    provenance: Provenance = field(repr=False)
    tensorboard: bool

    @property
    def best(self) -> Path:
        """Checkpoint of the validated epoch with the highest few-shot accuracy on val classes."""
        return self.folder / "best.safetensors"

    @property
    def last(self) -> Path:
        """Checkpoint of the last finished epoch."""
        return self.folder / "last.safetensors"

    @property
    def distributed(self) -> Worker:
        """Rank and number of the processes that train together."""
        return self.network.backbone.distributed

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the files; only the first of several processes does."""
        return self.distributed.rank == 0

    def text(self, device: torch.device) -> str:
        """Describe the run in five lines or six, so that a mistake is visible before hours of training."""
        about, recipe, n_images = self.provenance, self.recipe, len(self.labels)
        preset = f"preset {recipe.preset}" + " (the default)" * (recipe.preset == "fast")
        settings = recipe.settings_for
        other = f", which has none for {about.source}" * (settings != about.source)
        published = f"settings  of the published code for {settings}{other}\n" if settings else ""
        changes = f"; changed: {', '.join(recipe.overrides)}" if recipe.overrides else ""
        origin = " (synthetic, drawn by code)" if about.synthetic else ""
        stages = " + ".join(f"{stage.epochs} {stage.name}" for stage in recipe.stages)
        epochs = f"{recipe.epochs} epoch{'s' * (recipe.epochs > 1)}" + f" ({stages})" * (
            len(recipe.stages) > 1
        )
        batches = f"batches of {min(recipe.batch_size, n_images)}"
        rate = f"{recipe.optimiser.name} with learning rate {recipe.optimiser.learning_rate:g}"
        validation = (
            f", val accuracy on {len(self.val.class_names)} classes" if self.val else ", no validation"
        )
        compiled = ", compiled" * self.compute.compile
        return (
            f"training  {recipe.name}, {preset}, seed {about.train_seed}{changes}\n"
            f"{published}"
            f"data      {about.source}{origin}: {n_images:,} images of {len(about.class_names)} base classes"
            f"{validation}\n"
            f"network   {about.backbone} for {about.image_size} px, {recipe.classifier} classifier; "
            f"{machine.device_name(device)}, {self.compute.precision}{compiled}\n"
            f"length    {epochs} in {batches}, {rate}\n"
            f"folder    {self.folder}"
        )


def run_name(recipe: Recipe, spec: TrainingSpec) -> str:
    """Compose the name of a run from the settings that usually distinguish runs.

    Args:
        recipe: The resolved recipe.
        spec: What is trained; `image_size` is the resolved one.

    Returns:
        A name such as "erm-fast-conv4-cifar-fs-32px-40ep-s0".
    """
    images = f"-{spec.per_class}pc" if spec.per_class else ""
    noise = f"-noise{recipe.label_noise:g}" if recipe.label_noise else ""
    data = f"{spec.backbone}-{spec.dataset}{images}-{spec.image_size}px"
    return f"{recipe.name}-{recipe.preset}-{data}-{recipe.epochs}ep{noise}-s{spec.seed}"


def prepare_run(
    recipe: Recipe,
    spec: TrainingSpec,
    compute: ComputeSettings,
    session: Session,
    out: Path | None,
    tensorboard: bool,
) -> Run:
    """Load the images and build the network of a run; `train_backbone` describes arguments and errors."""
    base, val, spec = _load_images(recipe, spec, session.cache)
    assert spec.image_size is not None
    network = _network(recipe, spec, len(base.class_names), session.device)
    if compute.compile:
        for block in network.backbone.blocks:
            block.compile()
    folder = out or Path("runs", run_name(recipe, spec))
    pixels = np.require(base.pixels, requirements="W")  # a copy of mapped pixels: torch needs writable arrays
    labels = add_label_noise(base.labels, len(base.class_names), recipe.label_noise or 0.0, spec.seed)
    provenance = Provenance(
        run=folder.name,
        backbone=spec.backbone,
        image_size=spec.image_size,
        dropout=network.backbone.dropout,
        source=base.dataset,
        source_fingerprint=base.fingerprint,
        source_files=base.identity.files,
        source_decoder=base.identity.decoder,
        class_names=base.class_names,
        synthetic=base.synthetic,
        recipe=recipe.name,
        preset=recipe.preset,
        epochs=recipe.epochs,
        epoch=0,
        train_seed=spec.seed,
        val_accuracy=None,
        settings=recipe.settings(),
        precision=compute.precision,
        micro_batch=compute.micro_batch,
        per_class=spec.per_class,
        versions=machine.versions(),
    )
    return Run(
        folder=folder,
        recipe=recipe,
        network=network,
        pixels=torch.from_numpy(pixels).to(session.device),
        labels=torch.from_numpy(labels).long().to(session.device),
        val=val,
        compute=compute,
        provenance=provenance,
        tensorboard=tensorboard,
    )


def _load_images(
    recipe: Recipe, spec: TrainingSpec, cache: Path | None
) -> tuple[ImageSplit, ImageSplit | None, TrainingSpec]:
    """Load the base images and, if there are enough, the val images; return them with the resolved spec."""
    stored_size = resized(spec.image_size or LARGEST_SIZE)
    base = load_for(spec.dataset, "base", spec.backbone, spec.image_size, stored_size, cache)
    spec = replace(spec, dataset=base.dataset)
    if spec.per_class is not None:
        base, spec = _first_images(base, spec)
    val = val_images(base.dataset, cache, stored_size)
    for stage in recipe.stages:
        if stage.patience is not None and val is None:
            raise FsbenchError(
                f"data set {base.dataset}: has too few val classes or images for early stopping, which stage "
                f"{stage.name} of recipe {recipe.name} uses"
            )
    if spec.image_size is None:
        spec = replace(spec, image_size=min(*base.pixels.shape[1:3], LARGEST_SIZE))
    return base, val, spec


def _network(recipe: Recipe, spec: TrainingSpec, n_classes: int, device: torch.device) -> Network:
    """Build the network on the device; its weights depend on the seed alone."""
    assert spec.image_size is not None
    with machine.preserved_generators(device):
        machine.seed_generators(stream_seed(spec.seed, "classifier"), device)
        weights_seed = stream_seed(spec.seed, "backbone")
        dropout = recipe.dropout
        if isinstance(dropout, Mapping):
            dropout = dropout.get(spec.backbone)
        backbone = build(spec.backbone, spec.image_size, dropout=dropout, seed=weights_seed)
        network = assemble(backbone, n_classes, recipe.settings())
    backbone.distributed = join(device)
    if backbone.distributed.size > 1:
        share_batch_norm(network)
    return network.to(device).to(memory_format=torch.channels_last)


def _first_images(base: ImageSplit, spec: TrainingSpec) -> tuple[ImageSplit, TrainingSpec]:
    """Keep the first `per_class` images of each base class; a number that keeps all of them becomes None."""
    smallest = int(np.bincount(base.labels).min())
    assert spec.per_class is not None
    if not 1 <= spec.per_class <= smallest:
        raise FsbenchError(
            f"--per-class must be 1 to {smallest}, the images of the smallest base class of {base.dataset}, "
            f"but is {spec.per_class}"
        )
    few = few_images(base, spec.per_class)
    return few, spec if len(few.labels) < len(base.labels) else replace(spec, per_class=None)
