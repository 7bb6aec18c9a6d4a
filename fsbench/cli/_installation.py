"""Examine versions, devices, memory and disk of this machine, and list problems."""

import importlib
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError
from fsbench._util.files import cache_folder
from fsbench.data.image_store import prepared_stores
from fsbench.data.summary import Contents, contents
from fsbench.training.precision import choose_compute

GIB = 1 << 30
LITTLE_DISK = 2 * GIB  # the image store of mini-ImageNet at 84 px takes 1.2 GiB
LITTLE_MEMORY = 2 * GIB  # base images stay in memory, those of mini-ImageNet at 84 px in 0.8 GiB
PACKAGES = (
    "torch", "torchvision", "numba", "numpy", "scipy", "h5py", "safetensors", "pandas", "pillow",
    "matplotlib", "timm", "datasets", "tensorboard", "umap-learn",
)  # fmt: skip
FRAGILE = ("torchvision", "numba")  # packages that need certain versions of torch and numpy to be imported
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of CPU time in a period: what a container may use


@dataclass(frozen=True)
class Device:
    """A device that networks run on."""

    device: str  # as --device takes it
    name: str
    bf16: bool  # whether it computes in bf16 without emulation
    precision: str  # default precision of training
    compiled: bool  # whether training compiles the network by default
    free_memory: int  # bytes


@dataclass(frozen=True)
class Store:
    """A prepared data set."""

    path: Path
    bytes: int
    contents: Contents | None  # None: unreadable


@dataclass(frozen=True)
class Checkup:
    """The state of an installation; sizes in bytes."""

    versions: dict[str, str]  # of fsbench, Python and installed packages
    commit: str | None  # of the checkout that fsbench runs from
    broken: dict[str, str]  # error of each package that cannot be imported
    devices: tuple[Device, ...]  # the default one comes first
    cuda: str | None  # reason why an existing GPU cannot be used
    threads: int  # of torch on the CPU
    cores: int  # available to this process
    cache: Path
    cache_bytes: int
    cache_writable: bool
    here_writable: bool  # the current folder, below which runs and results are written
    free_disk: int  # on the disk of the cache
    stores: tuple[Store, ...]


def examine(cache: Path | None = None) -> Checkup:
    """Examine versions, devices, cache and data sets, without writing anything.

    Raises:
        FsbenchError: The cache cannot be read.
    """
    cuda = _why_no_cuda()  # first, since torch may warn only once
    folder = cache_folder(cache)
    paths = [path for sizes in prepared_stores(cache).values() for path in sizes.values()]
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    installed = {name: number for name in PACKAGES if (number := _version(name))}
    if torch.version.cuda:
        installed["cuda"] = torch.version.cuda
    return Checkup(
        versions={**machine.versions(), **installed, "torch": str(torch.__version__)},
        commit=machine.commit(),
        broken={name: why for name in FRAGILE if (why := _why_broken(name))},
        devices=tuple(map(_device, _devices())),
        cuda=cuda,
        threads=torch.get_num_threads(),
        cores=_cores(),
        cache=folder,
        cache_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        cache_writable=os.access(existing, os.W_OK),
        here_writable=os.access(Path.cwd(), os.W_OK),
        free_disk=shutil.disk_usage(existing).free,
        stores=tuple(Store(path, path.stat().st_size, _contents(path)) for path in paths),
    )


def troubles(checkup: Checkup) -> list[str]:
    """Describe each problem and its remedy in one line."""
    return [*_software_problems(checkup), *_storage_problems(checkup)]


def _software_problems(checkup: Checkup) -> Iterator[str]:
    """Yield problems of packages, GPUs, threads and image stores."""
    for name, why in checkup.broken.items():
        yield f"{name} cannot be imported ({why}); install it, torch and numpy in versions that fit"
    if checkup.cuda:
        yield checkup.cuda
    if checkup.threads > checkup.cores:
        yield (
            f"torch computes with {checkup.threads} threads on {checkup.cores} cores, which is slower; "
            f"set OMP_NUM_THREADS={checkup.cores}"
        )
    for store in checkup.stores:
        if store.contents is None:
            yield f"{store.path} is not a readable image store; prepare it again with --force"


def _storage_problems(checkup: Checkup) -> Iterator[str]:
    """Yield problems of folders, disk space and memory."""
    if not checkup.cache_writable:
        yield f"cannot write into the cache {checkup.cache}; name another with --cache or FSBENCH_CACHE"
    if not checkup.here_writable:
        yield f"cannot write into {Path.cwd()}, where runs and results go; name another folder with --out"
    if checkup.free_disk < LITTLE_DISK:
        yield f"only {gib(checkup.free_disk)} free on the disk of the cache, {checkup.cache}"
    for device in checkup.devices:
        if device.free_memory < LITTLE_MEMORY:
            yield f"only {gib(device.free_memory)} of memory free on {device.device}, where images are kept"


def gib(size: int) -> str:
    """Format a size in bytes."""
    return f"{size / GIB:.1f} GiB"


def _devices() -> Iterator[torch.device]:
    """Yield the devices of this machine, the default one first."""
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        yield torch.device("cuda", number)
    yield torch.device("cpu")
    if torch.backends.mps.is_available():
        yield torch.device("mps")


def _device(device: torch.device) -> Device:
    """Describe a device."""
    compute = choose_compute(device)
    name = machine.device_name(device)
    return Device(
        str(device),
        name,
        machine.has_bf16(device),
        compute.precision,
        compute.compile,
        machine.free_memory(device),
    )


def _why_no_cuda() -> str | None:
    """Return why torch cannot use the GPU of an installed driver; None if it can or there is no driver."""
    if not NVIDIA_DRIVER.exists():
        return None
    if torch.version.cuda is None:
        return f"there is an NVIDIA driver, but torch {torch.__version__} is built without CUDA"
    with warnings.catch_warnings(record=True) as messages:  # torch warns of what is wrong with a driver
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    why = str(messages[0].message).splitlines()[0] if messages else "it finds no device"
    return f"there is an NVIDIA driver, but torch {torch.__version__} cannot use CUDA ({why})"


def _cores() -> int:
    """Return the cores that this process may use, by its affinity and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # other systems have no quota, and "max" stands for none
        quota, period = CPU_QUOTA.read_text(encoding="utf-8").split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _why_broken(package: str) -> str | None:
    """Return the error of importing a package; None if there is none."""
    try:
        importlib.import_module(package)
    except Exception as error:  # extension modules raise errors of any kind
        return str(error).partition("\n")[0]
    return None


def _contents(path: Path) -> Contents | None:
    """Describe an image store; None if it cannot be read."""
    try:
        return contents(path)
    except FsbenchError:
        return None
