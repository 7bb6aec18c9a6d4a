"""The preset `fast`: the losses of a recipe with an optimisation for minutes of training instead of days.

S2M2 trains 400 epochs or more with Adam at a constant learning rate. `fast` takes SGD with Nesterov momentum,
a learning rate that rises and then falls to 0 along a cosine, weight decay, a larger scale of the cosine
classifier, and milder crops and colours. results/tuning says what was chosen on val classes, and how.
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
EPOCHS = 40  # of a recipe of one stage


def fast(paper: Recipe, stages: Sequence[Stage]) -> Recipe:
    """The preset `fast` of a recipe.

    Args:
        paper: The preset that the name of the recipe, its paper and its extra heads are taken from.
        stages: The stages to train, with their epochs.
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
