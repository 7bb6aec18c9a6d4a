"""What MkDocs calls: pages get what follows from code and results when they are built, so it cannot be stale.

A page asks for it by a line of its own, `{{ heads }}`.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from from_code import backbones, commands, data_sets, heads, layouts, python_api
from from_results import RESULTS, diagnosis, measured_heads, recipes, speed, three_widths

_FUNCTIONS = (
    *(backbones, commands, data_sets, heads, layouts, python_api),
    *(diagnosis, measured_heads, recipes, speed, three_widths),
)
GENERATED: dict[str, Callable[[], str]] = {function.__name__: function for function in _FUNCTIONS}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what a page asks for; a name that nothing generates is an error."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda asked: GENERATED[asked[1]](), markdown, flags=re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """The leaderboard is a part of the site as it is; reports of diagnoses are pages beside their figures."""
    from mkdocs.structure.files import File, InclusionLevel

    reports = [*RESULTS.glob("diagnose/*/report.md"), *RESULTS.glob("diagnose/*/figures/*.png")]
    for path in [*RESULTS.glob("leaderboard.*"), *reports]:
        place = f"results/{path.relative_to(RESULTS).as_posix()}"
        file = File.generated(config, place, abs_src_path=str(path))
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_post_build(config: Any) -> None:
    """What the leaderboard links to, unrendered."""
    for name in ("README.md", "published.md"):
        shutil.copy(RESULTS / name, Path(config.site_dir, "results"))
