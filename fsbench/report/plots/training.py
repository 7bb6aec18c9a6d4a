"""Training curves: accuracy on val classes and loss terms, against epochs or against time."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from fsbench._util.errors import FsbenchError, reason
from fsbench.models import checkpoint
from fsbench.models.identity import Model
from fsbench.report.grouping import first_distinct, group_by
from fsbench.report.plots import labels
from fsbench.report.plots.marks import mark_numbers
from fsbench.report.plots.page import (
    DASHES,
    MOST_LINES,
    Section,
    at_most,
    label_ends,
    legend_below,
    legend_height,
    mark,
    page,
)
from fsbench.report.plots.selection import EVERYTHING, Selection, matching
from fsbench.training.validation import SPEC

COLUMNS = {"stage", "epoch", "seconds", "images_per_second"}
_LOSSES = "Loss terms: mean of each weighted term of the loss over the epoch."
_TIME = "Minutes: time of the training steps, without validation, of the seed that took the least time."


@dataclass(frozen=True, eq=False)
class Run:
    """The log of one training.

    Attributes:
        path: Folder or checkpoint.
        model: The backbone and its training.
        title: Title of the section of the figure.
        log: One row per epoch.
    """

    path: Path
    model: Model
    title: str
    log: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Curve:
    """The logs of one recipe, one per training seed, with the epochs of all of them.

    Attributes:
        name: Name in the legend.
        recipe: The recipe.
        logs: The logs.
    """

    name: str
    recipe: str
    logs: Sequence[pd.DataFrame]

    def over_seeds(self, column: str, x: str) -> pd.DataFrame:
        """Compute mean, min and max of a column over seeds, and `x`, for each epoch."""
        every = pd.concat(self.logs)
        if column not in every:
            return pd.DataFrame(columns=["x", "mean", "min", "max"], dtype=float)
        values = every.groupby("epoch")[column].agg(["mean", "min", "max"])
        return values.assign(x=self.of_fastest(x))

    def of_fastest(self, x: str) -> "pd.Series[float]":
        """Return a column of the seed that took the least time for all epochs, by epoch.

        Other seeds may have been trained on a busy machine, so a mean over their times means nothing.
        """
        most = max(map(len, self.logs))
        fastest = min((log for log in self.logs if len(log) == most), key=lambda log: log.seconds.sum())
        return fastest.groupby("epoch")[x].last()

    @property
    def stage_ends(self) -> list[int]:
        """The last epoch of each stage but the last one, for all seeds."""
        return sorted(
            {epoch for log in self.logs for epoch in log.epoch[:-1][log.stage.ne(log.stage.shift(-1))[:-1]]}
        )


def training_curves(runs: Sequence[Path], selection: Selection = EVERYTHING) -> Figure:
    """Plot val accuracy and the loss terms of runs against epochs; one section per data set.

    Each run is a folder, or a checkpoint beside its log: `NAME.safetensors` and `NAME.csv`. A folder of runs
    stands for all of them. Runs that differ only in their training seed share a line.

    Raises:
        FsbenchError: A log or last checkpoint is missing or damaged, or there are more than 30 lines in a
            panel.
    """

    def draw(part: SubFigure, curves: Mapping[int, Curve]) -> None:
        left, right = part.subplots(1, 2)
        _accuracy(left, curves, "epoch")
        _losses(right, curves)
        for axes in (left, right):
            axes.set(xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return _figure("training", runs, selection, _LOSSES, draw)


def time_curves(runs: Sequence[Path], selection: Selection = EVERYTHING) -> Figure:
    """Plot val accuracy of runs against minutes of training; one section per data set.

    Runs are given as for `training_curves`.

    Raises:
        FsbenchError: As `training_curves`.
    """

    def draw(part: SubFigure, curves: Mapping[int, Curve]) -> None:
        axes = part.subplots()
        _accuracy(axes, curves, "minutes")
        axes.set(xlabel="minutes of training")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))

    return _figure("time", runs, selection, _TIME, draw)


def _figure(
    kind: str,
    paths: Sequence[Path],
    selection: Selection,
    caption: str,
    draw: Callable[[SubFigure, Mapping[int, Curve]], None],
) -> Figure:
    """Draw one section per data set with the runs trained on it; `caption` ends the captions."""
    selection.only(kind, "dataset", "recipe")
    runs = [_run(path) for folder in paths for path in _paths(kind, folder)]
    runs = matching("dataset", selection.dataset, runs, lambda run: [run.model.source or ""])
    runs = matching("recipe", selection.recipe, runs, lambda run: [run.model.recipe or ""])
    if not runs:
        raise FsbenchError(f"{kind}: there are no run folders")
    groups = {title: _curves(group) for title, group in group_by(runs, lambda run: run.title).items()}
    sections = []
    for title, curves in groups.items():
        at_most(
            kind, "lines in a panel", len(curves), MOST_LINES, "--dataset or --recipe, or pass fewer runs"
        )
        names = [curve.name for curve in curves]
        sections.append(Section(title, "", 3.4 + legend_height(names)))
    every = [curve for curves in groups.values() for curve in curves]
    figure, parts = page(sections, _caption(every, caption))
    marks = mark_numbers((curve.recipe, curve.name) for curve in every)
    for part, curves in zip(parts, groups.values(), strict=True):
        curves_of_marks = {marks[curve.name]: curve for curve in curves}
        draw(part, curves_of_marks)
        legend_below(part, [curve.name for curve in curves], numbers=list(curves_of_marks))
    return figure


def _paths(kind: str, path: Path) -> Iterator[Path]:
    """Yield the runs of a folder of runs or of checkpoints beside their logs; of others, the path itself."""
    if path.suffix == ".safetensors" or (path / "last.safetensors").exists() or (path / "log.csv").exists():
        yield path
        return
    beside = [file for file in sorted(path.glob("*.safetensors")) if file.with_suffix(".csv").exists()]
    folders = [log.parent for log in sorted(path.glob("*/log.csv"))]
    if not beside and not folders:
        raise FsbenchError(
            f"{kind}: {path} holds no training; pass a run folder, such as runs/erm, or checkpoints "
            "beside their logs, such as results/checkpoints"
        )
    yield from beside or folders


def _run(path: Path) -> Run:
    """Read a run, given as a folder or a checkpoint."""
    is_file = path.suffix == ".safetensors"
    provenance = checkpoint.load_provenance(path if is_file else path / "last.safetensors")
    log = _read(path.with_suffix(".csv") if is_file else path / "log.csv")
    few = [f"{provenance.per_class} images per class"] if provenance.per_class else []
    size, synthetic = f"{provenance.image_size} px", ["synthetic images"] * provenance.synthetic
    title = f"Training on {', '.join([labels.data_set(provenance.source), *few, size, *synthetic])}"
    return Run(path, provenance.model, title, log)


def _curves(runs: Sequence[Run]) -> list[Curve]:
    """Join runs that differ only in their seed, and name them."""

    def recipe(run: Run) -> Model:
        return replace(run.model, run="", train_seed=None, epoch=None, best_epoch=None)

    families = list(group_by(runs, recipe).values())
    # Runs of equal settings and equal seeds are separate lines.
    families = [
        part
        for family in families
        for part in (
            [family]
            if len({run.model.train_seed for run in family}) == len(family)
            else [[run] for run in family]
        )
    ]
    firsts = [family[0] for family in families]
    short = [f"{run.model.recipe}" for run in firsts]
    full = [_full_name(run.model) for run in firsts]
    names = first_distinct(
        [short, full, [_file_name(run.path) for run in firsts], [str(run.path) for run in firsts]]
    )
    assert names is not None  # paths differ
    return [
        Curve(name, family[0].model.recipe or "", [run.log for run in family])
        for name, family in zip(names, families, strict=True)
    ]


def _full_name(model: Model) -> str:
    """Name a training by all of its settings but the seed."""
    return " ".join(filter(None, [model.backbone, model.recipe, model.preset, model.overrides]))


def _file_name(path: Path) -> str:
    """Return the name of a run, given as a folder or a checkpoint."""
    return path.stem if path.suffix == ".safetensors" else path.resolve().name


def _read(path: Path) -> pd.DataFrame:
    """Read the log of a run and add a column `minutes`: time of training up to the end of each epoch."""
    try:
        log = pd.read_csv(path)
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except Exception as error:  # pandas raises errors of any kind for damaged files
        raise FsbenchError(f"{path}: not the log of a run ({error})") from error
    missing = COLUMNS - set(log.columns)
    if missing or log.empty:
        raise FsbenchError(f"{path}: not the log of a run (no {', '.join(sorted(missing)) or 'epochs'})")
    numbers = log.drop(columns="stage")
    if numbers.select_dtypes("number").shape != numbers.shape:
        raise FsbenchError(f"{path}: not the log of a run (all but stage must be numbers)")
    with np.errstate(over="ignore", invalid="ignore"):
        return log.assign(minutes=log.seconds.cumsum() / 60)


def _caption(curves: Sequence[Curve], last: str) -> str:
    """Explain the bands and the beginnings of stages, if there are any; `last` ends the caption."""
    logs = [log for curve in curves for log in curve.logs]
    n_seeds = [len(curve.logs) for curve in curves]
    singles = [curve.logs[0] for curve in curves if len(curve.logs) == 1]
    single = "95 % Student-t interval over tasks, not over training seeds"
    parts = ["lowest to highest seed"] * (max(n_seeds) > 1)
    if any("val_half_width" in log for log in singles):
        parts.append(f"for a single seed, {single}" if parts else single)
    bands = f"Bands: {'; '.join(parts)}. " if parts else ""
    means = f"Lines: means over {labels.numbers(n_seeds, 'training seed')}. " if max(n_seeds) > 1 else ""
    validated = (
        f"Val accuracy: nearest-mean head on {SPEC.n_tasks:,} tasks of val classes, the same tasks in every "
        f"epoch. {means}{bands}"
    )
    staged = any(log.stage.nunique() > 1 for log in logs)
    starts = "Dotted vertical lines: the next stage begins. " if staged else ""
    return f"{validated if any('val_accuracy' in log for log in logs) else ''}{starts}{last}"


def _accuracy(axes: Axes, curves: Mapping[int, Curve], x: str) -> None:
    """Draw val accuracy with its range over seeds, or its interval for one seed."""
    for number, curve in curves.items():
        values = curve.over_seeds("val_accuracy", x).dropna()  # not every epoch is validated
        if values.empty:
            continue
        low, high = values["min"], values["max"]
        if len(curve.logs) == 1:
            half = curve.over_seeds("val_half_width", x)["mean"].reindex(values.index)
            low, high = low - half, high + half  # not a number in logs without half widths
        axes.plot(values.x, 100 * values["mean"], markevery=_marker_step(values), **mark(number))
        axes.fill_between(
            values.x, 100 * low, 100 * high, color=mark(number)["color"], alpha=0.2, linewidth=0
        )
    _finish(axes, curves, x, f"{SPEC.n_way}-way {SPEC.n_shot}-shot val accuracy, %")


def _losses(axes: Axes, curves: Mapping[int, Curve]) -> None:
    """Draw each loss term with its own dash pattern and label, with gaps in stages without the term."""
    logs = [log for curve in curves.values() for log in curve.logs]
    terms = list(dict.fromkeys(name for log in logs for name in map(str, log) if name.startswith("loss_")))
    ends: dict[str, list[float]] = defaultdict(list)
    for number, curve in curves.items():
        for term in terms:
            values = curve.over_seeds(term, "epoch")
            if values["mean"].notna().any():
                dashes = DASHES[terms.index(term) % len(DASHES)]
                axes.plot(
                    values.x, values["mean"], linestyle=dashes, markevery=_marker_step(values), **mark(number)
                )
                ends[term.removeprefix("loss_")].append(float(values["mean"].dropna().iloc[-1]))
    label_ends(axes, ends)
    _finish(axes, curves, "epoch", "loss terms")


def _finish(axes: Axes, curves: Mapping[int, Curve], x: str, y_label: str) -> None:
    """Mark the beginnings of stages, and label the y axis."""
    for number, curve in curves.items():
        places = curve.of_fastest(x)
        for epoch in curve.stage_ends:
            axes.axvline(places[epoch], linestyle=":", linewidth=1, color=mark(number)["color"])
    axes.set(ylabel=y_label)
    axes.grid(alpha=0.3)


def _marker_step(values: pd.DataFrame) -> int:
    """Return the distance between markers, for about ten markers per line."""
    return max(1, len(values) // 10)
