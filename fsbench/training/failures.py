"""Checks of losses and weights during training, and the wording of failures."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.training.recipe import Stage
from fsbench.training.run import Run


def check_losses(run: Run, stage: Stage, epoch: int, step: int, losses: Sequence[Tensor]) -> None:
    """Check that the losses of the latest steps, up to `step`, are finite.

    Raises:
        FsbenchError: A loss is not finite; the message names its step.
    """
    values = torch.stack(tuple(losses)).tolist()
    for number, loss in enumerate(values, step + 1 - len(values)):
        if not math.isfinite(loss):
            place = place_text(stage, epoch, number)
            raise FsbenchError(f"loss is {loss} in {place}; {kept_text(run, stage, epoch)}")


def check_weights(run: Run, stage: Stage, epoch: int) -> None:
    """Check that the weights after an epoch are finite; the losses do not show the effect of the last step.

    Raises:
        FsbenchError: A weight is not finite.
    """
    weights = run.network.state_dict().values()
    if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
        place = f"stage {stage.name}, epoch {epoch + 1}"
        raise FsbenchError(f"weights are not finite after {place}; {kept_text(run, stage, epoch)}")


def place_text(stage: Stage, epoch: int, step: int) -> str:
    """Describe a place in the loop, with epochs and steps counted from 1."""
    return f"stage {stage.name}, epoch {epoch + 1}, step {step + 1}"


def kept_text(run: Run, stage: Stage, epoch: int) -> str:
    """Describe what is kept of a run that fails in this epoch; the same command continues from there."""
    if epoch == 0 and stage is run.recipe.stages[0]:
        return "nothing was kept"
    return f"the last good checkpoint is {run.last}"
