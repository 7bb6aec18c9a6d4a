"""The preset `fast`: the losses of a recipe with an optimiser schedule that takes minutes instead of days.

S2M2 trains 400 epochs or more with Adam at a constant learning rate. `fast` uses SGD with Nesterov momentum,
a learning rate that rises and then falls to 0 along a cosine, weight decay, a larger scale of the cosine
classifier, and milder crops and colour changes. The numbers were chosen on val classes: results/tuning/ has
the log.
"""

from collections.abc import Sequence
from dataclasses import replace

from fsbench.data.augment import Augment
from fsbench.training.optim import Optimiser
from fsbench.training.recipe import Recipe, Stage

OPTIMISER = Optimiser("sgd", learning_rate=0.1, weight_decay=1e-3, nesterov=True, warm_up=0.1, cosine=True)
AUGMENT = Augment(scale=(0.35, 1.0), jitter=0.2)
SCALE = 10.0  # of the cosine classifier
BATCH_SIZE = 64
EPOCHS = 40  # of a recipe with one stage


def fast_preset(paper: Recipe, stages: Sequence[Stage]) -> Recipe:
    """Make the preset `fast` of a recipe.

    Args:
        paper: Preset with the recipe's name, paper, classifier and auxiliary classifiers.
        stages: Stages to train, with their epochs.

    Returns:
        The preset.
    """
    return replace(
        paper,
        preset="fast",
        stages=tuple(stages),
        batch_size=BATCH_SIZE,
        optimiser=OPTIMISER,
        scale=SCALE,
        augment=AUGMENT,
    )
