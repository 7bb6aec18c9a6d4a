"""Write the generated parts of the pages.

    python docs/generate.py            what follows from code and result files, and pictures (make pages)
    python docs/generate.py --check    fail if something of it is not up to date
    python docs/generate.py --run      also run tutorial and notebook, and draw all pictures: minutes

A generated part stands in the page between `<!-- generated: NAME ARGUMENT... -->` and `<!-- end -->`.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import from_bench
import from_code
import from_docstrings
import from_results
import pictures
import run_pages

DOCS = Path(__file__).parent
_FUNCTIONS = (
    from_bench.speed,
    from_code.backbones,
    from_code.commands,
    from_code.data_sets,
    from_code.head_facts,
    from_code.heads,
    from_code.layouts,
    from_code.rooms,
    from_docstrings.reference,
    from_results.budgets,
    from_results.comparison,
    from_results.diagnosis,
    from_results.measured_head,
    from_results.measured_heads,
    from_results.precisions,
    from_results.pretrained,
    from_results.recipe,
    from_results.recipes,
    from_results.three_widths,
)
PARTS: dict[str, Callable[..., str]] = {function.__name__: function for function in _FUNCTIONS}
MARKED = re.compile(r"^(<!-- generated: ([\w -]+?) -->\n).*?^(<!-- end -->)$", re.DOTALL | re.MULTILINE)


def main() -> int:
    """Write or check all pages; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a page is not up to date"
    )
    parser.add_argument(
        "--run", action="store_true", help="also run the tutorial and the notebook, and draw all pictures"
    )
    options = parser.parse_args()
    if options.check:
        return _report([*stale_pages(), *(f"pictures/{name}.png" for name in pictures.stale())])
    pictures.draw(pictures.names() if options.run else pictures.stale())
    if options.run:
        run_pages.tutorial(DOCS / "tutorial.md")
        run_pages.notebook(DOCS / "quickstart.ipynb")
    for name, text in texts().items():
        (DOCS / name).write_text(generated(text), encoding="utf-8")
    return 0


def texts() -> dict[str, str]:
    """Return the text of each page, by its path in the folder of the pages."""
    paths = sorted(DOCS.rglob("*.md"))
    return {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def stale_pages() -> list[str]:
    """Return the pages with a generated part that is not what it should be."""
    return [name for name, text in texts().items() if generated(text) != text]


def generated(page: str) -> str:
    """Return a page with its generated parts made again; an unknown name raises KeyError."""

    def part(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}\n{PARTS[name](*arguments)}\n\n{match[3]}"

    return MARKED.sub(part, page)


def _report(stale: list[str]) -> int:
    """Name what is not up to date on stderr, and return the exit code."""
    for name in stale:
        sys.stderr.write(f"docs/{name} is not up to date: run `make pages` and commit the result\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
