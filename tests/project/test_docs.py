"""The site: it builds without a warning, every link leads somewhere, no page asks anything of the network."""

import importlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from fsbench.evaluation import results
from fsbench.heads import HEADS
from fsbench.training.recipe import recipe_names

ROOT = Path(__file__).parents[2]
FETCHED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}  # on its own
STANDING = {"canonical", "next", "prev"}  # links that a browser does not fetch


class Page(HTMLParser):
    """What a page links to, what it fetches, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attributes}
        self.places |= {has[name] for name in ("id", "name") if name in has}
        if tag == "a" and "href" in has:
            self.links.add(has["href"])
        if FETCHED.get(tag) in has and has.get("rel") not in STANDING:
            self.fetched.add(has[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {path: Page(path) for path in site.rglob("*.html")}
    assert len(found) > 10
    return found


@pytest.mark.docs
def test_every_page_and_the_leaderboard_are_there(site: Path):
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {Path("results/leaderboard.html"), Path("results/README.md"), *wanted} <= {
        path.relative_to(site) for path in site.rglob("*")
    }


@pytest.mark.docs
def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]):
    dead = []
    for path, page in pages.items():
        for link in page.links | page.fetched:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file() and target.is_relative_to(site)
            if there and parts.fragment and target in pages:
                there = unquote(parts.fragment) in pages[target].places
            if not there and path.name != "404.html":  # which stands at no fixed place
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


@pytest.mark.docs
def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Page]):
    fetched = {link for page in pages.values() for link in page.fetched}
    assert fetched
    assert not [link for link in fetched if urlsplit(link).netloc]
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("hooks")


def test_pages_ask_for_what_there_is_and_for_all_of_it(generated):
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    asked = [name for page in pages for name in re.findall(r"^\{\{ (\w+) \}\}$", page, re.MULTILINE)]
    assert sorted(asked) == sorted(generated.GENERATED)
    assert not any("{{" in generated.on_page_markdown(page) for page in pages)


def test_measured_numbers_are_those_of_the_result_files(generated):
    recipes, heads = generated.recipes(), generated.heads()
    assert re.findall(r"^## (.+)$", recipes, re.MULTILINE) == recipe_names()
    assert all(f"`{name}`" in heads for name in HEADS)
    usual = [result for result in results.read_all(ROOT / "results") if result.spec.name == "5w1s15q"]
    shown = [result for result in usual if result.head == "nearest-mean" and result.recipe in recipe_names()]
    assert shown
    for result in shown:
        number = f"{100 * result.accuracy:.2f}\u00a0±\u00a0{100 * result.half_width:.2f}"
        section = recipes.partition(f"## {result.recipe}\n")[2].partition("\n## ")[0]
        assert any(
            number in row and result.preset in row and f"| {result.dataset} |" in row
            for row in section.splitlines()
        ), result.path
