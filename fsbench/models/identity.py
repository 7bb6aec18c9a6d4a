"""Identity of a backbone: its architecture, weights and training. Features and results record it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

LARGEST_IMAGE = 4096  # side in pixels; the same limit as of image stores


@dataclass(frozen=True, kw_only=True)
class Model:
    """A backbone and its training; None stands for unknown values.

    Attributes:
        run: Name of the training run or feature file; the folder of results has this name.
        backbone: Architecture, such as `conv4` or `timm:resnet50.a1_in1k`.
        image_size: Side of the square images that the network takes, in pixels.
        transform: Name of the transform from stored to network images.
        checkpoint: SHA-256 of the checkpoint file; for other networks, of name and weights.
        source: Data set that it was trained on.
        source_fingerprint: Fingerprint of the images that it was trained on.
        source_classes: Number of classes that it was trained on.
        per_class: Number of training images per class; None also if all images were used.
        recipe: Training recipe.
        preset: Preset of the recipe.
        overrides: Changes of the preset, such as `batch_size 64, patience 2`.
        classifier: Classifier on top of the backbone in training.
        dropout: Dropout rate of the backbone, 0 to 1.
        epochs: Epochs of all stages, if none ends early.
        epoch: Epoch of this checkpoint.
        best_epoch: Epoch with the highest accuracy on val classes, of those validated.
        train_seed: Seed of the training.
        precision: Precision of the training.
        micro_batch: Largest number of images per forward pass of the training; None: the whole batch.
    """

    run: str
    backbone: str | None = None
    image_size: Annotated[int, Meta(ge=1, le=LARGEST_IMAGE)] | None = None
    transform: str | None = None
    checkpoint: str | None = None
    source: str | None = None
    source_fingerprint: str | None = None
    source_classes: int | None = None
    per_class: int | None = None
    recipe: str | None = None
    preset: str | None = None
    overrides: str | None = None
    classifier: str | None = None
    dropout: Annotated[float, Meta(ge=0, le=1)] | None = None
    epochs: int | None = None
    epoch: int | None = None
    best_epoch: int | None = None
    train_seed: int | None = None
    precision: str | None = None
    micro_batch: int | None = None
