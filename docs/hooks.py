"""Steps of the MkDocs build: tables from code and results, and the pages of the API reference.

A page includes a generated table with a line of its own, `{{ heads }}`.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from from_code import backbones, commands, data_sets, heads, layouts, public_modules
from from_results import RESULTS, diagnosis, measured_heads, recipes, speed, three_widths

_FUNCTIONS = (
    *(backbones, commands, data_sets, heads, layouts),
    *(diagnosis, measured_heads, recipes, speed, three_widths),
)
GENERATED: dict[str, Callable[[], str]] = {function.__name__: function for function in _FUNCTIONS}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each placeholder by its generated text; an unknown placeholder raises KeyError."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: GENERATED[match[1]](), markdown, flags=re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add the API reference, the leaderboard as it is, and reports of diagnoses beside their figures."""
    from mkdocs.structure.files import File, InclusionLevel

    for module in public_modules():
        place = f"api/{module.removeprefix('fsbench.')}.md"
        files.append(File.generated(config, place, content=f"::: {module}\n"))
    reports = [*RESULTS.glob("diagnose/*/report.md"), *RESULTS.glob("diagnose/*/figures/*.png")]
    for path in [*RESULTS.glob("leaderboard.*"), *reports]:
        place = f"results/{path.relative_to(RESULTS).as_posix()}"
        file = File.generated(config, place, abs_src_path=str(path))
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_post_build(config: Any) -> None:
    """Copy the pages that the leaderboard links to, unrendered."""
    for name in ("README.md", "published.md"):
        shutil.copy(RESULTS / name, Path(config.site_dir, "results"))
