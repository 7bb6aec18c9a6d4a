"""Run again what a result file says, and compare."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsbench import stats
from fsbench._util import user_code
from fsbench._util.errors import FsbenchError
from fsbench._util.files import sha256_of
from fsbench._util.session import Session
from fsbench.evaluation import results
from fsbench.evaluation.results import Result
from fsbench.evaluation.run import Output, evaluate
from fsbench.training.loop import train_backbone
from fsbench.training.precision import Engine
from fsbench.training.recipe import Recipe, load_recipe, resolve

_PARSE: dict[str, Callable[[str], Any]] = {
    "epochs": lambda text: [int(number) for number in text.split(" + ")],
    "batch_size": int,
    "learning_rate": float,
    "patience": int,
    "classifier": str,
    "dropout": float,
    "augment": lambda text: text != "off",
    "label_noise": float,
}


@dataclass(frozen=True)
class Reproduction:
    """A result and the one that the same question has now."""

    before: Result
    now: Result
    difference: float  # now minus before, 0..1
    half_width: float  # of the difference, over tasks
    same_tasks: bool
    same_answers: bool  # every task's score is the same

    def line(self) -> str:
        """The outcome for people, on one line."""
        tasks = "the same tasks" if self.same_tasks else "OTHER TASKS"
        scores = "every task scores the same" if self.same_answers else "tasks score differently"
        return (
            f"{100 * self.before.accuracy:.2f} before, {100 * self.now.accuracy:.2f} now, difference "
            f"{100 * self.difference:+.2f} ± {100 * self.half_width:.2f} points; {tasks}; {scores}"
        )


def reproduce(
    path: Path,
    *,
    checkpoint: Path | None = None,
    head: str | None = None,
    out: Path = Path("reproduced"),
    session: Session,
) -> Reproduction:
    """Train and evaluate again what the result file says, below `out`, and compare the scores task by task.

    With `checkpoint` nothing is trained: its evaluation alone is run again, and it must be the file that the
    result names. A result may name a file of code as its head; it runs only if `head` names it, too.

    Raises:
        FsbenchError: no result file, one that does not say how its backbone was trained, a checkpoint that
            is another one, or a head whose code nobody asked to run.
    """
    before = results.read(path)
    if user_code.is_reference(before.head) and head != before.head:
        raise FsbenchError(
            f"{path}: its head is code, which runs only if you name it, too: --head {before.head}"
        )
    if checkpoint is None:
        checkpoint = _trained(path, before, out, session)
    elif sha256_of(checkpoint) != before.checkpoint:
        raise FsbenchError(f"--checkpoint {checkpoint}: is not the one that {path} was made with")
    (now,) = evaluate(
        checkpoint,
        specs=[before.spec],
        datasets=[before.dataset],
        split=before.split,
        heads=[before.head],
        preprocess=[before.preprocess],
        session=session,
        output=Output(out / "results"),
    )
    same_tasks = now.task_identity == before.task_identity and now.task_digest == before.task_digest
    if same_tasks:
        difference, half_width = stats.mean_and_half_width(now.accuracies - before.accuracies)
    else:
        difference, half_width = now.accuracy - before.accuracy, now.half_width + before.half_width
    return Reproduction(before, now, difference, half_width, same_tasks, now.correct == before.correct)


def recipe_of(result: Result) -> Recipe:
    """The resolved recipe that a result's backbone was trained with.

    Raises:
        FsbenchError: the result does not say, or its recipe is not at hand.
    """
    if result.recipe is None or result.preset is None:
        raise FsbenchError(f"{result.path}: does not say how its backbone was trained; name a --checkpoint")
    if result.recipe.endswith(".py"):  # a name that a file of code would be run for
        raise FsbenchError(f"{result.path}: recipe must be the name of one, but is {result.recipe}")
    changed = {}
    for part in filter(None, (result.overrides or "").split(", ")):
        name, _, value = part.partition(" ")
        try:
            changed[name] = _PARSE[name](value)
        except (KeyError, ValueError) as error:
            raise FsbenchError(f"{result.path}: overrides hold {part!r}, which no recipe has") from error
    return resolve(load_recipe(result.recipe, result.preset), **changed)


def _trained(path: Path, before: Result, out: Path, session: Session) -> Path:
    """The checkpoint of the same training, run again."""
    recipe = recipe_of(before)
    if before.source is None or before.backbone is None or before.train_seed is None:
        raise FsbenchError(f"{path}: does not say how its backbone was trained; name a --checkpoint")
    run = train_backbone(
        recipe,
        before.source,
        before.backbone,
        image_size=before.image_size,
        per_class=before.per_class,
        seed=before.train_seed,
        engine=Engine(before.precision or "float32"),
        out=out / "runs" / before.run,
        cache=session.cache,
        device=session.device,
        quiet=session.quiet,
    )
    if run.provenance.source_fingerprint != before.source_fingerprint:
        raise FsbenchError(f"data set {before.source}: its images are not those that {path} was trained on")
    return run.best
