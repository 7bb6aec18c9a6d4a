"""The packages: what is in wheel and sdist, and that the wheel alone finds its content.

They are built here, or taken from the folder $FSBENCH_DIST, as `make dist` does.
"""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder

import hatch_build

ROOT = Path(__file__).parents[2]
SUFFIXES = ("html", "css", "js", "csv", "json", "pyi", "typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if folder := os.environ.get("FSBENCH_DIST"):
        (built,) = (ROOT / folder).glob("*.whl")
        return built
    made = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = made.glob("*.whl")
    return built


@pytest.fixture
def sdist() -> set[str]:
    """Names of the files in the sdist; compressing it would take half a minute."""
    if folder := os.environ.get("FSBENCH_DIST"):
        (built,) = (ROOT / folder).glob("*.tar.gz")
        with tarfile.open(built) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}
    return {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}


def metadata(wheel: Path) -> dict[str, list[str]]:
    """The fields of the wheel's metadata; the README is `body`."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = Parser().parsestr(archive.read(name).decode())
    return {**{key: message.get_all(key) or [] for key in message}, "body": [message.get_payload()]}


def test_the_sdist_is_what_git_tracks_without_checkpoints(sdist: set[str]):
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    tracked = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()}
    left_out = {name for name in tracked if name.startswith("results/checkpoints/")}
    assert tracked - sdist == left_out != set()
    if os.environ.get("FSBENCH_DIST"):  # elsewhere, some files may not be committed yet
        assert sdist - tracked == {"PKG-INFO"}


def test_the_metadata_names_no_address_that_nobody_knows(wheel: Path):
    if "FSBENCH_REPOSITORY" in os.environ:
        pytest.skip("the address is known")
    about = metadata(wheel)
    assert "Project-URL" not in about
    assert about["License-Expression"] == ["MIT"]
    assert about["body"][0].strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_a_release_links_its_repository(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FSBENCH_REPOSITORY", "https://host/owner/name/")
    about: dict[str, Any] = {"version": "1.2"}
    hatch_build.PublishedMetadata(str(ROOT), {}).update(about)
    assert about["urls"] == {
        "Repository": "https://host/owner/name",
        "Changelog": "https://host/owner/name/blob/v1.2/CHANGELOG.md",
        "Issues": "https://host/owner/name/issues",
    }
    assert not re.search(
        r"\]\((?!https?:|#)", re.sub("```.*?```", "", about["readme"]["text"], flags=re.DOTALL)
    )


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("[a](LICENSE) [b](tests/)", "[a](P/LICENSE) [b](P/tests/)"),
        ("![a](docs/a.png)", "![a](F/docs/a.png)"),
        ("[![a](a.svg)](LICENSE)", "[![a](F/a.svg)](P/LICENSE)"),
        ('<img src="a.png"> <a href="b.md">', '<img src="F/a.png"> <a href="P/b.md">'),
        ("[a][1]\n\n[1]: docs/index.md", "[a][1]\n\n[1]: P/docs/index.md"),
        ("[a](#b) [c](https://d.org) [e](mailto:f)", "[a](#b) [c](https://d.org) [e](mailto:f)"),
        ("[a](<docs/my file.md>) [b](<https://d.org>)", "[a](<P/docs/my file.md>) [b](<https://d.org>)"),
        ('<source srcset="a.png, b.png 2x">', '<source srcset="F/a.png, F/b.png 2x">'),
        (
            '<source srcset="https://d.org/a.png 1x, b.png 2x">',
            '<source srcset="https://d.org/a.png 1x, F/b.png 2x">',
        ),
        ("[`a`](b) ![`a`](c.png)", "[`a`](P/b) ![`a`](F/c.png)"),
    ],
)
def test_relative_links_of_the_readme_become_absolute(text: str, absolute: str):
    assert hatch_build.with_absolute_links(text, "F/", "P/") == absolute


@pytest.mark.parametrize(
    "code",
    [
        "```\n[a](b)\n```\n",
        "1. one\n\n   ```md\n   [a](b)\n\n   [c](d)\n   ```\n",
        "````md\n```\n[a](b)\n```\n[c](d)\n````\n",
        'write `[a](b)` or ``[`a`](b)`` or `<img\nsrc="a.png">`',
    ],
)
def test_code_of_the_readme_stays_as_it_is(code: str):
    assert hatch_build.with_absolute_links(f"{code}\n[a](b)\n", "F/", "P/") == f"{code}\n[a](P/b)\n"


def test_only_fsbench_at_the_top(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fsbench"}
    assert not [name for name in names if {"tests", "results", "__pycache__"} & set(name.split("/"))]


def test_files_beside_the_code_are_inside(wheel: Path):
    """Data files of the package: templates with styles and scripts, stubs and tables."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    for suffix in SUFFIXES:
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
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    where, recipe, lists = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert recipe == "erm"
    assert int(lists) > 0
