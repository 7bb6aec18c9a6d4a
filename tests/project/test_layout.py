"""README tree, import layers and folders agree; the contributing guide names places that exist."""

import re
import tomllib
from pathlib import Path

import pytest

from fsbench.heads import HEADS
from fsbench.training.recipe import recipe_names

ROOT = Path(__file__).parents[2]
ADDITIONS = ("recipe", "head", "data set", "statistic")


def folders() -> set[str]:
    """All modules and packages that the import layers order."""
    modules = {path.name for path in (ROOT / "fsbench").glob("*.py")} - {"__init__.py", "__main__.py"}
    return modules | {f"{path.parent.name}/" for path in (ROOT / "fsbench").glob("*/__init__.py")}


def layers() -> list[str]:
    """The import layers from top to bottom; layers on one line keep their order."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = config["tool"]["importlinter"]["contracts"]
    return [name.strip() for line in contract["layers"] for name in re.split("[:|]", line)]


def tree() -> str:
    (text,) = re.findall(r"```\n(episodes/ .+?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    return text


def additions() -> dict[str, list[str]]:
    """Rows of the table of additions in CONTRIBUTING.md, by first cell."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip("*").removeprefix("a "): row[1:] for row in rows}


def test_readme_counts_heads_and_names_recipes_as_the_registries_do():
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert re.findall(r"(\d+) few-shot heads", text) == [str(len(HEADS))]
    transductive = sum(head.transductive for head in HEADS.values())
    assert f"few-shot heads, {transductive} of them transductive" in text
    (names,) = re.findall(r"Recipes: (.+?)\.", text)
    assert (
        sorted(re.split(", | and ", names.lower().replace("manifold mixup", "manifold-mixup")))
        == recipe_names()
    )


def test_readme_shows_every_folder_of_the_package_in_the_order_of_the_import_layers():
    shown = re.findall(r"^  (\S+) +\S", tree(), re.MULTILINE)
    assert [name.rstrip("/").removesuffix(".py") for name in shown] == layers()
    assert set(shown) == folders()


def test_readme_shows_folders_that_exist():
    shown = re.findall(r"^(\S+)/", tree(), re.MULTILINE)
    assert {"baselines", "episodes", "fsbench", "results", "tests"} <= set(shown)
    assert all((ROOT / name).is_dir() for name in shown)


@pytest.mark.parametrize("addition", ADDITIONS)
def test_contributing_says_where_to_add(addition: str):
    code, registration, tests = additions()[addition]
    (place, *_) = re.findall(r"`(\S+/\S*)`", code)
    assert place.partition("/")[0] in ("baselines", "fsbench")
    assert re.findall(r"`(tests/\S+)`", tests)
    assert registration


def test_contributing_names_paths_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w.-]+/[\w./-]*)`|\]\(([\w./-]+)\)", text)
    assert len(paths) > 10
    missing = [path for path in map("".join, paths) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("addition", ADDITIONS)
def test_registries_are_where_contributing_says(addition: str):
    registration = additions()[addition][1]
    for name, path in re.findall(r"`([A-Z_a-z]+)` in `(\S+)`", registration):
        assert re.search(rf"^{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), path
