"""The built wheel has one import package, which includes all data files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_only_fsbench_at_the_top(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fsbench"}


def test_files_beside_the_code_are_inside(wheel: Path):
    """Data files of the package: templates with styles and scripts, stubs and tables."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    for suffix in ("html", "css", "js", "csv", "pyi"):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fsbench").rglob(f"*.{suffix}")}
        assert files
        assert files <= inside


@pytest.mark.parametrize("kind", ["baselines", "episodes"])
def test_the_content_matches_the_checkout(wheel: Path, kind: str):
    inside = {
        name.removeprefix(f"fsbench/content/{kind}/")
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith(f"fsbench/content/{kind}/")
    }
    outside = {
        path.relative_to(ROOT / kind).as_posix()
        for path in (ROOT / kind).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == outside != set()


def test_installed_wheel_finds_its_content(wheel: Path, tmp_path: Path):
    """Run from the unpacked wheel only, outside the checkout."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import fsbench, fsbench.training.recipe as r; from fsbench._util.content import content_folder as c;"
        "print(fsbench.__file__); print(r.load_recipe('erm').name); print(len(list(c('episodes').iterdir())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    where, recipe, lists = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert recipe == "erm"
    assert int(lists) > 0
