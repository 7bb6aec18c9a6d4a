"""The device, its memory and generators, and the versions that a measurement depends on."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from fsbench import __version__
from fsbench._util.errors import FsbenchError

# Of Linux. Other systems have none of them, and containers may hide them.
_MEMINFO, _CPUINFO = Path("/proc/meminfo"), Path("/proc/cpuinfo")
_CGROUP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # names in the CPU description
_UNREPORTED = 2 << 30  # bytes that are assumed to be free where the system does not report them


def find_device(name: str = "auto") -> torch.device:
    """Return a device by name; "auto" selects CUDA if available, else the CPU.

    MPS, the GPU of Apple's processors, must be named: nobody has tried fsbench on it.
    Processes started by `torchrun` on one machine each get a different CUDA device.

    Raises:
        FsbenchError: The name is invalid, or the device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        device = torch.device(name)
        if name != "cpu":
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        message = str(error).splitlines()[0]
        raise FsbenchError(f"device {name!r} cannot be used here: {message}") from error
    return device


def device_of_heads(device: torch.device) -> torch.device:
    """Return where heads run if networks run on `device`: MPS has no float64, which heads compute in."""
    return torch.device("cpu") if device.type == "mps" else device


def device_name(device: torch.device) -> str:
    """Return the model name of a device for timings; for a CPU with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else device.type


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bf16 without emulation; False for CPUs of ARM, where it was not tried."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    return not _BF16_FLAGS.isdisjoint(cpu_description().split())


def free_memory(device: torch.device) -> int:
    """Return the bytes that a device can use without swapping.

    On Linux, the system's caches count as free, and the memory limit of a container applies. macOS reports
    only its whole memory, of which half counts as free, and Windows none: there, 2 GiB are assumed.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        free = _numbers(_MEMINFO)["MemAvailable:"] * 1024
    except (OSError, KeyError, ValueError):
        free = _pages("SC_AVPHYS_PAGES") or _pages("SC_PHYS_PAGES") // 2 or _UNREPORTED
    limit = _free_in_cgroup()
    return free if limit is None else max(0, min(free, limit))


def _pages(name: str) -> int:
    """Return the size in bytes of a set of memory pages; 0 if the system does not report it."""
    try:
        return max(0, os.sysconf(name)) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _free_in_cgroup() -> int | None:
    """Return the bytes that the control group of this process may still use; None if it has no limit."""
    try:
        group = _CGROUPS / _CGROUP.read_text(encoding="utf-8").strip().rpartition("::/")[2]
        limit = int((group / "memory.max").read_text(encoding="utf-8"))  # "max" without a limit
        used = int((group / "memory.current").read_text(encoding="utf-8"))
        caches = _numbers(group / "memory.stat")["inactive_file"]  # which the system can free
        return limit - used + caches
    except (OSError, ValueError, KeyError):
        return None


def _numbers(path: Path) -> dict[str, int]:
    """Return the first number after each name of a file with one name per line."""
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {name: int(number) for name, number, *_ in rows}


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Restore the state of torch's global generators, of the CPU and of a device, after the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        mps_state = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if mps_state is not None:
                torch.mps.set_rng_state(mps_state)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of one device; `torch.manual_seed` seeds all devices."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def versions() -> dict[str, str]:
    """Return the versions of fsbench, Python, torch and NumPy."""
    return {
        "fsbench": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
    }


@cache
def commit() -> str | None:
    """Return the git commit of the checkout, followed by "+" if files were changed; None in a wheel."""
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
    """Return the output of a git command."""
    return _output("git", "-C", str(root), *arguments)


def _output(*command: str) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")  # noqa: S603 - fixed arguments
    return done.stdout.strip()


def cpu_description() -> str:
    """Return what Linux says of its CPUs; empty elsewhere."""
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _processor() -> str:
    """Return the model name of the CPU."""
    for line in cpu_description().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.CalledProcessError):
            return _output("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or platform.machine()
