from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fsbench._util import machine
from fsbench._util.errors import FsbenchError


def test_devices_by_name():
    assert machine.find_device("cpu") == torch.device("cpu")
    assert machine.find_device("auto").type in {"cpu", "cuda"}


def test_the_gpu_of_apple_is_used_only_if_it_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert machine.find_device("auto") == torch.device("cpu")
    assert machine.device_of_heads(torch.device("mps")) == torch.device("cpu")
    assert machine.device_of_heads(torch.device("cuda:1")) == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["cpuu", "", "cuda:99"])
def test_unavailable_devices_are_named(name):
    with pytest.raises(FsbenchError, match=f"device '{name}' cannot be used here") as raised:
        machine.find_device(name)
    assert "\n" not in str(raised.value)


def test_device_name_has_processor_and_threads():
    n_threads = torch.get_num_threads()
    text = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    assert machine.device_name(torch.device("cpu")).endswith(f", {text}")


def test_the_processor_without_proc(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.cpu_description() == ""
    assert machine.device_name(torch.device("cpu")).startswith("arm64, ")
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine, "_output", lambda *command: f"name by {Path(command[0]).name}")
    assert machine.device_name(torch.device("cpu")).startswith("name by sysctl, ")

    def missing(*_: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(machine, "_output", missing)
    assert machine.device_name(torch.device("cpu")).startswith("arm64, ")


def test_versions_of_fsbench_python_torch_and_numpy():
    assert machine.versions()["torch"] == torch.__version__
    assert machine.versions().keys() == {"fsbench", "python", "torch", "numpy"}


MEMINFO = """MemTotal:       16318480 kB
MemFree:          204800 kB
MemAvailable:    8388608 kB
HugePages_Total:       0
"""
GIB = 1 << 30


@pytest.fixture
def system(tmp_path: Path, monkeypatch) -> Path:
    """A replacement of /proc and /sys/fs/cgroup: 0.2 GiB free, 8 GiB available, no limit."""
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    (tmp_path / "a" / "b" / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "a" / "b" / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\n")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    return tmp_path


def test_memory_in_caches_counts_as_free(system: Path):
    assert machine.free_memory(torch.device("cpu")) == 8 * GIB


@pytest.mark.parametrize(("limit", "free"), [(4 * GIB, 2 * GIB), (GIB, 0), (64 * GIB, 8 * GIB)])
def test_the_memory_limit_of_a_container_applies(system: Path, limit: int, free: int):
    """The container uses 3 GiB, of which 1 GiB is cache."""
    (system / "a" / "b" / "memory.max").write_text(f"{limit}\n")
    assert machine.free_memory(torch.device("cpu")) == free


@pytest.mark.parametrize("content", [None, "", "MemFree: 5 kB\n", "MemAvailable: much kB\n", "\n"])
def test_free_memory_without_meminfo(system: Path, monkeypatch, content: str | None):
    if content is None:
        (system / "meminfo").unlink()
    else:
        (system / "meminfo").write_text(content)

    def systems_with(pages: dict[str, int]) -> Callable[[str], int]:
        def sysconf(name: str) -> int:
            if name not in pages:
                raise ValueError("unrecognized configuration name")
            return pages[name]

        return sysconf

    size = {"SC_PAGE_SIZE": 4096}
    for pages, free in (
        ({"SC_AVPHYS_PAGES": 10, "SC_PHYS_PAGES": 100, **size}, 10 * 4096),
        ({"SC_PHYS_PAGES": 100, **size}, 50 * 4096),  # macOS
        ({"SC_AVPHYS_PAGES": -1, "SC_PHYS_PAGES": -1, **size}, 2 * GIB),
        ({}, 2 * GIB),
    ):
        monkeypatch.setattr(machine.os, "sysconf", systems_with(pages))
        assert machine.free_memory(torch.device("cpu")) == free
    monkeypatch.delattr(machine.os, "sysconf")  # Windows
    assert machine.free_memory(torch.device("cpu")) == 2 * GIB
