"""A run's log as TensorBoard event files, beside log.csv: the same rows, and settings that tell runs apart.

tensorboard --logdir runs    # curves of all runs; HPARAMS lists settings and accuracies side by side
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason
from fsbench.models.checkpoint import Provenance

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = Mapping[str, Any]
Track = Callable[[Row], None]
BEST = "best_val_accuracy"  # the highest so far: what runs are compared by, and no column of the log
_NO_SETTINGS = {"run", "source_fingerprint", "class_names", "epoch", "val_accuracy", "settings", "versions"}


def require_tensorboard() -> None:
    """Find out before hours of training whether event files can be written.

    Raises:
        FsbenchError: the package is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401 - whether it can be
    except ImportError as error:
        raise FsbenchError(
            "--tensorboard: needs the package tensorboard: pip install 'fsbench[tensorboard]'"
        ) from error


@contextmanager
def event_file(folder: Path, provenance: Provenance, log: Sequence[Row]) -> Iterator[Track]:
    """Yield a function that adds a row of the log to the events in a run's folder, at once and for good.

    Rows that are there when it starts are written first, in place of the events of earlier processes: one
    that was killed may have written more than it kept. So each epoch is there once.

    Raises:
        FsbenchError: the folder cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    experiment, began, ended = hparams(_settings(provenance), {BEST: 0.0})  # only the metric's name is kept
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        with _named(folder):
            _add(writer, rows)
            writer.flush()

    forget(folder)
    with _named(folder):
        writer = SummaryWriter(str(folder), purge_step=0)  # what TensorBoard has read already, it drops
    with writer:
        events = writer._get_file_writer()  # add_hparams would write into a folder of its own
        for summary in (experiment, began):
            events.add_summary(summary)
        for row in log:
            add(row)
        yield add
        events.add_summary(ended)


def forget(folder: Path) -> None:
    """Empty the event files in a run's folder.

    A TensorBoard that has one of them open would look no further if it were gone, so it stays for a while.
    """
    with _named(folder):
        for path in folder.glob("events.out.tfevents.*"):
            if path.stat().st_size == 0:
                path.unlink()
            else:
                os.truncate(path, 0)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FsbenchError(f"cannot write events in {folder}: {reason(error)}") from error


def _add(writer: "SummaryWriter", rows: Sequence[Row]) -> None:
    """Write the last row: a number under the name of its column, a stage as text where it begins."""
    row, step = rows[-1], rows[-1]["epoch"]
    if len(rows) == 1 or row["stage"] != rows[-2]["stage"]:
        writer.add_text("stage", row["stage"], step)
    for name, value in row.items():
        if name not in ("stage", "epoch"):
            writer.add_scalar(name, value, step)
    if "val_accuracy" in row:
        writer.add_scalar(BEST, max(each["val_accuracy"] for each in rows if "val_accuracy" in each), step)


def _settings(provenance: Provenance) -> dict[str, bool | int | float | str]:
    """What was asked of a run, flat: a setting inside another one is `outer.inner`."""
    about = {name: value for name, value in asdict(provenance).items() if name not in _NO_SETTINGS}
    recipe = {name: value for name, value in provenance.settings.items() if name != "name"}
    return dict(_flat({**recipe, **about}))


def _flat(values: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{outer}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{outer}{name}", value
        elif name == "stages":
            yield from _flat(
                {stage["name"]: {k: v for k, v in stage.items() if k != "name"} for stage in value}
            )
        else:
            yield f"{outer}{name}", "default" if value is None else str(value)
