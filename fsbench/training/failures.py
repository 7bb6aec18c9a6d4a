"""Checks that a run is still sound, and how its failures are worded."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.training.recipe import Stage
from fsbench.training.run import Run


def check_losses(run: Run, stage: Stage, epoch: int, step: int, losses: Sequence[Tensor]) -> None:
    """Refuse a loss that is not finite; `losses` are those of the latest steps, up to `step`.

    Raises:
        FsbenchError: One is not; the message names its step.
    """
    values = torch.stack(tuple(losses)).tolist()
    for number, loss in enumerate(values, step + 1 - len(values)):
        if not math.isfinite(loss):
            raise FsbenchError(f"loss is {loss} in {place(stage, epoch, number)}; {kept(run, stage, epoch)}")


def check_weights(run: Run, stage: Stage, epoch: int) -> None:
    """Refuse weights that are not finite: no loss has been computed with those of the last step.

    Raises:
        FsbenchError: One is not.
    """
    weights = run.network.state_dict().values()
    if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
        raise FsbenchError(
            f"weights are not finite after stage {stage.name}, epoch {epoch + 1}; {kept(run, stage, epoch)}"
        )


def place(stage: Stage, epoch: int, step: int) -> str:
    """Name a place in the loop; people count epochs and steps from 1."""
    return f"stage {stage.name}, epoch {epoch + 1}, step {step + 1}"


def kept(run: Run, stage: Stage, epoch: int) -> str:
    """Say what is left of a run that fails in this epoch; the same command continues from there."""
    if epoch == 0 and stage is run.recipe.stages[0]:
        return "nothing was kept"
    return f"the last good checkpoint is {run.last}"
