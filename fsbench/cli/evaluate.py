"""`fsbench evaluate`: measure checkpoints, other backbones or feature files."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from fsbench.cli import _names
from fsbench.cli._options import (
    DATA_SET,
    HEADS,
    OUTPUT,
    TASK_LIST,
    TASKS,
    Computing,
    Force,
    Weights,
    results_folder,
)
from fsbench.cli._output import answer
from fsbench.cli._results import result_table

if TYPE_CHECKING:
    from fsbench.evaluation.result import Result
    from fsbench.tasks.spec import TaskSpec

app = App(
    name="evaluate",
    help_epilogue="Example: fsbench evaluate runs/*/best.safetensors --n-shot 1 5 --head nearest-mean tim",
)


@Parameter(name="*", group=TASKS)
@dataclass(frozen=True)
class TaskFlags:
    """Which tasks are sampled.

    Attributes:
        dataset: Data sets to sample tasks from. For cross-domain evaluation, name one that the backbone was
            not trained on. Default: the one it was trained on.
        split: Split whose classes are sampled.
        n_way: Classes per task; several numbers give several results.
        n_shot: Support images per class; several numbers give several results.
        n_query: Query images per class; all: all images of the class that are not support images.
        n_tasks: Number of tasks.
        seed: Random seed of the tasks.
        query_alpha: Draw the classes' shares of the queries from a symmetric Dirichlet distribution with this
            parameter. Default: equal shares.
        least_shot: Draw the number of support images of each class between this number and --n-shot.
            Default: --n-shot for every class.
        classes: Sample tasks from these classes only. Default: all classes of the split.
        disjoint: Use each image in at most one task. The number of images then limits the number of tasks.
        tasks: Pinned task lists: shipped ones by name, or .toml files. They take the place of all settings of
            this group but --dataset and --split. Default: none.
    """

    dataset: Annotated[tuple[_names.DataSet, ...], DATA_SET, Parameter(metavar="NAME...")] = ()
    split: _names.Split = "novel"
    n_way: tuple[int, ...] = (5,)
    n_shot: tuple[int, ...] = (1, 5)
    n_query: Annotated[int | Literal["all"], Parameter(metavar="INT|all", show_choices=False)] = 15
    n_tasks: int = 10_000
    seed: int = 0
    query_alpha: Annotated[float | None, Parameter(metavar="ALPHA")] = None
    least_shot: int | None = None
    classes: Annotated[tuple[str, ...], Parameter(metavar="CLASS...")] = ()
    disjoint: bool = False
    tasks: Annotated[tuple[str, ...], TASK_LIST] = ()

    def specs(self) -> list["TaskSpec"]:
        """Return one specification per combination of ways and shots."""
        from fsbench.tasks.spec import TaskSpec

        return [
            TaskSpec(
                n_way=n_way,
                n_shot=n_shot,
                n_query=None if self.n_query == "all" else self.n_query,
                n_tasks=self.n_tasks,
                seed=self.seed,
                query_alpha=self.query_alpha,
                least_shot=self.least_shot,
                classes=self.classes,
                disjoint=self.disjoint,
            )
            for n_way, n_shot in product(self.n_way, self.n_shot)
        ]


@Parameter(name="*", group=HEADS)
@dataclass(frozen=True)
class HeadFlags:
    """Few-shot classifiers on top of the features.

    Attributes:
        head: Heads by name, or your own, ./mine.py:head. Settings follow a colon: cosine-sgd:epochs=100, or
            NAME:a=1,b=false for several. The setting "balanced" of a head is false for imbalanced queries
            unless you give it.
        preprocess: Steps applied to features before each head. Default: the head's own.
        base: Feature file of base classes, which cl2n needs for backbones that fsbench did not train.
    """

    head: Annotated[tuple[_names.Head, ...], Parameter(metavar="NAME...")] = ("nearest-mean", "logistic")
    preprocess: Annotated[tuple[_names.Preprocess, ...], Parameter(metavar="NAME...")] = ()
    base: Annotated[Path | None, Parameter(metavar="FILE")] = None


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True)
class OutputFlags:
    """What is written.

    Attributes:
        out: Results folder. Default: results; in a clone of fsbench, whose results folder is the project's
            own, runs/results.
        details: Also write tables of the classes, their confusion and the hardest tasks.
        plot: Also draw the results: a sweep, a cross-domain matrix or a heat map (.png, .svg, .pdf or .jpg).
    """

    out: Annotated[Path | None, Parameter(metavar="FOLDER")] = None
    details: bool = False
    force: Force = False
    plot: Annotated[Path | None, Parameter(metavar="FILE")] = None


@app.default
def evaluate(
    subject: Annotated[tuple[str, ...], Parameter(name="subject...")],
    /,
    *,
    weights: Weights = Weights(),
    tasks: TaskFlags = TaskFlags(),
    heads: HeadFlags = HeadFlags(),
    files: OutputFlags = OutputFlags(),
    common: Computing = Computing(),
) -> None:
    """Measure the few-shot accuracy of checkpoints, other backbones or feature files.

    Writes one result file per subject, data set, task specification and head. Existing results are read, not
    computed again.

    Args:
        subject: Checkpoints, folders of runs, feature files, timm:NAME, torchvision:NAME, ./mine.py:function,
            package.module:function, or a weights file with --backbone.
    """
    from fsbench._util.files import check_writable
    from fsbench.evaluation.flat import flatten
    from fsbench.evaluation.methods import automatic_settings
    from fsbench.evaluation.run import Output, check_subjects, evaluate
    from fsbench.evaluation.subjects import Images, subject_of
    from fsbench.tasks.pinned import read_task_list

    out = results_folder(files.out)
    check_writable(out / "result.json")
    if files.plot:
        from fsbench.report.plots import check_figure

        check_figure(files.plot)
    specs = [read_task_list(name) for name in tasks.tasks] or tasks.specs()
    existing = set(out.rglob("*.json"))
    subjects = [subject_of(name, weights.backbone, weights.image_size) for name in dict.fromkeys(subject)]
    images = Images(tasks.dataset, tasks.split, heads.base)
    if len(subjects) > 1:  # a single one is checked by its evaluation
        check_subjects(
            subjects, heads.head, preprocess=heads.preprocess, images=images, session=common.session
        )
    results = [
        result
        for loaded in subjects
        for result in evaluate(
            loaded,
            specs,
            heads.head,
            preprocess=heads.preprocess,
            images=images,
            session=common.session,
            output=Output(out, files.force, files.details),
        )
    ]
    if files.plot:
        from fsbench.report.plots import of_call, save

        save(of_call(results), files.plot)
    recomputed = files.force or files.details
    new = [recomputed or out / result.path not in existing for result in results]
    values = [{"schema": 1, **flatten(result)} for result in results]
    automatic = automatic_settings(heads.head, results)
    answer(common, values, result_table(results, new), *automatic, f"\n{_summary(results, out, sum(new))}")


def _summary(results: Sequence["Result"], folder: Path, n_new: int) -> str:
    """Describe where the results are, how many are new, and the next command: compare, if possible."""
    from fsbench.report.compare import first_comparable

    folders = sorted({str(folder / result.path.parts[0]) for result in results})
    count = "1 result" if len(results) == 1 else f"{len(results)} results"
    comparable = first_comparable(results, folder)
    command = f"fsbench compare {comparable}" if comparable else f"fsbench leaderboard {folder}"
    return f"{count} in {', '.join(folders)} ({n_new} new); next: {command}"
