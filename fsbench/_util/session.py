"""Settings of a call that are always passed together: cache folder, device and progress."""

from dataclasses import dataclass
from pathlib import Path

import torch

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Session:
    """Cache folder, device and progress of a call.

    Attributes:
        cache: Folder of prepared images and features; None: `$FSBENCH_CACHE`, or the cache of the user.
        device: Where networks and heads run.
        quiet: Whether progress on stderr is off.
    """

    cache: Path | None = None
    device: torch.device = _CPU
    quiet: bool = False
