"""Write the pages of a leaderboard: four files beside the results, and a part of a README."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsbench._util.errors import FsbenchError
from fsbench._util.files import reason, write_text
from fsbench.evaluation.result_files import read_all
from fsbench.report.leaderboard.markdown import published as published_page
from fsbench.report.leaderboard.markdown import sections
from fsbench.report.leaderboard.published import Shown, beside, quotations
from fsbench.report.leaderboard.spreadsheet import spreadsheet
from fsbench.report.leaderboard.tables import tables
from fsbench.report.leaderboard.web import page
from fsbench.stats.all_pairs import Over

BEGIN, END = "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->"

_BEGINNING = 30  # characters by which a page is recognised as one that an earlier call wrote

HEAD = """\
# Results

Few-shot classification accuracy: a backbone is trained on source classes, then a head classifies images of
new classes from a few labelled images of each. This folder holds one result file per backbone, task list and
head, with the score of every task. `fsbench leaderboard results` makes this page from them, together with
[leaderboard.html](leaderboard.html) to sort, filter and compare, and [leaderboard.csv](leaderboard.csv) with
one line per result.

The results in a table are comparable: they share the target images, the source classes, the image size, the
number of query images and whether the class counts are known. Recipes link to their result files.

## Leaderboard

"""


def update(
    folder: Path,
    readme: Path | None,
    *,
    published: Shown = "same",
    memory_rows: bool = False,
    over: Over = "classes",
) -> list[Path]:
    """Write the pages that follow from a results folder and return where, `<folder>/README.md` first.

    With `readme` the text between its leaderboard markers is replaced by the tables.

    Args:
        folder: The results folder.
        readme: A Markdown file with leaderboard markers, or None.
        published: Published rows below the measured ones in Markdown: those of the same data sets, protocols
            and backbones ("same"), or of every backbone ("all"). `published.md` and `leaderboard.html` hold
            all of them. With "none", no page holds any, and `published.md` is not written.
        memory_rows: Whether Markdown pages hold published rows that were not read at their source.
        over: What ranks, bold type and p-values are about.

    Raises:
        FsbenchError: no such folder, a file in it that is no result, a question with two results, a
            `readme` without the markers, or a file of yours in the place of a page. Nothing is written then.
    """
    pages = _pages(folder, readme, published, memory_rows, over)
    for path in {folder / "README.md", folder / "published.md"} & pages.keys() - {readme}:
        if path.exists() and _read(path)[:_BEGINNING] != pages[path][:_BEGINNING]:
            raise FsbenchError(
                f"{path}: not written by fsbench leaderboard, which would replace it; rename it"
            )
    for path, text in pages.items():
        write_text(path, text)
    return list(pages)


def stale(
    folder: Path,
    readme: Path | None,
    *,
    published: Shown = "same",
    memory_rows: bool = False,
    over: Over = "classes",
) -> list[Path]:
    """List the pages that differ from what `update` would write; arguments as of `update`.

    Raises:
        FsbenchError: As `update`.
    """
    pages = _pages(folder, readme, published, memory_rows, over)
    return [path for path, text in pages.items() if not path.exists() or _read(path) != text]


def _pages(
    folder: Path, readme: Path | None, published: Shown, memory_rows: bool, over: Over
) -> dict[Path, str]:
    """Each page's path and its whole text."""
    with _without_collector():
        measured = tables(read_all(folder), over)
    shown = published != "none"
    quoted = quotations(memory_rows=memory_rows) if shown else []
    below = beside(quoted, measured, every_backbone=published == "all") if shown else None
    pages = {
        folder / "README.md": HEAD + sections(measured, beside=below),
        folder / "leaderboard.csv": spreadsheet(measured),
        folder / "leaderboard.html": page(measured, quotations(memory_rows=True) if shown else []),
    }
    if shown:
        pages[folder / "published.md"] = published_page(quoted)
    if readme is not None:
        prefix = Path(os.path.relpath(folder, readme.parent)).as_posix()
        pages[readme] = _readme(readme, sections(measured, f"{prefix}/", below, single_runs=False))
    return pages


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector, which would visit every score of every task again and again."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def with_block(text: str, begin: str, end: str, block: str) -> str | None:
    """A page with `block` between the markers `begin` and `end`; None where it lacks one of them."""
    before, begin_marker, rest = text.partition(begin)
    _, end_marker, after = rest.partition(end)
    return f"{before}{begin}\n\n{block}\n{end}{after}" if begin_marker and end_marker else None


def _readme(path: Path, block: str) -> str:
    """The text of a project's README with `block` between its leaderboard markers."""
    text = with_block(_read(path), BEGIN, END, block)
    if text is None:
        raise FsbenchError(f"{path}: the tables go between {BEGIN} and {END}, but it lacks these markers")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise FsbenchError(f"cannot read {path}: {reason(error)}") from error
    except ValueError as error:
        raise FsbenchError(f"cannot read {path}: not UTF-8 text") from error
