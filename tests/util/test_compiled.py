"""Numba stores compiled code in a folder that belongs to the sources it was compiled from."""

import os
from pathlib import Path

import pytest

from fsbench._util.compiled import is_kept, keep_compiled_code


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "restored afterwards")
    del os.environ["NUMBA_CACHE_DIR"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in ("heads/_sgd_numba.py", "heads/_sgd.py", "models/conv4.py"):
        (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / name).write_text("RATE = 1", encoding="utf-8")
    return tmp_path / "package"


def folder_of(package: Path, tmp_path: Path) -> str:
    os.environ.pop("NUMBA_CACHE_DIR", None)
    keep_compiled_code(tmp_path / "cache", package)
    return os.environ["NUMBA_CACHE_DIR"]


def test_the_folder_is_made_below_the_cache(package, tmp_path):
    assert not is_kept()
    folder = Path(folder_of(package, tmp_path))
    assert is_kept()
    assert folder.is_dir()
    assert folder.parent == tmp_path / "cache" / "compiled"


@pytest.mark.parametrize(("name", "matters"), [("heads/_sgd.py", True), ("models/conv4.py", False)])
def test_a_constant_of_a_file_beside_compiled_code_changes_the_folder(package, tmp_path, name, matters):
    before = folder_of(package, tmp_path)
    assert folder_of(package, tmp_path) == before
    (package / name).write_text("RATE = 2", encoding="utf-8")
    assert (folder_of(package, tmp_path) != before) == matters


def test_the_package_itself_has_compiled_code(tmp_path):
    keep_compiled_code(tmp_path)
    with_code = Path(os.environ["NUMBA_CACHE_DIR"]).name
    (tmp_path / "empty").mkdir()
    assert Path(folder_of(tmp_path / "empty", tmp_path)).name != with_code


def test_the_folder_that_a_user_names_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    keep_compiled_code(tmp_path)
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    keep_compiled_code(tmp_path / "file")
    assert not is_kept()
