"""Where a call works and how much it prints: three settings that always travel together."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def _cpu() -> "torch.device":
    import torch

    return torch.device("cpu")


@dataclass(frozen=True)
class Session:
    """Cache folder, device and progress of a call."""

    cache: Path | None = (
        None  # folder of prepared images and features; None: $FSBENCH_CACHE, or the user's cache
    )
    device: "torch.device" = field(default_factory=_cpu)
    quiet: bool = False  # no progress on stderr
