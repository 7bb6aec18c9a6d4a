"""Plans: which trainings and evaluations a campaign makes, in which order, and which of them are done.

    [[evaluate]]                      # flags of `fsbench evaluate`, for every entry without its own
    dataset = ["cifar-fs", "omniglot"]
    head = ["nearest-mean", "logistic"]

    [[entry]]                         # flags of `fsbench train-backbone`
    seed = [0, 1]
    recipe = ["erm", "rotation"]
    dataset = "cifar-fs"
    image-size = 32
    keep-checkpoint = true            # commit the best checkpoint and the log, too: results/checkpoints/<run>

A list is a loop. The loops are nested in the order in which the keys are written, the first one outermost:
here both recipes are trained with seed 0 before one is trained with seed 1. A list in a list is one value of
a flag that takes several (`epochs = [[4, 2]]`). Entries are worked through in order, so the most valuable one
stands first. In `evaluate` lists are not loops: one call takes all of them.

A run is done when the result files answer all its questions. Checkpoints do not count: a new machine has only
what is committed.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import reason
from fsbench.cli import app
from fsbench.cli._app import parse
from fsbench.cli.train_backbone import resolved
from fsbench.evaluation import results
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.result import Result
from fsbench.heads import find_head
from fsbench.tasks.sampler import SAMPLER
from fsbench.tasks.spec import TaskSpec
from fsbench.training.recipe import Recipe

_KEYS = ("entry", "evaluate", "keep-checkpoint")
# Flags that the campaign sets itself, or that say nothing of a result.
_REFUSED = frozenset({"help", "out", "force", "json", "quiet", "config", "device", "cache", "tensorboard"})
# Flags of `fsbench evaluate` that name other questions than those of a plan.
_NOT_ASKED = frozenset({"details", "plot", "tasks", "base", "backbone", "image-size"})


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a result answers: equal for two results only if they belong in the same place of a table."""

    recipe: str | None
    preset: str | None
    overrides: str | None
    epochs: int | None
    per_class: int | None  # base images per class; None: all
    source: str | None
    backbone: str | None
    image_size: int | None
    train_seed: int | None
    precision: str | None  # None: any
    dataset: str
    split: str
    sampler: str
    tasks: TaskSpec  # but for their number
    head: str
    preprocess: str


@dataclass(frozen=True)
class Evaluation:
    """One call of `fsbench evaluate`."""

    datasets: tuple[str, ...]
    flags: tuple[str, ...]  # the other flags


@dataclass(frozen=True, eq=False)
class Run:
    """One training and its evaluations."""

    name: str  # of its folder, from all of its flags
    source: str
    flags: tuple[str, ...]  # of `fsbench train-backbone`, the recipe first
    evaluations: tuple[Evaluation, ...]
    questions: Mapping[Question, int]  # and the number of tasks
    keep_checkpoint: bool


def read(path: Path) -> list[Run]:
    """The runs of a plan file, in order.

    Raises:
        FsbenchError: no such file, not TOML, or a key or value that `fsbench` does not take.
    """
    try:
        plan = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FsbenchError(f"cannot read plan {path}: {reason(error)}") from error
    except ValueError as error:
        raise FsbenchError(f"plan {path}: not a TOML file ({error})") from error
    for key in plan.keys() - set(_KEYS):
        raise unknown("key", key, _KEYS, f"plan {path}")
    entries = _tables(f"plan {path}: entry", plan.get("entry", []))
    if not entries:
        raise FsbenchError(f"plan {path}: has no [[entry]]")
    usual = {key: plan[key] for key in _KEYS[1:] if key in plan}
    runs: list[Run] = []
    for number, entry in enumerate(entries, 1):
        try:
            runs += _runs({**usual, **entry})
        except FsbenchError as error:
            raise FsbenchError(f"plan {path}, entry {number}: {error}") from error
    return runs


def answers(folder: Path) -> dict[Question, int]:
    """The questions that result files below a folder answer, and the most tasks of an answer."""
    found: dict[Question, int] = {}
    for result in results.read_all(folder) if folder.is_dir() else ():
        question = question_of(result)
        for asked in (question, replace(question, precision=None)):
            found[asked] = max(result.spec.n_tasks, found.get(asked, 0))
    return found


def question_of(result: Result) -> Question:
    """The question that a result answers."""
    tasks = replace(result.spec, n_tasks=2)
    names = [field.name for field in fields(Question) if field.name != "tasks"]
    flat = flatten(result)
    return Question(tasks=tasks, **{name: flat[name] for name in names})


def unanswered(run: Run, known: Mapping[Question, int]) -> list[Question]:
    """The questions of a run that no result answers with as many tasks."""
    return [question for question, n_tasks in run.questions.items() if known.get(question, 0) < n_tasks]


def _runs(entry: dict[str, Any]) -> Iterator[Run]:
    """The runs of one entry."""
    evaluations = _tables("evaluate", entry.pop("evaluate", [{}]))
    keep = entry.pop("keep-checkpoint", False)
    if not isinstance(keep, bool):
        raise FsbenchError(f"keep-checkpoint must be true or false, but is {keep!r}")
    for key in ("recipe", "image-size"):  # result files are compared by what they say, and so must plans
        if key not in entry:
            raise FsbenchError(f"{key} is missing")
    for key, value in entry.items():
        if value == []:
            raise FsbenchError(f"{key} must have a value, but is []")
    loops = [value if isinstance(value, list) else [value] for value in entry.values()]
    for values in product(*loops):
        yield _run(dict(zip(entry, values, strict=True)), evaluations, keep)


def _run(flags: dict[str, Any], evaluations: Sequence[dict[str, Any]], keep: bool) -> Run:
    others = {key: value for key, value in flags.items() if key != "recipe"}
    arguments = [str(flags["recipe"]), *_typed(others, _REFUSED)]
    training = _parsed("train-backbone", *arguments)
    recipe = resolved(str(flags["recipe"]), training.images, training.model, training.training)
    questions: dict[Question, int] = {}
    calls = []
    for table in evaluations:
        evaluation = _parsed("evaluate", "checkpoint", *_typed(table, _REFUSED | _NOT_ASKED))
        datasets = evaluation.tasks.dataset or (training.images.dataset,)
        rest = {key: value for key, value in table.items() if key != "dataset"}
        calls.append(Evaluation(datasets, tuple(_typed(rest, _REFUSED | _NOT_ASKED))))
        questions |= _questions(recipe, training, evaluation, datasets)
    return Run(
        name=_name(recipe, training, others),
        source=training.images.dataset,
        flags=tuple(arguments),
        evaluations=tuple(calls),
        questions=questions,
        keep_checkpoint=keep,
    )


@cache
def _parsed(*words: str) -> SimpleNamespace:
    """The parameters of a command, as its function would get them."""
    return SimpleNamespace(**parse(app, words).arguments)


def _questions(
    recipe: Recipe, training: SimpleNamespace, evaluation: SimpleNamespace, datasets: Sequence[str]
) -> Iterator[tuple[Question, int]]:
    """Each question of one evaluation, with its number of tasks."""
    images, model, numbers = training.images, training.model, training.training
    for dataset, head, spec in product(datasets, evaluation.heads.head, evaluation.tasks.specs()):
        for preprocess in evaluation.heads.preprocess or [find_head(head).preprocess]:
            question = Question(
                recipe=recipe.name,
                preset=recipe.preset,
                overrides=", ".join(recipe.overrides),
                epochs=recipe.epochs,
                per_class=images.per_class,
                source=stored_name(images.dataset),
                backbone=model.backbone,
                image_size=model.image_size,
                train_seed=numbers.seed,
                precision=None if numbers.precision == "auto" else numbers.precision,
                dataset=stored_name(dataset),
                split=evaluation.tasks.split,
                sampler=SAMPLER,
                tasks=replace(spec, n_tasks=2),
                head=head,
                preprocess=preprocess,
            )
            yield question, 2 if spec.disjoint else spec.n_tasks  # disjoint tasks end with the images


def stored_name(dataset: str) -> str:
    """The data set that `NAME@SIZE` is stored from."""
    return dataset.partition("@")[0]


def _name(recipe: Recipe, training: SimpleNamespace, flags: Mapping[str, Any]) -> str:
    """A name that no run with other flags has: `fsbench` names a run by what usually tells it from others."""
    epochs = "-".join(str(stage.epochs) for stage in recipe.stages) if "epochs" in flags else recipe.epochs
    parts = [recipe.name, recipe.preset, training.model.backbone, training.images.dataset]
    parts += [f"{training.model.image_size}px", f"{epochs}ep"]
    said = {
        "preset",
        "backbone",
        "dataset",
        "image-size",
        "epochs",
        "seed",
        "compile",
    }  # or of no effect on results
    for key, value in flags.items():
        if key not in said and value is not False:
            parts.append(key if value is True else f"{key}{value}")
    return "-".join([*map(str, parts), f"s{training.training.seed}"]).replace("/", "_")


def _tables(what: str, value: Any) -> list[dict[str, Any]]:
    tables = value if isinstance(value, list) else [value]
    if not all(isinstance(table, dict) for table in tables):
        raise FsbenchError(f"{what} must be a table")
    return tables


def _typed(flags: Mapping[str, Any], refused: frozenset[str]) -> list[str]:
    """Flags as they would be typed; a switch that is off is left out."""
    typed: list[str] = []
    for key, value in flags.items():
        if key in refused:
            raise FsbenchError(f"{key} cannot stand in a plan")
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str | int | float):
                raise FsbenchError(f"{key} must be text, a number, true or false, but is {one!r}")
        if isinstance(value, list):
            typed += [f"--{key}", *map(str, value)]
        elif not isinstance(value, bool):
            typed.append(f"--{key}={value}")
        elif value:
            typed.append(f"--{key}")
    return typed
