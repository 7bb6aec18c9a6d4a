"""What is needed to publish: make, workflows, issue forms, citation and changelog agree with each other."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import fsbench

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
CHANGES = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]  # keepachangelog.com
# Folders of the machine that a page was written on, and hosts that packages come from.
FOLDERS = ("work", "root", "tmp", "home", "opt", "Users")
HOSTS = (
    ("python", "hosted"),
    ("download", r"\.pytorch"),
    ("pypi", r"\.org/simple"),
    ("registry", r"\.npmjs"),
)
LOCAL = re.compile("|".join([f"/({'|'.join(FOLDERS)})/", "index-url", *map("".join, HOSTS)]))


def text_of(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w.-]*):", text_of("Makefile"), re.MULTILINE))


def called_targets(text: str) -> set[str]:
    words = [line.split() for line in re.findall(r"(?:^|run: )make (.+)$", text, re.MULTILINE)]
    return {word for line in words for word in line if "=" not in word}


def jobs() -> dict[str, dict[str, Any]]:
    return {
        f"{path.stem} {name}": job
        for path in WORKFLOWS
        for name, job in yaml.safe_load(text_of(path))["jobs"].items()
    }


class TestMake:
    def test_alone_lists_every_target_in_groups(self):
        if not shutil.which("make"):
            pytest.skip("no make")
        listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
        phony = set(re.findall(r"[\w-]+", "".join(re.findall(r"^\.PHONY:(.+)$", text_of("Makefile"), re.M))))
        assert set(re.findall(r"^  (\S+)  ", listed, re.MULTILINE)) == phony - {"help"}
        assert len(re.findall(r"^[A-Z].*$", listed, re.MULTILINE)) > 4
        assert max(map(len, listed.splitlines())) <= 80

    def test_installation_is_never_silent(self):
        assert not re.search(r"pip install.*(-q|--quiet)", text_of("Makefile"))

    def test_workflows_and_ci_call_targets_that_exist(self):
        by_ci = called_targets(text_of(".ci/run"))
        by_workflows = set().union(*(called_targets(text_of(path)) for path in WORKFLOWS))
        assert {"lint", "test"} <= by_ci <= by_workflows <= make_targets()
        assert {"docs", "dist", "test-browser"} <= by_workflows


class TestWorkflows:
    def test_may_only_read_except_to_prove_who_publishes(self):
        for path in WORKFLOWS:
            assert yaml.safe_load(text_of(path))["permissions"] == {"contents": "read"}
        granted = {name: job["permissions"] for name, job in jobs().items() if "permissions" in job}
        assert granted == {"release publish": {"id-token": "write"}}

    def test_publishing_waits_for_the_tests(self):
        release = jobs()
        assert release["release publish"]["needs"] == "ci"
        assert release["release ci"]["uses"] == "./.github/workflows/ci.yml"

    def test_actions_are_pinned_to_a_major_version(self):
        used = [line for path in WORKFLOWS for line in re.findall(r"uses: (\S+)", text_of(path))]
        assert len(used) > 5
        assert [name for name in used if not re.search(r"@(v\d+|release/v\d+)$|^\./", name)] == []

    def test_every_job_ends(self):
        assert [
            name for name, job in jobs().items() if "uses" not in job and "timeout-minutes" not in job
        ] == []

    def test_the_tests_run_on_every_supported_python_and_system(self):
        matrix = jobs()["ci test"]["strategy"]["matrix"]
        named = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
        assert matrix["python"] == named
        systems = {*matrix["os"], *(more["os"] for more in matrix["include"])}
        assert systems == {"ubuntu-latest", "macos-latest", "windows-latest"}
        operating = [text for text in PROJECT["classifiers"] if text.startswith("Operating System")]
        assert len(operating) == len(systems)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_complete(path: Path):
    form = yaml.safe_load(text_of(path))
    assert {"name", "description", "body"} <= form.keys()
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields) > 0
    assert all(part["attributes"].get("label") for part in fields)


def test_there_is_a_form_for_bugs_questions_and_results():
    assert [path.stem for path in FORMS] == ["bug", "question", "result"]


def test_the_citation_agrees_with_the_package():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == fsbench.__version__
    assert citation["license"] == PROJECT["license"]
    assert [author["name"].lower() for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    assert {"doi", "url", "repository-code"}.isdisjoint(citation)  # none exists


def test_the_changelog_keeps_its_form():
    text = text_of("CHANGELOG.md")
    assert "keepachangelog.com" in text
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", version) for version in versions[1:])
    for section in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert kinds == [kind for kind in CHANGES if kind in kinds]


def test_no_page_or_workflow_names_a_machine_or_a_registry():
    pages = [
        *ROOT.glob("*.md"), *ROOT.glob("*.cff"), *ROOT.glob("*.yml"), *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".github").rglob("*.*"), *(ROOT / "results").glob("*.md"),
        ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / ".ci" / "run",
    ]  # fmt: skip
    assert len(pages) > 20
    named = [
        f"{path.relative_to(ROOT)}: {match[0]}" for path in pages for match in LOCAL.finditer(text_of(path))
    ]
    assert not named
