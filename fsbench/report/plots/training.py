"""Training curves: accuracy on val classes and loss terms, against base images seen or against time."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import StrMethodFormatter

from fsbench._util.errors import FsbenchError, reason
from fsbench.models import checkpoint
from fsbench.report.grouping import first_distinct
from fsbench.report.plots.page import (
    DASHES,
    Section,
    at_most,
    label_ends,
    legend_below,
    legend_height,
    mark,
    page,
)
from fsbench.training.validation import SPEC

MOST = 10  # largest number of runs in a panel
COLUMNS = {"stage", "epoch", "seconds", "images_per_second"}
_LOSSES = "Loss terms: mean of each weighted term of the loss over the epoch."
_TIME = "Minutes: time of the training steps, without validation."


def training_curves(folders: Sequence[Path]) -> Figure:
    """Plot val accuracy with its interval, and the loss terms, of runs; one section per data set.

    Raises:
        FsbenchError: A log or last checkpoint is missing or damaged, or there are more than 10 runs in a
            section.
    """

    def draw(part: SubFigure, logs: Sequence[pd.DataFrame]) -> None:
        left, right = part.subplots(1, 2)
        _accuracy(left, logs)
        _losses(right, logs)

    return _figure("training", folders, _LOSSES, draw)


def time_curves(runs: Sequence[Path]) -> Figure:
    """Plot val accuracy of runs against minutes of training; one section per data set.

    Each run is a folder, or a checkpoint beside its log: `NAME.safetensors` and `NAME.csv`.

    Raises:
        FsbenchError: As `training_curves`.
    """

    def draw(part: SubFigure, logs: Sequence[pd.DataFrame]) -> None:
        axes = part.subplots()
        _accuracy(axes, [log.assign(seen=log.seconds.cumsum() / 60) for log in logs])
        axes.set(xlabel="minutes of training")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))

    return _figure("time", runs, _TIME, draw)


def _figure(
    kind: str, runs: Sequence[Path], caption: str, draw: Callable[[SubFigure, Sequence[pd.DataFrame]], None]
) -> Figure:
    """Draw one section per data set with the runs trained on it; `caption` ends the captions."""
    groups = _groups(kind, runs)
    figure, parts = page(
        [
            Section(title, _caption(list(logs.values()), caption), 3.6 + legend_height(list(logs)))
            for title, logs in groups.items()
        ]
    )
    for part, logs in zip(parts, groups.values(), strict=True):
        draw(part, list(logs.values()))
        legend_below(part, list(logs))
    return figure


def _groups(kind: str, runs: Sequence[Path]) -> dict[str, dict[str, pd.DataFrame]]:
    """Read the logs of runs, by the title of their section and then by distinct names."""
    if not runs:
        raise FsbenchError(f"{kind}: there are no run folders")
    logs: dict[str, dict[Path, tuple[str, pd.DataFrame]]] = defaultdict(dict)
    for run in runs:
        is_file = run.suffix == ".safetensors"
        provenance = checkpoint.load_provenance(run if is_file else run / "last.safetensors")
        log = _read(run.with_suffix(".csv") if is_file else run / "log.csv")
        synthetic = ", synthetic images" if provenance.synthetic else ""
        title = f"Training on {provenance.source}, {provenance.image_size} px{synthetic}"
        logs[title][run] = (f"{provenance.backbone} {provenance.recipe} {provenance.preset}", log)
    logs_by_title = {}
    for title, group in logs.items():
        at_most(kind, "runs in a panel", len(group), MOST)
        choices = [label for label, _ in group.values()], [*map(_run_name, group)], [*map(str, group)]
        names = first_distinct(choices)
        assert names is not None  # paths differ
        logs_by_title[title] = dict(zip(names, (log for _, log in group.values()), strict=True))
    return logs_by_title


def _run_name(run: Path) -> str:
    """Return the name of a run, given as a folder or a checkpoint."""
    return run.stem if run.suffix == ".safetensors" else run.resolve().name


def _read(path: Path) -> pd.DataFrame:
    """Read the log of a run and add a column `seen`: base images up to the end of each epoch."""
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
        return log.assign(seen=(log.seconds * log.images_per_second).round().cumsum())


def _caption(logs: Sequence[pd.DataFrame], last: str) -> str:
    """Explain the intervals and the beginnings of stages, if there are any; `last` ends the caption."""
    validated = any("val_accuracy" in log for log in logs)
    bands = (
        f"Val accuracy: nearest-mean head on {SPEC.n_tasks:,} tasks of val classes, the same tasks in every "
        "epoch. "
        "Bands: 95 % Student-t interval over tasks, not over training seeds. "
    )
    staged = any(log.stage.nunique() > 1 for log in logs)
    starts = "Dotted vertical lines: the next stage begins. " if staged else ""
    return f"{bands if validated else ''}{starts}{last}"


def _accuracy(axes: Axes, logs: Sequence[pd.DataFrame]) -> None:
    """Draw val accuracy with its interval, one line per run."""
    for number, log in enumerate(logs):
        if "val_accuracy" in log:
            validated = log.dropna(subset="val_accuracy")  # not every epoch is validated
            mean, half = 100 * validated.val_accuracy, 100 * validated.val_half_width
            axes.plot(validated.seen, mean, markevery=_marker_step(validated), **mark(number))
            axes.fill_between(
                validated.seen, mean - half, mean + half, color=mark(number)["color"], alpha=0.2, linewidth=0
            )
    _finish(axes, logs, f"{SPEC.n_way}-way {SPEC.n_shot}-shot val accuracy, %")


def _losses(axes: Axes, logs: Sequence[pd.DataFrame]) -> None:
    """Draw each loss term with its own dash pattern and label, with gaps in stages without the term."""
    terms = list(dict.fromkeys(name for log in logs for name in map(str, log) if name.startswith("loss_")))
    ends: dict[str, list[float]] = defaultdict(list)
    for number, log in enumerate(logs):
        for term in terms:
            if term in log:
                dashes = DASHES[terms.index(term) % len(DASHES)]
                axes.plot(log.seen, log[term], linestyle=dashes, markevery=_marker_step(log), **mark(number))
                ends[term.removeprefix("loss_")].append(float(log[term].dropna().iloc[-1]))
    label_ends(axes, ends)
    _finish(axes, logs, "loss terms")


def _finish(axes: Axes, logs: Sequence[pd.DataFrame], y_label: str) -> None:
    """Mark the beginnings of stages, and label the axes."""
    for number, log in enumerate(logs):
        for before, after in zip(log.index, log.index[1:], strict=False):
            if log.stage[before] != log.stage[after]:
                axes.axvline(log.seen[before], linestyle=":", linewidth=1, color=mark(number)["color"])
    axes.set(xlabel="base images seen, million", ylabel=y_label)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}")
    axes.grid(alpha=0.3)


def _marker_step(log: pd.DataFrame) -> int:
    """Return the distance between markers, for about ten markers per line."""
    return max(1, len(log) // 10)
