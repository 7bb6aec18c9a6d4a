"""The workflow in one call, on synthetic images that fsbench draws: train, evaluate in two domains, rank."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fsbench._util.session import Session
from fsbench.evaluation.result import Result
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.report import leaderboard
from fsbench.report.measured import of_result
from fsbench.stats.all_pairs import compare_pairs
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

SOURCE, TARGETS = "glyphs", ("glyphs", "glyphs-fine")
EPOCHS = 120
RECIPES = {  # epochs of each stage
    "erm": [EPOCHS],
    "mixup": [EPOCHS],
    "manifold-mixup": [EPOCHS],
    "s2m2-r": [EPOCHS // 4, EPOCHS - EPOCHS // 4],
}
PER_CLASS = 10  # few images and many epochs: what mixing and rotation are made for
SHOTS = (1, 5)
NEEDS_EPOCHS = (
    " s2m2-r needs more epochs than these: on CIFAR-FS with 20 images per class, it is behind erm after 25 "
    "epochs and ahead after 400."
)
HEAD = "nearest-mean"
COLUMNS = tuple(f"{dataset}\n{n_shot}-shot" for dataset in TARGETS for n_shot in SHOTS)
PLAN = f"""\
fsbench quickstart: {", ".join(RECIPES)} on synthetic images that fsbench draws.
Each trains Conv4 for {EPOCHS} epochs on {PER_CLASS} images of each of 64 base classes, and is evaluated
on 10,000 tasks of 20 new classes of {SOURCE} and of {TARGETS[1]}, another domain.
This takes four to twelve minutes on two CPU cores. Output: {{out}}/"""


@dataclass(frozen=True)
class Outcome:
    """What the quickstart has made.

    Attributes:
        accuracies: A row per recipe: its name, then the accuracy in % in each of `COLUMNS`.
        finding: What the results show, in one or two sentences.
        board: Path of the leaderboard in Markdown.
    """

    accuracies: Sequence[Sequence[str]]
    finding: str
    board: Path


def quickstart(out: Path, session: Session) -> Outcome:
    """Train the recipes on `glyphs`, evaluate them there and on `glyphs-fine`, and write the leaderboard.

    Args:
        out: Folder of all output. Finished steps in it are not repeated.
        session: Cache, device and progress.

    Returns:
        A summary of the results, and the path of the leaderboard.

    Raises:
        FsbenchError: A file cannot be written, or there is too little memory.
    """
    _say(PLAN.format(out=out), session)
    # A log needs a line per recipe, not one per epoch.
    work = session if sys.stderr.isatty() else replace(session, quiet=True)
    folder, results = out / "results", []
    for number, (name, epochs) in enumerate(RECIPES.items(), 1):
        _say(f"[{number}/{len(RECIPES)}] {name}: train and evaluate", session)
        run = train_backbone(
            resolve(load_recipe(name, "fast"), epochs=epochs),
            TrainingSpec(SOURCE, per_class=PER_CLASS),
            out=out / "runs" / name,
            session=work,
        )
        results += evaluate(
            run.best,
            tasks=[TaskSpec(n_shot=n_shot) for n_shot in SHOTS],
            heads=(HEAD, "logistic"),
            images=Images(TARGETS),
            session=work,
            output=Output(folder),
        )
    board = leaderboard.update(folder, None, published="none")[0]
    return Outcome(_accuracies(results), finding(results), board)


def _accuracies(results: Sequence[Result]) -> list[list[str]]:
    """Format the accuracies of `HEAD`: a row per recipe, a column per data set and number of shots."""
    rows = []
    for recipe in RECIPES:
        row = [recipe]
        for dataset in TARGETS:
            for n_shot in SHOTS:
                outcome = _find(results, recipe, dataset, n_shot).outcome
                row.append(f"{100 * outcome.accuracy:.1f} ± {100 * outcome.half_width:.1f}")
        rows.append(row)
    return rows


def finding(results: Sequence[Result]) -> str:
    """Describe how the best recipe and S2M2-R differ from ERM at 5 shots on new glyphs."""
    by_recipe = {recipe: _find(results, recipe, SOURCE, 5) for recipe in RECIPES}
    late = by_recipe["s2m2-r"].outcome.accuracy < by_recipe["erm"].outcome.accuracy
    return f"{_best(by_recipe)}{NEEDS_EPOCHS * late}"


def _best(by_recipe: Mapping[str, Result]) -> str:
    """Describe how the best recipe differs from ERM.

    Machines and numbers of threads round differently, which changes accuracies by up to 5 points.
    """
    erm, best = by_recipe["erm"], max(by_recipe.values(), key=lambda result: result.outcome.accuracy)
    if best is erm:
        return f"With {PER_CLASS} images per class, no recipe is ahead of erm at 5 shots."
    pairs = compare_pairs([of_result(best), of_result(erm)])
    difference = 100 * pairs.difference[0, 1]
    over = {key: 100 * interval.half_width[0, 1] for key, interval in pairs.over.items()}
    tasks, classes = over["tasks"], over["classes"]
    return (
        f"With {PER_CLASS} images per class, {best.model.recipe} is {difference:.1f} points ahead of erm at "
        f"5 shots (± {tasks:.1f} over tasks, ± {classes:.1f} over new classes; one training seed on this "
        "machine)."
    )


def _find(results: Sequence[Result], recipe: str, dataset: str, n_shot: int) -> Result:
    """Return the result of a recipe with `HEAD`."""
    return next(
        result
        for result in results
        if (result.model.recipe, result.data.dataset, result.spec.n_shot, result.head.name)
        == (recipe, dataset, n_shot, HEAD)
    )


def _say(text: str, session: Session) -> None:
    """Print text on stderr, unless the session is quiet."""
    if not session.quiet:
        print(text, file=sys.stderr, flush=True)
