"""The main job in one call, on embedded synthetic images: train, evaluate in two domains, rank."""

from pathlib import Path

import torch

from fsbench._util.session import Session
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.report import leaderboard
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

SOURCE, TARGETS = "glyphs", ("glyphs", "glyphs-fine")
# Without rotation and S2M2-R: a random figure has no upright, so nothing can tell by what it was turned.
RECIPES = ("erm", "mixup", "manifold-mixup")
EPOCHS, BATCH_SIZE = 3, 64  # what two CPU cores train in some minutes; far from where recipes converge


def quickstart(out: Path, *, device: torch.device, cache: Path | None = None, quiet: bool = False) -> Path:
    """Train the recipes on `glyphs`, evaluate them there and on `glyphs-fine`, write the leaderboard.

    Everything lies below `out`; what is there already is not done again. Returns the leaderboard's path.

    Raises:
        FsbenchError: a file cannot be written.
    """
    results = out / "results"
    for name in RECIPES:
        recipe = resolve(load_recipe(name), epochs=[EPOCHS], batch_size=BATCH_SIZE)
        run = train_backbone(
            recipe, TrainingSpec(SOURCE), out=out / "runs" / name, session=Session(cache, device, quiet=quiet)
        )
        evaluate(
            run.best,
            heads=("nearest-mean", "logistic"),
            images=Images(TARGETS),
            session=Session(cache, device, quiet),
            output=Output(results),
        )
    return leaderboard.update(results, None, published="none")[0]
