"""How good a backbone is while it is trained: few-shot accuracy on val classes, which ranks epochs."""

from pathlib import Path

import numpy as np
import torch

from fsbench import stats
from fsbench._util.session import Session
from fsbench.data.image_store import ImageSplit, few_images
from fsbench.data.prepare import load, splits_of
from fsbench.evaluation import inference
from fsbench.features.extract import embed
from fsbench.heads import find_head
from fsbench.heads.preprocess import l2
from fsbench.models.backbones import Backbone
from fsbench.models.pretrained.transform import usual
from fsbench.tasks.spec import TaskSpec

SPEC = TaskSpec(n_way=5, n_shot=1, n_query=15, n_tasks=1000, seed=0)
IMAGES = 100  # per val class
# Base images that are trained on between two validations, per val image. Training on an image takes about as
# long as three forwards, and the tasks of a validation take some time, too.
BASE_IMAGES = 5


def val_images(dataset: str, cache: Path | None, stored: int) -> ImageSplit | None:
    """The first images of each val class, from the store that fits `stored` pixels.

    None when the data set has too few for the tasks.
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
    """Epochs from one validation to the next, so that validating takes about a tenth of a long training."""
    return -(-BASE_IMAGES * val_images // base_images)


def validate(backbone: Backbone, val: ImageSplit | None, device: torch.device) -> dict[str, float]:
    """Nearest mean's accuracy on val classes and its half width, 0..1; nothing without val classes."""
    if val is None:
        return {}
    session = Session(device=device, quiet=True)
    values = l2(torch.from_numpy(embed(backbone, usual(backbone.image_size), val.pixels, session)), None)
    accuracies = inference.accuracies(values, val.labels, SPEC, find_head("nearest-mean"))
    accuracy, half_width = stats.mean_and_half_width(accuracies)
    return {"val_accuracy": accuracy, "val_half_width": half_width}
