"""The trials that the preset `fast` was chosen from, as a recipe file; trials.csv has a row for each of them.

README.md beside this file has the commands.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fsbench.data.augment import Augment
from fsbench.models.classifiers import Network
from fsbench.training.losses import manifold_mixup, random_rotation_terms
from fsbench.training.optim import Optimiser
from fsbench.training.recipe import Recipe, Stage, Step, load_recipe

ALPHA = 2.0


def trial(
    name: str,
    *,
    rate: float = 0.1,
    decay: float = 5e-4,
    scale: float = 10.0,
    crop: float = 0.35,
    jitter: float = 0.2,
    batch_size: int = 64,
    cosine: bool = True,
    stages: tuple[Stage, ...] | None = None,
) -> Recipe:
    """The preset `fast` of a recipe with these settings; without `cosine` the rate is cut at 60 and 85 %."""
    recipe = load_recipe(name, "fast")
    schedule = {"warm_up": 0.1, "cosine": True} if cosine else {"milestones": (0.6, 0.85)}
    optimiser = Optimiser("sgd", rate, decay, nesterov=cosine, **schedule)
    augment = Augment(scale=(crop, 1.0), jitter=jitter)
    stages = stages or recipe.stages
    return replace(
        recipe,
        preset="trial",
        optimiser=optimiser,
        augment=augment,
        scale=scale,
        batch_size=batch_size,
        stages=stages,
    )


def rotation(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Rotation, each image in one random rotation."""
    class_loss, rotation_loss = random_rotation_terms(network, images, labels, rng)
    return {"class": class_loss, "rotation": rotation_loss}


def s2m2(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """The second step of S2M2-R, likewise."""
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    rest = rotation(network, images, labels, rng)
    return {"mixed": mixed, **{name: 0.5 * loss for name, loss in rest.items()}}


def one(step: Step) -> tuple[Stage, ...]:
    """One stage."""
    return (Stage("one", step, epochs=200),)


def two(first: int, second: int) -> tuple[Stage, ...]:
    """Rotation, then S2M2-R, with one random rotation of each image."""
    return (
        Stage("self-supervised", rotation, epochs=first),
        Stage("manifold", s2m2, epochs=second),
    )


PRESETS = {
    "erm": trial("erm"),
    "erm-steps": trial("erm", cosine=False),
    "erm-lr0.05": trial("erm", rate=0.05),
    "erm-lr0.2": trial("erm", rate=0.2),
    "erm-wd1e-3": trial("erm", decay=1e-3),
    "erm-wd2e-3": trial("erm", decay=2e-3),
    "erm-scale5": trial("erm", scale=5),
    "erm-scale20": trial("erm", scale=20),
    "erm-crop0.2": trial("erm", crop=0.2),
    "erm-crop0.5": trial("erm", crop=0.5),
    "erm-jitter0": trial("erm", jitter=0),
    "erm-jitter0.4": trial("erm", jitter=0.4),
    "manifold-mixup": trial("manifold-mixup"),
    "manifold-mixup-wd1e-3": trial("manifold-mixup", decay=1e-3),
    "manifold-mixup-wd2e-3": trial("manifold-mixup", decay=2e-3),
    "rotation": trial("rotation", stages=one(rotation)),
    "s2m2-r": trial("s2m2-r", stages=one(s2m2)),
    "s2m2-r-wd2e-3": trial("s2m2-r", decay=2e-3, stages=one(s2m2)),
    "s2m2-r-two-stages": trial("s2m2-r", stages=two(50, 150)),
}
