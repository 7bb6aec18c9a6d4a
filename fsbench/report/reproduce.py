"""Reproduce a result file: repeat training and evaluation, and compare the two results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from msgspec import ValidationError, convert

from fsbench import stats
from fsbench._util import user_code
from fsbench._util.errors import FsbenchError
from fsbench._util.files import sha256_of
from fsbench._util.session import Session
from fsbench._util.settings import joined
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.heads import find_head
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import Overrides, resolve
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import Recipe, load_recipe
from fsbench.training.run import TrainingSpec


@dataclass(frozen=True)
class Reproduction:
    """A result, and a new result of the same question.

    Attributes:
        before: The result of the file.
        now: The new result.
        difference: New minus old accuracy, -1 to 1.
        half_width: 95 % half width of the difference over tasks.
        same_tasks: Whether both are over the same tasks.
        same_answers: Whether every task has the same score.
    """

    before: Result
    now: Result
    difference: float
    half_width: float
    same_tasks: bool
    same_answers: bool

    def line(self) -> str:
        """Describe both accuracies and their difference in one line."""
        tasks = "the same tasks" if self.same_tasks else "OTHER TASKS"
        scores = "every task scores the same" if self.same_answers else "tasks score differently"
        return (
            f"{100 * self.before.outcome.accuracy:.2f} before, {100 * self.now.outcome.accuracy:.2f} now, "
            f"difference {100 * self.difference:+.2f} ± {100 * self.half_width:.2f} points; {tasks}; {scores}"
        )


def reproduce(
    path: Path,
    *,
    checkpoint: Path | None = None,
    head: str | None = None,
    out: Path = Path("reproduced"),
    session: Session,
) -> Reproduction:
    """Repeat the training and evaluation that a result file describes, and compare the scores task by task.

    Args:
        path: The result file.
        checkpoint: Checkpoint of the result; if given, only the evaluation is repeated.
        head: Head of the result; required if it is user code, which runs only if it is named here.
        out: Folder of new runs and results.
        session: Cache, device and progress.

    Returns:
        Both results and their difference.

    Raises:
        FsbenchError: The file is not a result or does not state how its backbone was trained, the checkpoint
            or the head is another one, or the head is user code that was not named.
    """
    before = result_files.read(path)
    recorded = before.head
    if head not in (recorded.name, recorded.text):
        if user_code.is_reference(recorded.name):
            raise FsbenchError(
                f"{path}: its head is user code, which runs only if you name it: --head {recorded.name}"
            )
        if head is not None:
            raise FsbenchError(f"--head {head}: is not the head of {path}, which is {recorded.text}")
    if checkpoint is None:
        checkpoint = _train(path, before, out, session)
    elif sha256_of(checkpoint) != before.model.checkpoint:
        raise FsbenchError(f"--checkpoint {checkpoint}: is not the checkpoint of {path}")
    (now,) = evaluate(
        checkpoint,
        [before.spec],
        [joined(recorded.name, {**find_head(recorded.name).defaults, **recorded.settings})],
        preprocess=[recorded.preprocess],
        images=Images([before.data.dataset], before.data.split),
        session=session,
        output=Output(out / "results"),
    )
    same_tasks = (
        now.task_identity == before.task_identity and now.outcome.task_digest == before.outcome.task_digest
    )
    if same_tasks:
        difference, half_width = stats.mean_and_half_width(now.accuracies - before.accuracies)
    else:
        difference, half_width = (
            now.outcome.accuracy - before.outcome.accuracy,
            now.outcome.half_width + before.outcome.half_width,
        )
    return Reproduction(
        before, now, difference, half_width, same_tasks, now.outcome.correct == before.outcome.correct
    )


def recipe_of(result: Result) -> Recipe:
    """Resolve the recipe of a result.

    Args:
        result: The result.

    Returns:
        The preset of the recipe, with its overrides.

    Raises:
        FsbenchError: The result does not name a recipe, or it does not exist in this version.
    """
    model = result.model
    if model.recipe is None or model.preset is None:
        raise FsbenchError(f"{result.path}: does not state how its backbone was trained; name a --checkpoint")
    if model.recipe.endswith(".py"):  # loading would run the file
        raise FsbenchError(f"{result.path}: recipe must be a name, but is the file {model.recipe}")
    changes: dict[str, Any] = {}
    for part in filter(None, (model.overrides or "").split(", ")):
        name, _, text = part.partition(" ")
        try:
            changes[name] = _override(name, text)
        except (KeyError, ValidationError) as error:
            raise FsbenchError(f"{result.path}: overrides contain {part!r}, which no recipe has") from error
    return resolve(load_recipe(model.recipe, model.preset, model.source), **changes)


def _override(name: str, text: str) -> Any:
    """Parse the value of an override from the text that `resolve` records."""
    kind = get_type_hints(Overrides)[name]
    recorded = {"epochs": text.split(" + "), "augment": text != "off"}.get(name, text)
    if recorded == "null":  # None would keep the setting of the recipe
        raise ValidationError(f"{name} must have a value")
    return convert(recorded, kind, strict=False)


def _train(path: Path, before: Result, out: Path, session: Session) -> Path:
    """Repeat the training of a result and return its best checkpoint."""
    recipe, model = recipe_of(before), before.model
    if model.source is None or model.backbone is None or model.train_seed is None:
        raise FsbenchError(f"{path}: does not state how its backbone was trained; name a --checkpoint")
    run = train_backbone(
        recipe,
        TrainingSpec(
            model.source,
            model.backbone,
            image_size=model.image_size,
            per_class=model.per_class,
            seed=model.train_seed,
        ),
        out=out / "runs" / model.run,
        compute=ComputeSettings(model.precision or "float32", micro_batch=model.micro_batch),
        session=session,
    )
    if run.provenance.source_fingerprint != model.source_fingerprint:
        raise FsbenchError(f"data set {model.source}: its images are not those that {path} was trained on")
    return run.best
