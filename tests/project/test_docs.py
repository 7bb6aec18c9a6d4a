"""Pages are whole on GitHub and up to date; the site builds without warnings and holds what it links to."""

import importlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import metadata
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
            target = target / "index.html" if parts.path.endswith("/") else target
            works = target.is_file() and target.is_relative_to(site)
            if works and parts.fragment and target in pages:
                works = unquote(parts.fragment) in pages[target].anchors
            if not works and path.name != "404.html":  # served at any address, so its links are absolute
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


@pytest.mark.docs
def test_site_has_every_result_file_and_a_list_of_each_folder(site: Path):
    for path in (ROOT / "results").rglob("*.json"):
        copy = site / "results" / path.relative_to(ROOT / "results")
        assert copy.is_file()
        assert (copy.parent / "index.html").is_file()


@pytest.mark.docs
def test_leaderboard_leads_back_to_the_pages(pages: dict[Path, Page], site: Path):
    assert "../index.html" in pages[site / "results" / "leaderboard.html"].links


@pytest.mark.docs
def test_files_of_the_repository_are_shown_in_the_site(site: Path):
    assert "def step" in re.sub("<[^>]+>", "", (site / "source/baselines/erm.py.html").read_text("utf-8"))
    assert (site / "source" / "CONTRIBUTING.html").is_file()


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
def test_site_describes_every_public_name(pages: dict[Path, Page], site: Path, hooks):
    missing = []
    for name in hooks.public_modules():
        module = importlib.import_module(name)
        anchors = pages[(site / hooks.page_of(name)).with_suffix(".html")].anchors
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
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("hooks")


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("generate")


def test_generated_parts_and_pictures_are_up_to_date(generate, capsys, monkeypatch):
    """Another version of cyclopts may format help texts differently: the page of commands is not compared."""
    texts = generate.texts()
    if f"cyclopts {metadata.version('cyclopts')} -->" not in texts["commands.md"]:
        monkeypatch.setattr(generate, "texts", lambda: {**texts, "commands.md": ""})
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 0, capsys.readouterr().err


def test_a_page_of_another_version_of_cyclopts_is_not_compared(generate, capsys, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "99")
    monkeypatch.setitem(generate.PARTS, "commands", lambda: "other words")
    test_generated_parts_and_pictures_are_up_to_date(generate, capsys, monkeypatch)


def test_check_names_a_page_that_is_not_up_to_date(generate, capsys, monkeypatch):
    pages = {"recipes.md": "<!-- generated: recipes -->\n\nold\n\n<!-- end -->\n", "own.md": "by hand\n"}
    monkeypatch.setattr(generate, "texts", lambda: pages)
    monkeypatch.setattr(generate.pictures, "stale", lambda: ["budget"])
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert re.findall(r"docs/(\S+)", capsys.readouterr().err) == ["recipes.md", "pictures/budget.png"]


def test_generated_parts_do_not_depend_on_the_terminal_or_the_home(generate, monkeypatch, tmp_path):
    before = generate.from_code.commands()
    for name, value in {"COLUMNS": "40", "HOME": str(tmp_path), "FSBENCH_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert generate.from_code.commands() == before


def test_every_generated_part_is_used(generate):
    used = {
        match[2].split()[0] for text in generate.texts().values() for match in generate.MARKED.finditer(text)
    }
    assert used == set(generate.PARTS)


def test_pages_name_no_path_of_a_machine(generate):
    assert not [name for name, text in generate.texts().items() if re.search(r"/(tmp|home|root)/\w", text)]


def test_pages_have_no_placeholder_and_every_recipe_and_head_has_a_page(generate):
    texts = generate.texts()
    assert not [name for name, text in texts.items() if "{{" in text]
    for folder, names in (("recipes", recipe_names()), ("heads", HEADS)):
        assert {f"{folder}/{name}.md" for name in names} == {
            name for name in texts if name.startswith(f"{folder}/")
        }


def test_links_and_pictures_of_pages_exist(generate, hooks):
    dead = []
    for name, text in generate.texts().items():
        for link in hooks.LINK.findall(text):
            path = (ROOT / "docs" / name).parent / unquote(link)
            if not path.is_file() or not path.resolve().is_relative_to(ROOT):
                dead.append(f"{name}: {link}")
    assert not dead


@pytest.mark.parametrize(
    ("page", "folder", "text", "expected"),
    [
        ("heads/tim.md", "docs/heads", "[c](../../baselines/erm.py)", "[c](../source/baselines/erm.py.md)"),
        ("index.md", "docs", "[L](../results/README.md#a)", "[L](results/leaderboard.html#a)"),
        ("heads/tim.md", "docs/heads", "[t](../traps.md#a)", "[t](../traps.md#a)"),
        ("index.md", "docs", "[w](https://a.org/b)", "[w](https://a.org/b)"),
        ("source/CONTRIBUTING.md", ".", "[d](docs/own.md)", "[d](../own.md)"),
    ],
)  # fmt: skip
def test_links_to_files_of_the_repository_lead_to_their_copies(hooks, page, folder, text, expected):
    assert hooks.moved(text, ROOT / folder, page) == expected


def test_leaderboard_in_the_site_links_to_pages_of_the_site(hooks):
    page = '<html><body class="x"><a href="../docs/recipes/erm.md">ERM</a></body></html>'
    assert 'href="../recipes/erm.html"' in hooks.with_way_back(page)
    assert '<body class="x">\n<p><a href="../index.html">' in hooks.with_way_back(page)


def test_reference_has_every_public_name_with_its_signature(generate):
    page = generate.from_docstrings.reference()
    assert "def evaluate(\n    subject: StrPath | nn.Module | Array," in page
    assert "class TaskSpec:\n    n_way: int = 5\n" in page
    rooms = {path.parent.name for path in (ROOT / "fsbench").glob("[!_]*/__init__.py")} - {"cli"}
    for name in ("fsbench", *(f"fsbench.{room}" for room in rooms)):
        module, section = (
            importlib.import_module(name),
            page.partition(f"## {name}\n")[2].partition("\n## ")[0],
        )
        for member in module.__all__:
            if not isinstance(getattr(module, member), ModuleType):
                assert re.search(rf"^(def|class) {member}\b|^`{member}`", section, re.MULTILINE), member


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


def test_measured_numbers_match_the_result_files(generate):
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
        page = (ROOT / "docs" / "recipes" / f"{model.recipe}.md").read_text(encoding="utf-8")
        assert any(
            f"[{number}](../../results/{result.path})" in row
            and model.preset in row
            and f"| {result.data.dataset} |" in row
            for row in page.splitlines()
        ), result.path


class TestNotebook:
    """docs/quickstart.ipynb."""

    @pytest.fixture
    def notebook(self) -> dict:
        return json.loads((ROOT / "docs" / "quickstart.ipynb").read_text(encoding="utf-8"))

    def test_is_small_and_has_its_outputs(self, notebook):
        assert (ROOT / "docs" / "quickstart.ipynb").stat().st_size < 100_000
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
        assert sum(bool(cell["outputs"]) for cell in code) >= 5
        assert notebook["nbformat"] == 4

    def test_names_no_path_of_a_machine(self, notebook):
        assert not re.findall(r"/(?:home|tmp|root)/| at 0x", json.dumps(notebook))

    @pytest.mark.slow
    def test_runs(self, notebook, generate, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("FSBENCH_CACHE", str(tmp_path / "cache"))
        namespace: dict[str, object] = {}
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                shown = generate.run_pages.outputs("".join(cell["source"]), namespace)
                assert [sorted(output) for output in shown] == [sorted(output) for output in cell["outputs"]]


def test_commands_of_a_page_are_run_and_their_output_is_written_below_them(generate, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: a -->\n```bash\nfalse\n```\n\n```bash\necho one > file\n```\n\n"
        "<!-- not run: b -->\n```bash\nfalse\n```\n\n"
        "```bash\ncat file\n```\n\n```text\nold\n```\n"
    )
    generate.run_pages.tutorial(page)
    assert page.read_text().endswith("```bash\ncat file\n```\n\n```text\none\n```\n")


def test_cells_show_what_they_print_and_their_last_value(generate):
    namespace: dict[str, object] = {}
    assert generate.run_pages.outputs("x = 1", namespace) == []
    printed, value = generate.run_pages.outputs("print(x)\nx + 1", namespace)
    assert printed["text"] == ["1\n"]
    assert value["data"] == {"text/plain": ["2"]}
