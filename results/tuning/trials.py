"""The trials from which the preset `fast` was chosen, as a recipe file; trials.csv has one row per trial.

README.md beside this file has the commands.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fsbench.data.augment import Augment
from fsbench.models import Network
from fsbench.training import Optimiser, Recipe, Stage, Step, load_recipe
from fsbench.training.losses import halved, manifold_mixup, random_rotation_losses

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
    """Change the preset `fast` of a recipe; without `cosine` the rate is cut at 60 and 85 % of a stage."""
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


def s2m2(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Compute the losses of the second stage of S2M2-R, each image in one random rotation."""
    mixed = manifold_mixup(network, images, labels, rng, ALPHA)
    return {"mixed": mixed, **halved(random_rotation_losses(network, images, labels, rng))}


def one_stage(step: Step) -> tuple[Stage, ...]:
    """Repeat one step for 200 epochs."""
    return (Stage("one", step, epochs=200),)


def two_stages(first: int, second: int) -> tuple[Stage, ...]:
    """Train rotation, then S2M2-R, each image in one random rotation."""
    return (
        Stage("self-supervised", random_rotation_losses, epochs=first),
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
    "rotation": trial("rotation", stages=one_stage(random_rotation_losses)),
    "s2m2-r": trial("s2m2-r", stages=one_stage(s2m2)),
    "s2m2-r-wd2e-3": trial("s2m2-r", decay=2e-3, stages=one_stage(s2m2)),
    "s2m2-r-two-stages": trial("s2m2-r", stages=two_stages(50, 150)),
}
