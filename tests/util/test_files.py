import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fsbench._util import files
from fsbench._util.errors import FsbenchError, unknown
from fsbench._util.files import (
    atomic_write,
    cache_folder,
    check_writable,
    exclusive_lock,
    sha256_of,
    write_text,
)


def test_write_text_replaces_the_whole_file(tmp_path: Path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text(path, "old\n")

    def torn() -> None:
        with atomic_write(path) as part:
            part.write_text("torn")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        torn()
    assert path.read_text() == "old\n"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.linux
def test_a_killed_write_leaves_no_file_under_the_name(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path; from fsbench._util.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as part:\n"
        "    part.write_text('torn'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.txt"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()


@pytest.mark.linux
def test_data_is_synced_before_the_rename_and_the_folder_after_it(tmp_path: Path, monkeypatch):
    """The system calls in order; a file has the same inode before and after the rename."""
    calls: list[tuple[str, int, int]] = []  # (call, inode, size)

    def fsync(handle: int) -> None:
        status = os.fstat(handle)
        calls.append(("sync", status.st_ino, status.st_size))
        sync(handle)

    def replace(old: Path, new: Path) -> None:
        calls.append(("rename", old.stat().st_ino, old.stat().st_size))
        rename(old, new)

    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "a.txt", "x" * 100_000)
    calls.append(("end", 0, 0))
    file, folder = (tmp_path / "a.txt").stat().st_ino, tmp_path.stat()
    assert calls == [
        ("sync", file, 100_000),
        ("rename", file, 100_000),
        ("sync", folder.st_ino, folder.st_size),
        ("end", 0, 0),
    ]


@pytest.mark.linux
def test_the_next_write_removes_leftovers_but_not_files_being_written(tmp_path: Path):
    for name in (".a.txt.abc.part", ".[a].txt.abc.part", ".b.txt.abc.part", "a.txt.abc.part"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "a.txt") as first:
        first.write_text("first")
        write_text(tmp_path / "a.txt", "second")
        assert first.exists()
    kept = {".[a].txt.abc.part", ".b.txt.abc.part", "a.txt.abc.part"}
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", *kept}
    assert (tmp_path / "a.txt").read_text() == "first"
    write_text(tmp_path / "[a].txt", "third")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "[a].txt", *kept} - {".[a].txt.abc.part"}


def test_files_are_written_where_folders_have_no_locks(tmp_path: Path, monkeypatch):
    """As on Windows, where a folder cannot even be opened."""

    def refuse(path: Path, flags: int, *mode: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "is a folder")
        return open_file(path, flags, *mode)

    open_file = os.open
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FsbenchError, match="is a folder"):
        write_text(tmp_path / "a.txt", "with locks")
    monkeypatch.setattr(files, "_FOLDERS_HAVE_LOCKS", False)
    write_text(tmp_path / "a.txt", "one")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_that_another_process_reads_is_replaced_after_that(tmp_path: Path, monkeypatch):
    """Windows refuses to replace an open file."""
    attempts: list[Path] = []

    def replace(old: Path, new: Path) -> None:
        attempts.append(new)
        if len(attempts) < 3:
            raise PermissionError(13, "is open")
        rename(old, new)

    rename = os.replace
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files, "_PAUSES", (0.0, 0.0))
    write_text(tmp_path / "a.txt", "one")
    assert len(attempts) == 3
    attempts.clear()
    monkeypatch.setattr(files, "_PAUSES", (0.0,))
    with pytest.raises(FsbenchError, match=r"cannot write .*a\.txt: is open"):
        write_text(tmp_path / "a.txt", "two")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "one"


@pytest.mark.linux
def test_a_full_disk_gives_one_line(tmp_path: Path):
    with (
        pytest.raises(FsbenchError, match=r"cannot write .*a\.txt: no space left"),
        atomic_write(tmp_path / "a.txt"),
        Path("/dev/full").open("w", encoding="utf-8") as full,
    ):
        full.write("x" * 100_000)
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_written_are_refused_before_work_starts(tmp_path: Path):
    (tmp_path / "a").write_text("")
    for path, message in ((tmp_path / "a" / "b.csv", "a is not a folder"), (tmp_path, "is a directory")):
        with pytest.raises(FsbenchError, match=f"^cannot write {re.escape(str(path))}: .*{message}"):
            check_writable(path)
    check_writable(tmp_path / "new" / "folder" / "b.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_in_place_of_a_folder_gives_one_line(tmp_path: Path):
    (tmp_path / "a").write_text("")
    with pytest.raises(FsbenchError, match="cannot write"):
        write_text(tmp_path / "a" / "b.txt", "x")
    with pytest.raises(FsbenchError, match="cannot write"), exclusive_lock(tmp_path / "a" / "b.txt"):
        pass


def test_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
    with pytest.raises(FsbenchError, match="cannot read"):
        sha256_of(tmp_path / "b")


def test_cache_folder_argument_then_environment_then_default(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "named"))
    assert cache_folder(tmp_path / "chosen") == tmp_path / "chosen"
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("FSBENCH_CACHE")
    assert cache_folder().name == "fsbench"


def test_unknown_suggests_the_closest_name_or_lists_all():
    assert "did you mean 'logistic'?" in str(unknown("head", "logistics", ["logistic", "ridge"]))
    assert str(unknown("preset", "slow", ["paper", "fast"], "recipe 'erm'")) == (
        "recipe 'erm' has no preset 'slow'; choose fast, paper"
    )
    assert "choose logistic, ridge" in str(unknown("head", "xyz", ["ridge", "logistic"]))
    assert str(unknown("class", "nope", ["novel-00", "novel-01"])).endswith("choose novel-00, novel-01")


@pytest.mark.linux
def test_write_errors_are_deferred_until_check(tmp_path: Path):
    """HDF5 reads its own tables again and crashes if it did not write them."""
    import resource

    data = bytes(range(256)) * 4
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with files._DeferredErrors(tmp_path / "x", "w+") as disk:
            assert disk.write(data) == len(data)
            disk.seek(512)
            assert disk.write(b"new") == 3
            disk.seek(0)
            buffer = bytearray(len(data))
            assert disk.readinto(buffer) == len(data)
            assert bytes(buffer) == data[:512] + b"new" + data[515:]
            with pytest.raises(OSError, match="File too large"):
                disk.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
