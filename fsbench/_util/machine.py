"""What a number was measured with: device, versions, commit."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from fsbench import __version__
from fsbench._util.errors import FsbenchError

_MEMINFO, _PROCESS_GROUP, _GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def find_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else Apple's, else the CPU.

    Of several processes that `torchrun` started on a machine, each takes a CUDA device of its own.

    Raises:
        FsbenchError: no such device, or it is not at hand.
    """
    if name == "auto":
        other = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else other
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        device = torch.device(name)
        if name != "cpu":
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise FsbenchError(f"device {name!r} cannot be used here: {why}") from error
    return device


def device_name(device: torch.device) -> str:
    """A device as a reader of a timing wants it named, with the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def free_memory(device: torch.device) -> int:
    """Bytes that can be used on a device without swapping; 1 GiB where the system does not tell.

    On Linux the system's caches count as free, and the limit of a container holds.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        free = _numbers(_MEMINFO)["MemAvailable:"] * 1024
    except (OSError, KeyError, ValueError):
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return 1 << 30
    left = _left_in_group()
    return free if left is None else max(0, min(free, left))


def _left_in_group() -> int | None:
    """Bytes that this process's control group may still use; None without a limit."""
    try:
        place = _PROCESS_GROUP.read_text().strip().rpartition("::/")[2]
        group = _GROUPS / place
        limit = int((group / "memory.max").read_text())  # "max" without a limit
        used = int((group / "memory.current").read_text())
        return limit - used + _numbers(group / "memory.stat")["inactive_file"]  # caches are given back
    except (OSError, ValueError, KeyError):
        return None


def _numbers(path: Path) -> dict[str, int]:
    """The first number behind each name, of a file with one name per line."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in rows}


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Give torch's global generators, of the CPU and of a device, their state back after the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        before = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of a device; torch.manual_seed seeds all devices."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def versions() -> dict[str, str]:
    """Versions of what a number depends on."""
    return {
        "fsbench": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
    }


@cache
def commit() -> str | None:
    """The commit of the checkout that fsbench runs from, `+` behind it when files differ; None in a wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "fsbench", "baselines")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - fixed arguments


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
