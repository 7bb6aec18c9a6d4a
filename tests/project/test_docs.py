"""The site builds without warnings, its links work, it documents public names and loads no remote file."""

import importlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from fsbench.evaluation import result_files
from fsbench.heads import HEADS
from fsbench.training.recipe import recipe_names

ROOT = Path(__file__).parents[2]
FETCHED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}  # by a browser
NOT_FETCHED = {"canonical", "next", "prev"}  # kinds of <link> that a browser does not load


class Page(HTMLParser):
    """Links of a page, the files that it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        if FETCHED.get(tag) in values and values.get("rel") not in NOT_FETCHED:
            self.fetched.add(values[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    parsed = {path: Page(path) for path in site.rglob("*.html")}
    assert len(parsed) > 20
    return parsed


@pytest.mark.docs
def test_site_has_every_page_and_the_leaderboard(site: Path):
    expected = {
        path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")
    }
    assert {Path("results/leaderboard.html"), Path("results/README.md"), *expected} <= {
        path.relative_to(site) for path in site.rglob("*")
    }


@pytest.mark.docs
def test_every_link_has_a_target(site: Path, pages: dict[Path, Page]):
    dead = []
    for path, page in pages.items():
        for link in page.links | page.fetched:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            works = target.is_file() and target.is_relative_to(site)
            if works and parts.fragment and target in pages:
                works = unquote(parts.fragment) in pages[target].anchors
            if not works and path.name != "404.html":  # served at any address, so its links are absolute
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


@pytest.mark.docs
def test_accuracies_of_the_leaderboard_link_to_result_files(site: Path):
    page = (site / "results" / "leaderboard.html").read_text(encoding="utf-8")
    links = re.findall(r'"([^":]+\.json)"', page)  # a script creates the links
    assert len(links) > 100
    assert not [link for link in links if not (site / "results" / unquote(link)).is_file()]


@pytest.mark.docs
def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Page]):
    fetched = {link for page in pages.values() for link in page.fetched}
    assert fetched
    assert not [link for link in fetched if urlsplit(link).netloc]
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@pytest.mark.docs
def test_reference_shows_every_public_name(pages: dict[Path, Page], site: Path, generated):
    missing = []
    for name in generated.public_modules():
        module = importlib.import_module(name)
        anchors = pages[(site / generated.page_of(name)).with_suffix(".html")].anchors
        assert name in anchors
        for member in getattr(module, "__all__", ()):
            is_module = isinstance(getattr(module, member), ModuleType)
            if not is_module and not member.startswith("_") and f"{name}.{member}" not in anchors:
                missing.append(f"{name}.{member}")
    assert not missing


@pytest.mark.docs
def test_search_finds_pages_terms_and_functions(site: Path):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    assert {"traps.html", "glossary.html#n_way", "api/stats.html#fsbench.stats.paired_difference"} <= places


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("hooks")


def test_pages_use_every_generated_table_once(generated):
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    used = [name for page in pages for name in re.findall(r"^\{\{ (\w+) \}\}$", page, re.MULTILINE)]
    assert sorted(used) == sorted(generated.GENERATED)
    assert not any("{{" in generated.on_page_markdown(page) for page in pages)


def test_reference_has_every_room(generated):
    rooms = {path.parent.name for path in (ROOT / "fsbench").glob("[!_]*/__init__.py")} - {"cli"}
    assert {"fsbench", *(f"fsbench.{room}" for room in rooms)} <= set(generated.public_modules())


def test_glossary_has_each_term_once_in_alphabetical_order():
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^## (.+)$", glossary, re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(set(terms), key=str.casefold)


@pytest.mark.docs
@pytest.mark.parametrize(
    ("text", "comment"),
    [
        ("LEAST = 3  # images per class", "images per class"),
        ("# Images per class,\n# at least.\nLEAST = 3", "Images per class, at least."),
        ("import os\n\nLEAST = 3", ""),
    ],
)
def test_reference_describes_a_constant_by_its_comment(text: str, comment: str, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    lines = text.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("LEAST"))
    assert importlib.import_module("api_extension").comment(lines, index) == comment


def test_measured_numbers_match_the_result_files(generated):
    recipes, heads = generated.recipes(), generated.heads()
    assert re.findall(r"^## (.+)$", recipes, re.MULTILINE) == recipe_names()
    assert all(f"`{name}`" in heads for name in HEADS)
    results = [result for result in result_files.read_all(ROOT / "results") if result.spec.name == "5w1s15q"]
    shown = [
        result
        for result in results
        if result.head.name == "nearest-mean" and result.model.recipe in recipe_names()
    ]
    assert shown
    for result in shown:
        outcome, model = result.outcome, result.model
        number = f"{100 * outcome.accuracy:.2f}\u00a0±\u00a0{100 * outcome.half_width:.2f}"
        section = recipes.partition(f"## {model.recipe}\n")[2].partition("\n## ")[0]
        assert any(
            number in row and model.preset in row and f"| {result.data.dataset} |" in row
            for row in section.splitlines()
        ), result.path
