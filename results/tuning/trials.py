"""The trials that the preset `fast` was chosen from, as a recipe file; trials.csv has a row for each of them.

```
fsbench train-backbone results/tuning/trials.py --preset erm-wd1e-3 --dataset cifar-fs --epochs 12 --out run
fsbench evaluate run/last.safetensors --split val --n-tasks 5000
```
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.data.augment import Augment
from fsbench.losses import TURNS, manifold_mixup, random_rotation_terms, rotation_terms, turned
from fsbench.network import Network
from fsbench.optimiser import Optimiser
from fsbench.recipe import Recipe, Stage, Step, load_recipe

ALPHA = 2.0
Terms = dict[str, Tensor]
Rotation = Callable[[Network, Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]


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


def all_turns(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The paper's rotation: each image in all four rotations, so that nothing is drawn."""
    del rng
    return rotation_terms(network, images, labels)


def upright_class(
    network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Each image in all four rotations, but the class loss on upright ones alone."""
    del rng
    features = network.backbone(turned(images))
    turns = torch.arange(TURNS, device=labels.device).repeat_interleave(len(labels))
    class_loss = F.cross_entropy(network.classifier(features[: len(labels)]), labels)
    return class_loss, F.cross_entropy(network.extra_heads["rotation"](features), turns)


def rotation(terms: Rotation) -> Step:
    """The step of rotation with these terms."""

    def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> Terms:
        class_loss, rotation_loss = terms(network, images, labels, rng)
        return {"class": class_loss, "rotation": rotation_loss}

    return step


def s2m2(terms: Rotation) -> Step:
    """The second step of S2M2-R with these terms."""

    def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> Terms:
        mixed = manifold_mixup(network, images, labels, rng, ALPHA)
        class_loss, rotation_loss = terms(network, images, labels, rng)
        return {"mixed": mixed, "class": 0.5 * class_loss, "rotation": 0.5 * rotation_loss}

    return step


def one(step: Step) -> tuple[Stage, ...]:
    """One stage."""
    return (Stage("one", step, epochs=200),)


def two(first: int, second: int) -> tuple[Stage, ...]:
    """Rotation, then S2M2-R, with one random rotation of each image."""
    return (
        Stage("self-supervised", rotation(random_rotation_terms), epochs=first),
        Stage("manifold", s2m2(random_rotation_terms), epochs=second),
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
    "rotation-all-turns": trial("rotation", stages=one(rotation(all_turns))),
    "rotation-upright-class": trial("rotation", stages=one(rotation(upright_class))),
    "rotation": trial("rotation", stages=one(rotation(random_rotation_terms))),
    "rotation-wd2e-3": trial("rotation", decay=2e-3, stages=one(rotation(random_rotation_terms))),
    "s2m2-r": trial("s2m2-r", stages=one(s2m2(random_rotation_terms))),
    "s2m2-r-wd2e-3": trial("s2m2-r", decay=2e-3, stages=one(s2m2(random_rotation_terms))),
    "s2m2-r-two-stages": trial("s2m2-r", stages=two(50, 150)),
}
