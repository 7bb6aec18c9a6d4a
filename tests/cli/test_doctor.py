"""`fsbench doctor`: the state of this machine, and each warning."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numba
import pytest
import torch

from fsbench.cli import _installation, main
from fsbench.cli._installation import GIB, Checkup, Device, Store, examine, troubles
from fsbench.data.preparation import prepare


@pytest.fixture(scope="module")
def fine(cache: Path) -> Checkup:
    """The checkup of a machine without problems."""
    device = Device("cuda:0", "a card", bf16=True, precision="bf16", compiled=True, free_memory=70 * GIB)
    checkup = replace(examine(cache), cuda=None, devices=(device,), threads=4, cores=4)
    return replace(checkup, cache_writable=True, here_writable=True, free_disk=100 * GIB)


class TestExamine:
    def test_versions_and_device(self, cache: Path):
        checkup = examine(cache)
        assert checkup.versions["torch"] == torch.__version__
        assert checkup.versions["numba"] == numba.__version__
        assert checkup.broken == {}
        cpu = checkup.devices[-1]
        assert (cpu.device, cpu.precision, cpu.compiled) == ("cpu", "float32", False)
        assert cpu.free_memory > 0
        assert checkup.threads == torch.get_num_threads()
        assert checkup.cores >= 1

    def test_cache_and_data_sets(self, tiny_folder: Path, tmp_path: Path):
        path = prepare("mine", tiny_folder, cache=tmp_path, quiet=True)
        (tmp_path / "other").write_bytes(b"12345")
        checkup = examine(tmp_path)
        (store,) = checkup.stores
        assert (store.path, store.bytes) == (path, path.stat().st_size)
        assert {name: part.classes for name, part in store.contents.splits.items()} == {
            "base": 6,
            "val": 5,
            "novel": 7,
        }
        assert checkup.cache_bytes == path.stat().st_size + 5
        assert checkup.cache_writable

    def test_a_missing_cache_is_not_created(self, tmp_path: Path):
        checkup = examine(tmp_path / "a" / "b")
        assert (checkup.stores, checkup.cache_bytes) == ((), 0)
        assert checkup.free_disk > 0
        assert not list(tmp_path.iterdir())

    def test_a_torn_store_is_a_warning(self, tmp_path: Path):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "mine@32.h5").write_bytes(b"torn")
        checkup = examine(tmp_path)
        assert checkup.stores[0].contents is None
        assert any("mine@32.h5 is not a readable image store" in line for line in troubles(checkup))

    def test_the_cpu_quota_of_a_container_applies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(_installation, "CPU_QUOTA", tmp_path / "cpu.max")
        affinity = _installation._cores()
        for text, cores in (
            ("max 100000\n", affinity),
            ("100000 100000\n", 1),
            ("50000 100000\n", 1),
            ("99900000 100000\n", affinity),
        ):
            (tmp_path / "cpu.max").write_text(text)
            assert _installation._cores() == cores

    def test_cores_where_the_system_has_neither_affinity_nor_quota(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(_installation, "CPU_QUOTA", tmp_path / "cpu.max")
        monkeypatch.delattr(_installation.os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(_installation.os, "cpu_count", lambda: 7)
        assert _installation._cores() == 7

    def test_a_package_that_cannot_be_imported(self, cache: Path, monkeypatch: pytest.MonkeyPatch):
        def broken(name: str) -> None:
            raise RuntimeError(f"operator {name}::nms does not exist\nsecond line")

        monkeypatch.setattr(_installation.importlib, "import_module", broken)
        checkup = examine(cache)
        assert checkup.broken["torchvision"] == "operator torchvision::nms does not exist"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="the card can be used")
    def test_a_driver_whose_card_cannot_be_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        assert _installation._why_no_cuda() is None or _installation.NVIDIA_DRIVER.exists()
        monkeypatch.setattr(_installation, "NVIDIA_DRIVER", tmp_path)
        monkeypatch.setattr(torch.version, "cuda", None)
        assert "is built without CUDA" in _installation._why_no_cuda()
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        assert "cannot use CUDA (" in _installation._why_no_cuda()


HURTS: list[tuple[Callable[[Checkup], Checkup], str]] = [
    (
        lambda checkup: replace(checkup, broken={"numba": "needs another NumPy"}),
        "numba cannot be imported (needs another NumPy)",
    ),
    (lambda checkup: replace(checkup, cuda="there is a card"), "there is a card"),
    (
        lambda checkup: replace(checkup, threads=5),
        "5 threads on 4 cores, which is slower; set OMP_NUM_THREADS=4",
    ),
    (lambda checkup: replace(checkup, cache_writable=False), "cannot write into the cache"),
    (lambda checkup: replace(checkup, here_writable=False), f"cannot write into {Path.cwd()}"),
    (lambda checkup: replace(checkup, free_disk=GIB), "only 1.0 GiB free on the disk of the cache"),
    (
        lambda checkup: replace(checkup, devices=(replace(checkup.devices[0], free_memory=GIB // 2),)),
        "only 0.5 GiB of memory free on cuda:0",
    ),
    (
        lambda checkup: replace(checkup, stores=(Store(Path("a@8.h5"), 9, None),)),
        "a@8.h5 is not a readable image store",
    ),
]


@pytest.mark.parametrize(("worsen", "message"), HURTS, ids=[message for _, message in HURTS])
def test_each_problem_gives_one_line(worsen: Callable[[Checkup], Checkup], message: str, fine: Checkup):
    assert troubles(fine) == []
    (line,) = troubles(worsen(fine))
    assert message in line
    assert "\n" not in line


def test_a_folder_without_write_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        _installation.os, "access", lambda path, mode: path != tmp_path
    )  # root may write anywhere
    checkup = examine(tmp_path / "cache")
    assert not checkup.cache_writable
    assert checkup.here_writable


def test_the_command_prints_the_checkup(cache: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    assert main(["doctor", "--cache", str(cache)]) == 0
    output = capsys.readouterr()
    for text in (f"torch        {torch.__version__}", f"cache: {cache}", "tiny@16", "6 base, 5 val, 7 novel"):
        assert text in output.out
    assert re.search(r"supports bf16  default precision\n.* free  (yes|no) +(bf16|fp16|float32)", output.out)
    assert output.err == ""
    monkeypatch.setattr(_installation, "LITTLE_DISK", 1 << 62)
    assert main(["doctor", "--cache", str(cache)]) == 0
    assert "\nwarning: only" in capsys.readouterr().out
    assert main(["doctor", "--cache", str(cache), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["stores"][0]["contents"]["splits"]["novel"]["images"] == 140
    assert any("of the cache" in line for line in printed["warnings"])
