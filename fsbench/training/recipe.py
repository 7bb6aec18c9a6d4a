"""Training recipes: the steps and settings with which a backbone is trained.

A recipe file defines `PRESETS`, a mapping of preset name to `Recipe`. It may define `VARIANTS`, a mapping of
preset name to a mapping of data set to the `Recipe` that replaces the preset there. The shipped files are in
`baselines/`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fsbench._util import user_code
from fsbench._util.content import content_folder
from fsbench._util.content import recipe_names as recipe_names
from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import sha256_of
from fsbench.data.augment import OFF, Augment
from fsbench.models.classifiers import STORED_AUXILIARY, Network
from fsbench.training.optim import Optimiser

Step = Callable[[Network, Tensor, Tensor, np.random.Generator], dict[str, Tensor]]
"""`(network, images (views * b, 3, s, s), labels (b,), rng) -> loss terms`; the loop minimises their sum.

All random numbers of a step come from `rng` and are drawn once per batch, outside the network."""

# Names that checkpoints store for these fields.
_STORED = {"auxiliary_classifiers": STORED_AUXILIARY, "fresh_classifiers": "fresh_heads"}

# Methods that train in episodes, which is not included, and what the error says of each.
_PROTONET = "the classifier of ProtoNet is --head nearest-mean; "
_EPISODIC = {
    **dict.fromkeys(("protonet", "protonets", "prototypical", "prototypicalnetworks"), _PROTONET),
    **dict.fromkeys(("matchingnet", "matchingnets", "matchingnetworks"), ""),
    **dict.fromkeys(("relationnet", "relationnets", "relationnetworks"), ""),
    **dict.fromkeys(("maml", "anil", "reptile"), ""),
}


@dataclass(frozen=True)
class Stage:
    """One part of a recipe: a step that is repeated for a number of epochs.

    Attributes:
        name: Name in logs and errors, and of the random streams of the stage.
        step: Function `(network, images, labels, rng) -> loss terms`, a mapping of names to scalars.
        epochs: Passes over the base images; the maximum if the stage has a patience.
        rate_factor: Factor of the recipe's learning rate.
        views: Augmented copies of each image. The step gets them in blocks, (views * b, 3, s, s).
        patience: End the stage after this many epochs without a higher accuracy on val classes, as
            `fsbench.training.validation` measures it. Default: never.
        fresh_classifiers: Classifiers that get new weights when the stage begins: True for all of them, or
            their names; the main one is "classifier".
    """

    name: str
    step: Step
    epochs: int
    rate_factor: float = 1.0
    views: int = 1
    patience: int | None = None
    fresh_classifiers: bool | tuple[str, ...] = False


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to repeat a training.

    Attributes:
        name: Name of the recipe, hyphenated.
        preset: Name of this variant of it.
        paper: arXiv number of the paper.
        stages: Stages, in order. Each begins with a fresh optimiser.
        batch_size: Images per step, at least 2.
        optimiser: Optimiser and schedule of the learning rate.
        classifier: "cosine" or "linear".
        classifier_width: Outputs of the classifier, if more than there are base classes.
        scale: Scale of the cosine classifier. Default: 2, or 10 for more than 200 classes, as in S2M2's code.
        dropout: Dropout probability, in [0, 1), or probabilities by backbone. Default: that of the backbone.
        augment: Augmentation of training images.
        label_noise: Probability that the label of a base image is replaced by a random one, in (0, 1].
        auxiliary_classifiers: Name -> number of classes of linear classifiers beside the main one.
        overrides: Changes to the preset, such as "batch_size 64".
        code: SHA-256 of the file of a user's recipe; None for the recipes of fsbench.
        settings_for: Data set whose published settings these are. None: the same for all data sets.

    Raises:
        FsbenchError: A stage begins with a fresh classifier that the recipe does not have.
    """

    name: str
    preset: str
    paper: str
    stages: tuple[Stage, ...]
    batch_size: int
    optimiser: Optimiser = Optimiser()
    classifier: str = "cosine"
    classifier_width: int | None = None
    scale: float | None = None
    dropout: float | Mapping[str, float] | None = None
    augment: Augment = Augment()
    label_noise: float | None = None
    auxiliary_classifiers: Mapping[str, int] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    code: str | None = None
    settings_for: str | None = None

    def __post_init__(self) -> None:
        """Refuse names of classifiers that do not exist, which training would find after hours."""
        names = ("classifier", *self.auxiliary_classifiers)
        for stage in self.stages:
            for name in () if isinstance(stage.fresh_classifiers, bool) else stage.fresh_classifiers:
                if name not in names:
                    raise unknown("fresh classifier", name, names, f"stage {stage.name!r}")

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def settings(self) -> dict[str, Any]:
        """Return the recipe as plain values under the names that checkpoints store."""
        values = {_STORED.get(name, name): value for name, value in self._values().items()}
        stages = ({_STORED.get(name, name): v for name, v in stage.items()} for stage in values["stages"])
        return {**values, "stages": list(stages)}

    def text(self) -> str:
        """Describe the recipe for people, one setting per line, without what is switched off."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return "\n".join(f"{name:<13} {_text(value)}" for name, value in values.items() if value)

    def _values(self) -> dict[str, Any]:
        """Return the recipe as plain values; steps are code and have none.

        Settings of newer versions are left out where they change nothing, so that files of older versions
        have equal settings.
        """
        stages = [{name: v for name, v in vars(stage).items() if name != "step"} for stage in self.stages]
        auxiliary = dict(self.auxiliary_classifiers)
        values = {**asdict(self), "stages": stages, "auxiliary_classifiers": auxiliary}
        if not self.augment.padding:
            del values["augment"]["padding"]
        for name in ("code", "settings_for"):
            if values[name] is None:
                del values[name]
        return values


def _text(value: object) -> str:
    """Write a setting for people."""
    match value:
        case Stage(name=name) | Optimiser(name=name):
            return f"{name}: {_settings(vars(value))}"
        case Augment():
            return "off" if value == OFF else _settings(vars(value))
        case Mapping():
            return ", ".join(f"{name} {_text(number)}" for name, number in value.items())
        case float():
            return f"{value:g}"
        case tuple((Stage() | str(), *_)):
            return "; ".join(map(_text, value))
        case tuple():
            return f"({', '.join(map(_text, value))})"
    return str(value)


def _settings(values: Mapping[str, Any]) -> str:
    """Write settings that are not switched off; True stands for itself."""
    shown = {name: value for name, value in values.items() if value and name not in ("name", "step")}
    return ", ".join(name if value is True else f"{name} {_text(value)}" for name, value in shown.items())


def load_recipe(name: str, preset: str | None = None, dataset: str | None = None) -> Recipe:
    """Load a shipped recipe by its name, or a user's recipe by the path of its file.

    A recipe file is code that runs when it is loaded. What the steps of a user's file return is checked.

    Args:
        name: Name such as "manifold-mixup", or path such as "./mine.py".
        preset: Name of a preset. Default: the first one of the file.
        dataset: Data set to train on, since some presets have other settings for some data sets.

    Returns:
        The recipe.

    Raises:
        FsbenchError: The recipe, file or preset does not exist, or `PRESETS` or `VARIANTS` does not map to
            recipes.

    Example:
        >>> load_recipe("s2m2-r", "official-code").epochs
        500
        >>> load_recipe("s2m2-r", "official-code", "cub").epochs
        300
    """
    path, is_file = Path(name), name.endswith(".py")
    if not is_file:
        if (method := _EPISODIC.get(re.sub("[^a-z]", "", name.lower()))) is not None:
            raise FsbenchError(f"recipe {name}: episodic training is not included; {method}see docs/faq.md")
        if name.replace("_", "-") not in recipe_names():
            raise unknown("recipe", name, recipe_names())
        path = content_folder("baselines") / f"{name.replace('-', '_')}.py"
    if not path.is_file():
        raise FsbenchError(f"recipe {name}: file does not exist")
    presets, variants = _presets(path)
    if preset is None:
        preset = next(iter(presets))
    if preset not in presets:
        raise unknown("preset", preset, presets, f"recipe {path.stem.replace('_', '-')!r}")
    recipe = presets[preset]
    if dataset is not None:
        plain = dataset.partition("@")[0]  # NAME@SIZE is a store of NAME
        recipe = variants.get(preset, {}).get(plain, recipe)
    if not is_file:
        return recipe
    stages = tuple(replace(stage, step=_checked_step(stage, path)) for stage in recipe.stages)
    return replace(recipe, stages=stages, code=sha256_of(path))


def _presets(path: Path) -> tuple[Mapping[str, Recipe], Mapping[str, Mapping[str, Recipe]]]:
    """Run a recipe file and return its `PRESETS` and `VARIANTS`."""
    module = user_code.load_module(path, "recipe")
    presets, variants = getattr(module, "PRESETS", None), getattr(module, "VARIANTS", {})
    if not (presets and _are_recipes(presets)):
        raise FsbenchError(f"recipe {path}: PRESETS must map preset names to fsbench.training.Recipe")
    known = isinstance(variants, Mapping) and variants.keys() <= presets.keys()
    if not known or not all(map(_are_recipes, variants.values())):
        raise FsbenchError(
            f"recipe {path}: VARIANTS must map names of PRESETS to data sets to fsbench.training.Recipe"
        )
    return presets, variants


def _are_recipes(values: object) -> bool:
    """Whether a value maps names to recipes."""
    return isinstance(values, Mapping) and all(isinstance(value, Recipe) for value in values.values())


def _checked_step(stage: Stage, path: Path) -> Step:
    """Wrap the step of a stage: its errors name the file, and its loss terms are checked."""

    def step(network: Network, images: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        place = f"recipe {path}, stage {stage.name}"
        with user_code.user_errors(place):
            terms = stage.step(network, images, labels, rng)
        values = list(terms.values()) if isinstance(terms, dict) else []
        if not values or not all(isinstance(term, Tensor) and term.ndim == 0 for term in values):
            raise FsbenchError(
                f"{place}: must return loss terms, name -> scalar tensor, but returned {terms!r:.80}"
            )
        return terms

    return step
