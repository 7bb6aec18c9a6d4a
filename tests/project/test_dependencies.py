"""Dependencies: every one has a lower bound, and the listed licences match those of the packages."""

import itertools
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {"fsbench": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
FAMILIES = {  # licences by the names that packages use
    "MIT": r"\bMIT\b",
    "BSD": r"\b(0?BSD)\b",
    "Apache": r"\bApache\b",
    "MPL": r"\bMPL\b|Mozilla",
    "PSF": r"\bPSF\b|Python Software Foundation",
    "GPL": r"\b[AL]?GPL|GNU",
}


def families(text: str) -> set[str]:
    return {name for name, pattern in FAMILIES.items() if re.search(pattern, text)}


def name_of(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match, requirement
    return match[0]


def listed() -> dict[str, tuple[str, str]]:
    """Use and licence of each package in the table."""
    rows = re.findall(
        r"^\| ([\w-]+) \| ([\w, ]+) \| (.+) \|$", (ROOT / "LICENSES.md").read_text("utf-8"), re.M
    )
    return {name: (use, licence) for name, use, licence in rows if name != "package"}


def test_every_dependency_has_a_lower_bound():
    for requirement in itertools.chain.from_iterable(DECLARED.values()):
        assert re.search(r">=\d", requirement), requirement


def test_the_table_lists_the_declared_dependencies():
    uses: dict[str, list[str]] = {}
    for use, requirements in DECLARED.items():
        for requirement in requirements:
            uses.setdefault(name_of(requirement), []).append(use)
    assert {name: use for name, (use, _) in listed().items()} == {
        name: ", ".join(use) for name, use in uses.items()
    }


@pytest.mark.parametrize("name", listed())
def test_licences_match_those_of_the_packages(name: str):
    use, licence = listed()[name]
    try:
        about = metadata(name)
    except PackageNotFoundError:
        assert set(use.split(", ")).isdisjoint({"fsbench", "test"}), "it must be installed"
        return
    classifiers = [text for text in about.get_all("Classifier") or [] if text.startswith("License")]
    named = about.get("License-Expression") or (about.get("License") or "").partition("\n")[0]
    stated = families(" ".join([named, *classifiers]))
    assert not stated or stated & families(licence), (stated, licence)
    assert "GPL" not in stated or "GPL" in licence
