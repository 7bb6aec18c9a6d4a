"""The workflow in one call, on embedded synthetic images: train, evaluate in two domains, rank."""

from pathlib import Path

from fsbench._util.session import Session
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.report import leaderboard
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

SOURCE, TARGETS = "glyphs", ("glyphs", "glyphs-fine")
# Without rotation and S2M2-R: random figures have no upright orientation, so rotations cannot be predicted.
RECIPES = ("erm", "mixup", "manifold-mixup")
EPOCHS, BATCH_SIZE = 3, 64  # some minutes on two CPU cores; far too few epochs to converge


def quickstart(out: Path, session: Session) -> Path:
    """Train the recipes on `glyphs`, evaluate them there and on `glyphs-fine`, and write the leaderboard.

    Args:
        out: Folder of all output. Finished steps in it are not repeated.
        session: Cache, device and progress.

    Returns:
        The path of the leaderboard.

    Raises:
        FsbenchError: A file cannot be written, or there is too little memory.
    """
    results = out / "results"
    for name in RECIPES:
        recipe = resolve(load_recipe(name), epochs=[EPOCHS], batch_size=BATCH_SIZE)
        run = train_backbone(recipe, TrainingSpec(SOURCE), out=out / "runs" / name, session=session)
        evaluate(
            run.best,
            heads=("nearest-mean", "logistic"),
            images=Images(TARGETS),
            session=session,
            output=Output(results),
        )
    return leaderboard.update(results, None, published="none")[0]
