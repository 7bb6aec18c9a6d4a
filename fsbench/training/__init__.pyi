from . import losses as losses
from .fast import fast_preset as fast_preset
from .loop import Session as Session
from .loop import train_backbone as train_backbone
from .optim import Optimiser as Optimiser
from .overrides import resolve as resolve
from .precision import ComputeSettings as ComputeSettings
from .precision import choose_compute as choose_compute
from .recipe import Recipe as Recipe
from .recipe import Stage as Stage
from .recipe import Step as Step
from .recipe import load_recipe as load_recipe
from .recipe import recipe_names as recipe_names
from .run import Run as Run
from .run import TrainingSpec as TrainingSpec
from .run import run_name as run_name

__all__ = [
    "ComputeSettings",
    "Optimiser",
    "Recipe",
    "Run",
    "Session",
    "Stage",
    "Step",
    "TrainingSpec",
    "choose_compute",
    "fast_preset",
    "load_recipe",
    "losses",
    "recipe_names",
    "resolve",
    "run_name",
    "train_backbone",
]
