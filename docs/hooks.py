"""Steps of the MkDocs build: pages of the API reference, and the files of the repository that pages link to.

Pages link to files of the repository by relative paths, as GitHub expects. Here they get a place in the site:
results are copied as they are, below `results/`, and any other file is a page below `source/`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from from_code import ROOT, modules, public_modules

DOCS, RESULTS = ROOT / "docs", ROOT / "results"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")
LANGUAGES = {".py": "python", ".toml": "toml", ".csv": "text"}
INSTEAD = {  # in the site
    ROOT / "README.md": "index.md",
    RESULTS / "README.md": "results/leaderboard.html",
}
BACK = '<p><a href="../index.html">fsbench documentation</a></p>'


def page_of(module: str) -> str:
    """Return the path of a module's page in the API reference."""
    return f"api/{module.removeprefix('fsbench.')}.md"


def on_config(config: Any) -> None:
    """Add the pages of the API reference to the navigation."""
    (reference,) = (entry["Reference"] for entry in config.nav if "Reference" in entry)
    (api,) = (entry["Python API"] for entry in reference if "Python API" in entry)
    api += [{module: page_of(module)} for module in public_modules() if module != "fsbench"]


def on_files(files: Any, config: Any) -> Any:
    """Add the API reference, the leaderboard, and what pages link to."""
    from mkdocs.structure.files import File, InclusionLevel

    for module in public_modules():
        others = f"\n## Modules\n\n{modules()}\n" if module == "fsbench" else ""
        files.append(File.generated(config, page_of(module), content=f"::: {module}\n{others}"))
    figures = {*RESULTS.glob("diagnose/*/figures/*.png"), *RESULTS.glob("leaderboard.*")}
    for path in sorted(figures | linked_files()):
        content = None if path.is_relative_to(RESULTS) else source(path)
        where = {"abs_src_path": str(path)} if content is None else {"content": content}
        file = File.generated(config, place(path), **where)
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave the folder of the pages to their place in the site."""
    origin = origins().get(page.file.src_uri, DOCS / page.file.src_uri)
    return moved(markdown, origin.parent, page.file.src_uri)


def on_post_build(config: Any) -> None:
    """Copy the results, list their folders, and lead back from the leaderboard to the pages."""
    site = Path(config.site_dir)
    shutil.copytree(
        RESULTS, site / "results", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", ".*", "_*")
    )
    for folder in [path for path in (site / "results").rglob("*") if path.is_dir()]:
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        entries = "".join(f'<li><a href="{name}">{name}</a></li>' for name in names)
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{folder.name}</title>'
        (folder / "index.html").write_text(
            f"{head}<h1>{folder.name}</h1><ul>{entries}</ul></html>\n", "utf-8"
        )
    board = site / "results" / "leaderboard.html"
    board.write_text(with_way_back(board.read_text(encoding="utf-8")), encoding="utf-8")


def with_way_back(page: str) -> str:
    """Begin a page with a link to the documentation, and point its links to pages of the site."""
    page = re.sub(r'(?<=")\.\./docs/([\w/-]+)\.md', r"../\1.html", page)
    return re.sub(r"(<body[^>]*>)", rf"\1\n{BACK}", page, count=1)


def linked_files() -> set[Path]:
    """Return the files of the repository that pages link to, and those that these link to in turn."""
    result: set[Path] = set()
    todo = sorted(DOCS.rglob("*.md"))
    while todo:
        for path in outside(todo.pop()):
            if path not in result:
                result.add(path)
                todo += [path] if path.suffix == ".md" else []
    return result


def outside(page: Path) -> Iterator[Path]:
    """Yield the files outside the folder of the pages that a page links to."""
    if page in INSTEAD:
        return
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path = Path(os.path.normpath(page.parent / link))
        if (
            path.is_file()
            and path.is_relative_to(ROOT)
            and not path.is_relative_to(DOCS)
            and path not in INSTEAD
        ):
            yield path


def place(path: Path) -> str:
    """Return the place of a file of the repository in the site, as a source path of MkDocs."""
    if path in INSTEAD:
        return INSTEAD[path]
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    relative = path.relative_to(ROOT).as_posix()
    if path.is_relative_to(RESULTS) and path.suffix != ".py":
        return relative
    return f"source/{relative}" if path.suffix == ".md" else f"source/{relative}.md"


@cache
def origins() -> dict[str, Path]:
    """Return the file behind each page that is not in the folder of the pages."""
    return {place(path): path for path in linked_files()}


def moved(markdown: str, folder: Path, page: str) -> str:
    """Rewrite the links of a page that comes from `folder` and stands at `page` in the site."""

    def target(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match[1]))
        if not path.is_file():
            return match[1]
        return os.path.relpath(place(path), start=Path(page).parent)

    return LINK.sub(target, markdown)


def source(path: Path) -> str:
    """Return a page that shows a file: Markdown as it is, anything else as code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {path.name}\n\n`{path.relative_to(ROOT).as_posix()}`\n\n``````{language}\n{text}\n``````\n"
