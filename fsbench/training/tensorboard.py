"""The log of a run as TensorBoard events, beside log.csv: the same rows, and the settings of the run.

`tensorboard --logdir runs` shows the curves of all runs; its tab HPARAMS compares settings and accuracies.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsbench._util.errors import FsbenchError, reason
from fsbench.models.checkpoint import Provenance
from fsbench.training.run import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = Mapping[str, Any]
AddRow = Callable[[Row], None]
BEST = "best_val_accuracy"  # the highest accuracy so far, to compare runs; not a column of the log


def require_tensorboard() -> None:
    """Check, before hours of training, that event files can be written.

    Raises:
        FsbenchError: The package is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401 - imported for the error
    except ImportError as error:
        raise FsbenchError(
            "--tensorboard: needs the package tensorboard: pip install 'fsbench[tensorboard]'"
        ) from error


def events_of(run: Run, log: Sequence[Row]) -> AbstractContextManager[AddRow]:
    """Return a context that yields a function to write a new row of the log as events.

    The function does nothing if the run has no TensorBoard log or another process writes the files.
    """
    if run.is_writer and not log:
        forget(run.folder)  # events of a run that this one replaces
    if run.is_writer and run.tensorboard:
        return event_file(run.folder, run.provenance, log)
    return nullcontext(lambda _: None)


@contextmanager
def event_file(folder: Path, provenance: Provenance, log: Sequence[Row]) -> Iterator[AddRow]:
    """Yield a function that writes a row of the log as events, and flushes them.

    Earlier rows of the log are written first and replace the events of earlier processes: a killed process
    may have written more epochs than it saved. So each epoch is written exactly once.

    Raises:
        FsbenchError: The folder cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    experiment, began, ended = hparams(_settings(provenance), {BEST: 0.0})  # the value of BEST is not used
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        with _one_line_errors(folder):
            _add(writer, rows)
            writer.flush()

    forget(folder)
    with _one_line_errors(folder):
        writer = SummaryWriter(str(folder), purge_step=0)  # a running TensorBoard drops what it has read
    with writer:
        events = writer._get_file_writer()  # add_hparams would write into another folder
        for summary in (experiment, began):
            events.add_summary(summary)
        for row in log:
            add(row)
        yield add
        events.add_summary(ended)


def forget(folder: Path) -> None:
    """Empty the event files in the folder of a run, and remove those that are empty.

    A running TensorBoard stops reading a folder if the file that it has open is removed.
    """
    with _one_line_errors(folder):
        for path in folder.glob("events.out.tfevents.*"):
            if path.stat().st_size == 0:
                path.unlink()
            else:
                os.truncate(path, 0)


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into the one error that users see."""
    try:
        yield
    except OSError as error:
        raise FsbenchError(f"cannot write events in {folder}: {reason(error)}") from error


def _add(writer: "SummaryWriter", rows: Sequence[Row]) -> None:
    """Write the last row: each number under the name of its column, and the stage if a new one begins."""
    row, step = rows[-1], rows[-1]["epoch"]
    if len(rows) == 1 or row["stage"] != rows[-2]["stage"]:
        writer.add_text("stage", row["stage"], step)
    for name, value in row.items():
        if name not in ("stage", "epoch"):
            writer.add_scalar(name, value, step)
    if "val_accuracy" in row:
        writer.add_scalar(BEST, max(r["val_accuracy"] for r in rows if "val_accuracy" in r), step)


def _settings(provenance: Provenance) -> dict[str, bool | int | float | str]:
    """Return the settings of a run as one flat table; a nested setting is `outer.inner`."""
    settings = provenance.identity
    del settings["run"], settings["name"]  # the name of the folder, and a duplicate of the recipe's name
    return dict(_flat(settings))


def _flat(values: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """Yield names and values, nested ones included."""
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
