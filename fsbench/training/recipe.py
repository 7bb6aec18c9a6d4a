"""What a training recipe is, and how one is found by its name or the path of its file.

A recipe file holds `PRESETS`, a mapping of preset name to `Recipe`; the shipped ones lie in `baselines/`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fsbench._util import user_code
from fsbench._util.content import content_folder
from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import sha256_of
from fsbench.data.augment import OFF, Augment
from fsbench.models.classifiers import Network
from fsbench.training.optim import Optimiser

Step = Callable[[Network, Tensor, Tensor, np.random.Generator], dict[str, Tensor]]
"""`(network, images (views * b, 3, s, s), labels (b,), rng) -> loss terms`; the loop minimises their sum.

All random draws of a step come from `rng` and are made once a batch, outside the network."""


@dataclass(frozen=True)
class Stage:
    """One part of a recipe: a step repeated for some epochs."""

    name: str
    step: Step
    epochs: int  # at most, when there is a patience
    rate_factor: float = 1.0  # multiplies the recipe's learning rate
    views: int = 1  # augmented copies of each image; the step gets them in blocks, (views * b, 3, s, s)
    patience: int | None = None  # end after this many epochs without a higher accuracy on val classes
    fresh_heads: bool = False  # draw classifier and extra heads anew when the stage begins


@dataclass(frozen=True)
class Recipe:
    """How a backbone is trained; every number a reader needs to repeat it."""

    name: str
    preset: str
    paper: str
    stages: tuple[Stage, ...]
    batch_size: int
    optimiser: Optimiser = Optimiser()
    classifier: str = "cosine"  # or "linear"
    classifier_width: int | None = None  # outputs, at least as many as classes; None: as many
    scale: float | None = None  # of the cosine classifier; None: 2, above 200 classes 10, as S2M2's code
    dropout: float | None = None  # None: the backbone's own
    augment: Augment = Augment()
    label_noise: float | None = None  # probability that a base label is replaced by a random one
    extra_heads: Mapping[str, int] = field(default_factory=dict)  # name -> number of classes
    overrides: tuple[
        str, ...
    ] = ()  # what a user changed, such as "batch_size 64"; empty for a preset as it is
    code: str | None = None  # SHA-256 of the file of a recipe of one's own

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def settings(self) -> dict[str, Any]:
        """The recipe as plain values, for a checkpoint and for people."""
        stages = [{k: v for k, v in vars(stage).items() if k != "step"} for stage in self.stages]
        values = {**asdict(self), "stages": stages, "extra_heads": dict(self.extra_heads)}
        if self.code is None:
            del values["code"]
        return values

    def text(self) -> str:
        """The recipe for people, a setting a line."""
        return "\n".join(f"{name:<13} {_plain(value)}" for name, value in self.settings().items())


def resolve(
    recipe: Recipe,
    *,
    epochs: Sequence[int] | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
    classifier: str | None = None,
    dropout: float | None = None,
    augment: bool = True,
    label_noise: float | None = None,
) -> Recipe:
    """The recipe with what the user asks for in place of its own numbers; None keeps them.

    One number of epochs for several stages is shared among them as their own numbers are.

    Raises:
        FsbenchError: a number out of its range, or not one number of epochs for each stage.
    """
    if epochs is not None:
        if len(epochs) == 1 < len(recipe.stages):
            if epochs[0] < len(recipe.stages):
                names = ", ".join(stage.name for stage in recipe.stages)
                raise FsbenchError(
                    f"--epochs must be at least {len(recipe.stages)} for {recipe.name}, one for each stage "
                    f"({names}), but is {epochs[0]}"
                )
            epochs = _shared(epochs[0], recipe.stages)
        if len(epochs) != len(recipe.stages):
            names = ", ".join(stage.name for stage in recipe.stages)
            raise FsbenchError(
                f"--epochs takes a number for each stage of {recipe.name} ({names}), but has {len(epochs)}"
            )
        stages = tuple(replace(stage, epochs=n) for stage, n in zip(recipe.stages, epochs, strict=True))
        recipe = replace(recipe, stages=stages)
    if patience is not None:
        if all(stage.patience is None for stage in recipe.stages):
            raise FsbenchError(f"--patience {patience}: no stage of {recipe.name} ends by its val accuracy")
        stages = tuple(
            stage if stage.patience is None else replace(stage, patience=patience) for stage in recipe.stages
        )
        recipe = replace(recipe, stages=stages)
    if learning_rate is not None:
        recipe = replace(recipe, optimiser=replace(recipe.optimiser, learning_rate=learning_rate))
    asked: dict[str, Any] = {
        "batch_size": batch_size,
        "classifier": classifier,
        "dropout": dropout,
        "label_noise": label_noise,
    }
    recipe = replace(recipe, **{name: value for name, value in asked.items() if value is not None})
    if not augment:
        recipe = replace(recipe, augment=OFF)
    _check(recipe)
    overrides = {
        "epochs": epochs and " + ".join(map(str, epochs)),
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": patience,
        "classifier": classifier,
        "dropout": dropout,
        "augment": None if augment else "off",
        "label_noise": label_noise,
    }
    changed = tuple(f"{name} {value}" for name, value in overrides.items() if value is not None)
    return replace(recipe, overrides=changed)


def _shared(epochs: int, stages: Sequence[Stage]) -> list[int]:
    """Epochs of each stage, in proportion to the recipe's own, at least one; the first gets the rest."""
    later = [max(1, round(epochs * stage.epochs / sum(s.epochs for s in stages))) for stage in stages[1:]]
    while sum(later) >= epochs:
        later[later.index(max(later))] -= 1
    return [epochs - sum(later), *later]


def _check(recipe: Recipe) -> None:
    """Refuse numbers that nothing could be trained with."""
    for stage in recipe.stages:
        _at_least("epochs", stage.epochs, 1)
        _at_least("patience", 1 if stage.patience is None else stage.patience, 1)
    _at_least("batch_size", recipe.batch_size, 2)  # batch statistics of one image are none
    rate, dropout = recipe.optimiser.learning_rate, recipe.dropout
    if not 0 < rate < math.inf:
        raise FsbenchError(f"learning_rate must be above 0, but is {rate}")
    if dropout is not None and not 0 <= dropout < 1:
        raise FsbenchError(f"dropout must be in [0, 1), but is {dropout}")
    if recipe.label_noise is not None and not 0 < recipe.label_noise <= 1:
        raise FsbenchError(f"label_noise must be in (0, 1], but is {recipe.label_noise}")


def _plain(value: object) -> str:
    """A setting as people write it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "; ".join(map(_plain, value)) or "none"
    return "default" if value is None else str(value)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise FsbenchError(f"{name} must be at least {least}, but is {value}")


def recipe_names() -> list[str]:
    """Names of the shipped recipes, hyphenated as people write them."""
    return sorted(path.stem.replace("_", "-") for path in content_folder("baselines").glob("[!_]*.py"))


def load_recipe(name: str, preset: str | None = None) -> Recipe:
    """The recipe of a name such as `manifold-mixup`, or of a file such as `./mine.py`.

    Without a preset the file's first one is taken. A recipe file is code and runs when it is named; what its
    steps return is checked.

    Raises:
        FsbenchError: no such recipe, file or preset, or a file without a well-formed `PRESETS`.
    """
    path, own = Path(name), name.endswith(".py")
    if not own:
        if name.replace("_", "-") not in recipe_names():
            raise unknown("recipe", name, recipe_names())
        path = content_folder("baselines") / f"{name.replace('-', '_')}.py"
    if not path.is_file():
        raise FsbenchError(f"recipe {name}: there is no such file")
    presets = _presets(path)
    if preset is None:
        preset = next(iter(presets))
    if preset not in presets:
        raise unknown(f"preset of recipe {path.stem}", preset, presets)
    return _checked(presets[preset], path) if own else presets[preset]


def _checked(recipe: Recipe, path: Path) -> Recipe:
    """A user's recipe, whose steps fail in one line that names the file."""
    stages = tuple(replace(stage, step=_checked_step(stage, path)) for stage in recipe.stages)
    return replace(recipe, stages=stages, code=sha256_of(path))


def _checked_step(stage: Stage, path: Path) -> Step:
    def step(model: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        what = f"recipe {path}, stage {stage.name}"
        with user_code.one_line(what):
            terms = stage.step(model, images, labels, rng)
        kinds = (
            [isinstance(term, Tensor) and term.ndim == 0 for term in terms.values()]
            if isinstance(terms, dict)
            else []
        )
        if not kinds or not all(kinds):
            raise FsbenchError(
                f"{what}: must return loss terms, name -> tensor of one number, but gave {terms!r:.80}"
            )
        return terms

    return step


def _presets(path: Path) -> Mapping[str, Recipe]:
    """Run a recipe file and return its `PRESETS`."""
    module = user_code.module_of(path, "recipe")
    presets = getattr(module, "PRESETS", None)
    well_formed = isinstance(presets, Mapping) and all(isinstance(r, Recipe) for r in presets.values())
    if not presets or not well_formed:
        raise FsbenchError(f"recipe {path}: PRESETS must map preset names to fsbench.training.recipe.Recipe")
    assert isinstance(presets, Mapping)
    return presets
