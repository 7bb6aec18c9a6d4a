"""Overrides: settings of a recipe that a user replaces."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack, get_type_hints

from fsbench._util.arguments import convert
from fsbench._util.errors import FsbenchError, unknown
from fsbench.data.augment import OFF
from fsbench.training.recipe import Recipe, Stage


class Overrides(TypedDict, total=False):
    """Arguments of `resolve`, in the order in which they are recorded."""

    epochs: int | Sequence[int] | None
    batch_size: int | None
    learning_rate: float | None
    patience: int | None
    classifier: str | None
    dropout: float | None
    augment: bool
    label_noise: float | None


def resolve(recipe: Recipe, **overrides: Unpack[Overrides]) -> Recipe:
    """Replace settings of a recipe; an override that is None keeps the recipe's setting.

    Args:
        recipe: A preset, as `load_recipe` returns it.
        **overrides: `epochs` (one number per stage, or one for all, which is divided in proportion),
            `batch_size` (at least 2), `learning_rate` (above 0), `patience` (at least 1, of the stages with
            early stopping), `classifier` ("cosine" or "linear"), `dropout` (in [0, 1)), `augment` (False
            trains on plain images), `label_noise` (in (0, 1]).

    Returns:
        The recipe with these settings; its `overrides` name the changes.

    Raises:
        FsbenchError: An override is unknown, of another type or out of range, or the numbers of epochs do not
            fit the stages.

    Example:
        >>> from fsbench.training.recipe import load_recipe
        >>> resolve(load_recipe("s2m2-r", "paper"), epochs=[50]).overrides
        ('epochs 40 + 10',)
    """
    names = Overrides.__annotations__
    for name in overrides:
        if name not in names:
            raise unknown("override of a recipe", name, names)
    kinds = get_type_hints(Overrides)
    values: dict[str, Any] = {
        name: convert(name, overrides[name], kinds[name])  # type: ignore[literal-required]
        for name in names
        if overrides.get(name) is not None
    }
    changes = dict(values)
    if values.pop("augment", True):
        changes.pop("augment", None)
    else:
        changes["augment"] = "off"
        recipe = replace(recipe, augment=OFF)
    if "epochs" in values:
        total = values.pop("epochs")
        epochs = _epochs_per_stage([total] if isinstance(total, int) else total, recipe)
        changes["epochs"] = " + ".join(map(str, epochs))
        stages = zip(recipe.stages, epochs, strict=True)
        recipe = replace(recipe, stages=tuple(replace(stage, epochs=n) for stage, n in stages))
    if "patience" in values:
        recipe = _with_patience(recipe, values.pop("patience"))
    if "learning_rate" in values:
        recipe = replace(
            recipe, optimiser=replace(recipe.optimiser, learning_rate=values.pop("learning_rate"))
        )
    recipe = replace(recipe, **values)  # the remaining ones are fields of `Recipe` with the same name
    _check(recipe)
    return replace(recipe, overrides=tuple(f"{name} {value}" for name, value in changes.items()))


def _epochs_per_stage(epochs: Sequence[int], recipe: Recipe) -> Sequence[int]:
    """Return one number of epochs per stage; a single number is divided among several stages."""
    stages = recipe.stages
    names = ", ".join(stage.name for stage in stages)
    if len(epochs) == 1 < len(stages):
        if epochs[0] < len(stages):
            raise FsbenchError(
                f"--epochs must be at least {len(stages)} for {recipe.name}, one for each stage ({names}), "
                f"but is {epochs[0]}"
            )
        return _divided(epochs[0], stages)
    if len(epochs) != len(stages):
        raise FsbenchError(
            f"--epochs must have one number, or one for each stage of {recipe.name} ({names}), "
            f"but has {len(epochs)}"
        )
    return epochs


def _divided(epochs: int, stages: Sequence[Stage]) -> list[int]:
    """Divide epochs in proportion to those of the stages, at least one each; the first gets the remainder."""
    later = [max(1, round(epochs * stage.epochs / sum(s.epochs for s in stages))) for stage in stages[1:]]
    while sum(later) >= epochs:
        later[later.index(max(later))] -= 1
    return [epochs - sum(later), *later]


def _with_patience(recipe: Recipe, patience: int) -> Recipe:
    """Replace the patience of the stages that use early stopping."""
    if all(stage.patience is None for stage in recipe.stages):
        raise FsbenchError(
            f"--patience has no effect: no stage of recipe {recipe.name!r} uses early stopping"
        )
    stages = (
        stage if stage.patience is None else replace(stage, patience=patience) for stage in recipe.stages
    )
    return replace(recipe, stages=tuple(stages))


def _check(recipe: Recipe) -> None:
    """Refuse settings that are out of range."""
    for stage in recipe.stages:
        _at_least("epochs", stage.epochs, 1)
        _at_least("patience", 1 if stage.patience is None else stage.patience, 1)
    _at_least("batch_size", recipe.batch_size, 2)  # batch norm needs two images
    rate, dropout = recipe.optimiser.learning_rate, recipe.dropout
    dropouts = dropout.values() if isinstance(dropout, Mapping) else [dropout or 0.0]
    if not 0 < rate < math.inf:
        raise FsbenchError(f"learning_rate must be above 0, but is {rate}")
    if not all(0 <= probability < 1 for probability in dropouts):
        raise FsbenchError(f"dropout must be in [0, 1), but is {dropout}")
    if recipe.label_noise is not None and not 0 < recipe.label_noise <= 1:
        raise FsbenchError(f"label_noise must be in (0, 1], but is {recipe.label_noise}")


def _at_least(name: str, value: int, least: int) -> None:
    """Refuse a value below a minimum."""
    if value < least:
        raise FsbenchError(f"{name} must be at least {least}, but is {value}")
