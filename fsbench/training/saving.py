"""The files that a run writes after each epoch: its log, the last checkpoint and the best one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from fsbench._util.files import atomic_write
from fsbench.models import checkpoint
from fsbench.training import resume
from fsbench.training.run import Run


def write(run: Run, log: Sequence[Mapping[str, Any]], *, finished: bool = False) -> None:
    """Write the log and the last checkpoint, and the best checkpoint if the last epoch is the best."""
    best = best_epoch(log)
    provenance = replace(
        run.provenance, epoch=len(log), best_epoch=best, val_accuracy=log[-1].get("val_accuracy")
    )
    weights = run.network.state_dict()
    if len(log) == 1:  # delete the files of a run that this one replaces
        resume.forget(run.folder)
        run.last.unlink(missing_ok=True)
    if best == len(log):
        checkpoint.write(run.best, weights, provenance)
    checkpoint.write(run.last, weights, provenance, finished=finished)
    with atomic_write(run.folder / "log.csv") as part:
        pd.DataFrame(log).to_csv(part, index=False)


def best_epoch(log: Sequence[Mapping[str, Any]]) -> int:
    """Return the epoch of the highest accuracy on val classes, or the last one before any was validated."""
    validated = [row for row in log if "val_accuracy" in row]
    best = max(validated, key=lambda row: float(row["val_accuracy"]), default=log[-1])
    return int(best["epoch"])
