"""Steps of the MkDocs build: tables from code and results, and the pages of the API reference.

A page includes a generated table with a line of its own, `{{ heads }}`.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from from_code import backbones, commands, data_sets, heads, layouts, modules, public_modules
from from_results import RESULTS, diagnosis, measured_heads, recipes, speed, three_widths

_FUNCTIONS = (
    *(backbones, commands, data_sets, heads, layouts),
    *(diagnosis, measured_heads, recipes, speed, three_widths),
)
GENERATED: dict[str, Callable[[], str]] = {function.__name__: function for function in _FUNCTIONS}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each placeholder by its generated text; an unknown placeholder raises KeyError."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: GENERATED[match[1]](), markdown, flags=re.MULTILINE)


def page_of(module: str) -> str:
    """Return the path of a module's page in the API reference."""
    return f"api/{module.removeprefix('fsbench.')}.md"


def on_config(config: Any) -> None:
    """Add the pages of the API reference to the navigation."""
    (reference,) = (entry["Reference"] for entry in config.nav if "Reference" in entry)
    (api,) = (entry["Python API"] for entry in reference if "Python API" in entry)
    api += [{module: page_of(module)} for module in public_modules() if module != "fsbench"]


def on_files(files: Any, config: Any) -> Any:
    """Add the API reference, the leaderboard as it is, and reports of diagnoses beside their figures."""
    from mkdocs.structure.files import File, InclusionLevel

    for module in public_modules():
        others = f"\n## Modules\n\n{modules()}\n" if module == "fsbench" else ""
        files.append(File.generated(config, page_of(module), content=f"::: {module}\n{others}"))
    reports = [*RESULTS.glob("diagnose/*/report.md"), *RESULTS.glob("diagnose/*/figures/*.png")]
    for path in [*RESULTS.glob("leaderboard.*"), *reports]:
        place = f"results/{path.relative_to(RESULTS).as_posix()}"
        file = File.generated(config, place, abs_src_path=str(path))
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_post_build(config: Any) -> None:
    """Copy the files that the leaderboard links to: pages, unrendered, and result files."""
    page = (RESULTS / "leaderboard.html").read_text(encoding="utf-8")
    results = {unquote(link) for link in re.findall(r'"([^":]+\.json)"', page)}
    for name in ("README.md", "published.md", *results):
        copy = Path(config.site_dir, "results", name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(RESULTS / name, copy)
