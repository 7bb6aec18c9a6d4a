"""Validation during training: few-shot accuracy on val classes chooses the best epoch and ends stages.

Val accuracy is the mean accuracy of the head nearest-mean on 1,000 tasks, 5-way 1-shot with 15 queries per
class, which are the same at every validation. They are drawn from the first 100 images of each val class, so
`evaluate --split val`, which draws from all images, measures another number. S2M2's code validates with 100
fixed tasks and its own head, which trains a classifier for 300 epochs per task.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fsbench import stats
from fsbench._util.session import Session
from fsbench.data.image_split import ImageSplit, few_images
from fsbench.data.loading import load, splits_of
from fsbench.evaluation import inference
from fsbench.features.extract import embed
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.models.backbones import Backbone
from fsbench.models.pretrained.transform import standard_transform
from fsbench.tasks.spec import TaskSpec
from fsbench.training.recipe import Stage

SPEC = TaskSpec(n_way=5, n_shot=1, n_query=15, n_tasks=1000, seed=0)
IMAGES = 100  # per val class
# Base images to train on between two validations, per val image. Training on an image takes about as long as
# three forward passes, and evaluating the tasks takes additional time.
BASE_IMAGES = 5


def val_images(dataset: str, cache: Path | None, stored: int) -> ImageSplit | None:
    """Load the first images of each val class from the store that fits `stored` pixels.

    Returns None if the data set has too few val images for the tasks.
    """
    if "val" not in splits_of(dataset, cache):
        return None
    val = load(dataset, "val", cache, stored)
    sizes = np.unique(val.labels, return_counts=True)[1]
    assert SPEC.n_query is not None
    if len(sizes) < SPEC.n_way or sizes.min() < SPEC.n_shot + SPEC.n_query:
        return None
    return few_images(val, IMAGES)


def validated_every(base_images: int, val_images: int) -> int:
    """Return the epochs between validations, so that these take about a tenth of a long training."""
    return -(-BASE_IMAGES * val_images // base_images)


def is_due(stage: Stage, epoch: int, val: ImageSplit | None, base_images: int) -> bool:
    """Whether to validate after an epoch of a stage, counted from 0.

    In a stage with early stopping, every epoch is validated. Otherwise every n-th epoch is, see
    `validated_every`, and the last one.
    """
    if val is None:
        return False
    every = validated_every(base_images, len(val.labels))
    return stage.patience is not None or (epoch + 1) % every == 0 or epoch + 1 == stage.epochs


def has_stalled(stage: Stage, epochs: int, log: Sequence[Mapping[str, Any]]) -> bool:
    """Whether accuracy on val classes has not risen for as many epochs as the patience of the stage.

    `epochs` is the number of finished epochs of the stage. The accuracy before the stage counts as well.
    """
    if stage.patience is None or epochs == 0:
        return False
    accuracies = [row["val_accuracy"] for row in log[-epochs - 1 :]]
    return len(accuracies) - 1 - int(np.argmax(accuracies)) >= stage.patience


def validate(backbone: Backbone, val: ImageSplit | None, device: torch.device) -> dict[str, float]:
    """Measure nearest-mean accuracy on val classes and its half width, 0..1; empty without val classes."""
    if val is None:
        return {}
    session = Session(device=device, quiet=True)
    values = l2(
        torch.from_numpy(embed(backbone, standard_transform(backbone.image_size), val.pixels, session)), None
    )
    accuracies = inference.accuracies(values, val.labels, SPEC, find_head("nearest-mean"))
    accuracy, half_width = stats.mean_and_half_width(accuracies)
    return {"val_accuracy": accuracy, "val_half_width": half_width}
