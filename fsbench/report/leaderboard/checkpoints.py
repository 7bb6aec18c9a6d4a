"""Checkpoints that lie in a results folder, with the curves of their training."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import sha256_of

FOLDER = "checkpoints"  # below the results folder: NAME.safetensors and its log NAME.csv


@dataclass(frozen=True)
class Committed:
    """A checkpoint in the results folder.

    Attributes:
        path: Its path below the results folder.
        curve: Epoch, accuracy on val classes in % and its half width, of each validated epoch; empty
            without a readable log.
    """

    path: Path
    curve: tuple[tuple[int, float, float], ...]


def committed(results: Path) -> dict[str, Committed]:
    """Find the checkpoints of a results folder.

    Args:
        results: The results folder.

    Returns:
        The checkpoints by their SHA-256, which result files name.

    Raises:
        FsbenchError: A file cannot be read.
    """
    checkpoints = {}
    for path in sorted((results / FOLDER).glob("*.safetensors")):
        log = path.with_suffix(".csv")
        checkpoints[sha256_of(path)] = Committed(
            path.relative_to(results), tuple(_curve(log)) if log.exists() else ()
        )
    return checkpoints


def _curve(log: Path) -> Iterator[tuple[int, float, float]]:
    """Yield epoch, accuracy and half width in % of the rows that have them."""
    try:
        rows = list(csv.DictReader(log.read_text(encoding="utf-8", errors="replace").splitlines()))
    except (OSError, csv.Error) as error:
        raise FsbenchError(f"cannot read {log}: {reason(error)}") from error
    for row in rows:
        try:
            epoch, accuracy = int(row["epoch"]), 100 * float(row["val_accuracy"])
            half_width = 100 * float(row["val_half_width"])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(accuracy + half_width):
            yield epoch, round(accuracy, 2), round(half_width, 2)
