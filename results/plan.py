"""Plans: the trainings and evaluations of a campaign, in order, and which of them are done.

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

A job is done when each of its cells has a result file. Checkpoints do not count: a new machine has only what
is committed.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fsbench._util.errors import FsbenchError, reason, unknown
from fsbench.cli import app
from fsbench.cli._app import parse
from fsbench.cli.train_backbone import resolved
from fsbench.evaluation import result_files
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.methods import find_methods
from fsbench.evaluation.result import Result
from fsbench.tasks.sampler import SAMPLER
from fsbench.tasks.spec import TaskSpec
from fsbench.training.recipe import Recipe

_KEYS = ("entry", "evaluate", "keep-checkpoint")
# Flags that the campaign sets itself, or that do not change a result.
_REFUSED = frozenset({"help", "out", "force", "json", "quiet", "config", "device", "cache", "tensorboard"})
# Flags of `fsbench evaluate` for which a plan has no cell.
_NO_CELL = frozenset({"details", "plot", "tasks", "base", "backbone", "image-size"})


# Flags that every name shows, and `compile`, which does not change results.
_IN_EVERY_NAME = frozenset({"preset", "backbone", "dataset", "image-size", "epochs", "seed", "compile"})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table of results: equal for two results only if they belong in the same cell."""

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
    tasks: TaskSpec  # `n_tasks` is always 2
    head: str  # with its settings
    preprocess: str


@dataclass(frozen=True)
class Evaluation:
    """One call of `fsbench evaluate`."""

    datasets: tuple[str, ...]
    flags: tuple[str, ...]  # all but `--dataset`


@dataclass(frozen=True, eq=False)
class Job:
    """One training and its evaluations."""

    name: str  # of the run folder, made from all flags
    source: str
    flags: tuple[str, ...]  # of `fsbench train-backbone`, the recipe first
    evaluations: tuple[Evaluation, ...]
    cells: Mapping[Cell, int]  # with the number of tasks
    keep_checkpoint: bool


def read(path: Path) -> list[Job]:
    """Read the jobs of a plan file, in order.

    Raises:
        FsbenchError: The file cannot be read, is not TOML, or has a key or value that `fsbench` refuses.
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
    defaults = {key: plan[key] for key in _KEYS[1:] if key in plan}
    jobs: list[Job] = []
    for number, entry in enumerate(entries, 1):
        try:
            jobs += _jobs({**defaults, **entry})
        except FsbenchError as error:
            raise FsbenchError(f"plan {path}, entry {number}: {error}") from error
    return jobs


def filled_cells(folder: Path) -> dict[Cell, int]:
    """Return the cells for which there are result files below a folder, with the largest number of tasks."""
    filled: dict[Cell, int] = {}
    for result in result_files.read_all(folder) if folder.is_dir() else ():
        cell = cell_of(result)
        for key in (cell, replace(cell, precision=None)):
            filled[key] = max(result.spec.n_tasks, filled.get(key, 0))
    return filled


def cell_of(result: Result) -> Cell:
    """Return the cell that a result belongs in."""
    flat = {**flatten(result), "head": result.head.text, "tasks": replace(result.spec, n_tasks=2)}
    return Cell(**{field.name: flat[field.name] for field in fields(Cell)})


def empty_cells(job: Job, filled: Mapping[Cell, int]) -> list[Cell]:
    """Return the cells of a job that have no result with enough tasks."""
    return [cell for cell, n_tasks in job.cells.items() if filled.get(cell, 0) < n_tasks]


def _jobs(entry: dict[str, Any]) -> Iterator[Job]:
    """Yield the jobs of one entry."""
    evaluations = _tables("evaluate", entry.pop("evaluate", [{}]))
    keep = entry.pop("keep-checkpoint", False)
    if not isinstance(keep, bool):
        raise FsbenchError(f"keep-checkpoint must be true or false, but is {keep!r}")
    for key in ("recipe", "image-size"):  # a default could change, and the plan would mean other cells
        if key not in entry:
            raise FsbenchError(f"{key} is missing")
    for key, value in entry.items():
        if value == []:
            raise FsbenchError(f"{key} must have a value, but is []")
    loops = [value if isinstance(value, list) else [value] for value in entry.values()]
    for values in product(*loops):
        yield _job(dict(zip(entry, values, strict=True)), evaluations, keep)


def _job(flags: dict[str, Any], evaluations: Sequence[dict[str, Any]], keep: bool) -> Job:
    """Make the job of one combination of flags."""
    others = {key: value for key, value in flags.items() if key != "recipe"}
    arguments = [str(flags["recipe"]), *_words(others, _REFUSED)]
    training = _parsed("train-backbone", *arguments)
    recipe = resolved(str(flags["recipe"]), training.images, training.model, training.training)
    cells: dict[Cell, int] = {}
    calls = []
    for table in evaluations:
        evaluation = _parsed("evaluate", "checkpoint", *_words(table, _REFUSED | _NO_CELL))
        datasets = evaluation.tasks.dataset or (training.images.dataset,)
        rest = {key: value for key, value in table.items() if key != "dataset"}
        calls.append(Evaluation(datasets, tuple(_words(rest, _REFUSED | _NO_CELL))))
        cells |= _cells(recipe, training, evaluation, datasets)
    return Job(
        name=_name(recipe, training, others),
        source=training.images.dataset,
        flags=tuple(arguments),
        evaluations=tuple(calls),
        cells=cells,
        keep_checkpoint=keep,
    )


@cache
def _parsed(*words: str) -> SimpleNamespace:
    """Parse the parameters of a command."""
    return SimpleNamespace(**parse(app, words).arguments)


def _cells(
    recipe: Recipe, training: SimpleNamespace, evaluation: SimpleNamespace, datasets: Sequence[str]
) -> Iterator[tuple[Cell, int]]:
    """Yield the cells of one evaluation, with the number of tasks."""
    images, model, settings = training.images, training.model, training.training
    methods = find_methods(evaluation.heads.head, evaluation.heads.preprocess)
    for dataset, each, spec in product(datasets, methods, evaluation.tasks.specs()):
        method = each.for_tasks(spec)
        cell = Cell(
            recipe=recipe.name,
            preset=recipe.preset,
            overrides=", ".join(recipe.overrides),
            epochs=recipe.epochs,
            per_class=images.per_class,
            source=stored_name(images.dataset),
            backbone=model.backbone,
            image_size=model.image_size,
            train_seed=settings.seed,
            precision=None if settings.precision == "auto" else settings.precision,
            dataset=stored_name(dataset),
            split=evaluation.tasks.split,
            sampler=SAMPLER,
            tasks=replace(spec, n_tasks=2),
            head=method.text,
            preprocess=method.preprocess,
        )
        yield cell, 2 if spec.disjoint else spec.n_tasks  # disjoint tasks end with the images


def stored_name(dataset: str) -> str:
    """Return the data set of a store, which may be named `NAME@SIZE`."""
    return dataset.partition("@")[0]


def _name(recipe: Recipe, training: SimpleNamespace, flags: Mapping[str, Any]) -> str:
    """Return a name that no job with other flags has; the default name of `fsbench` shows fewer flags."""
    epochs = "-".join(str(stage.epochs) for stage in recipe.stages) if "epochs" in flags else recipe.epochs
    parts = [recipe.name, recipe.preset, training.model.backbone, training.images.dataset]
    parts += [f"{training.model.image_size}px", f"{epochs}ep"]
    for key, value in flags.items():
        if key not in _IN_EVERY_NAME and value is not False:
            parts.append(key if value is True else f"{key}{value}")
    return "-".join([*map(str, parts), f"s{training.training.seed}"]).replace("/", "_")


def _tables(key: str, value: Any) -> list[dict[str, Any]]:
    """Return a table, or a list of tables, as a list."""
    tables = value if isinstance(value, list) else [value]
    if not all(isinstance(table, dict) for table in tables):
        raise FsbenchError(f"{key} must be a table")
    return tables


def _words(flags: Mapping[str, Any], refused: frozenset[str]) -> list[str]:
    """Return flags as words of a command line; a switch that is off is left out."""
    words: list[str] = []
    for key, value in flags.items():
        if key in refused:
            raise FsbenchError(f"{key} is not allowed in a plan")
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str | int | float):
                raise FsbenchError(f"{key} must be text, a number, true or false, but is {item!r}")
        if isinstance(value, list):
            words += [f"--{key}", *map(str, value)]
        elif not isinstance(value, bool):
            words.append(f"--{key}={value}")
        elif value:
            words.append(f"--{key}")
    return words
