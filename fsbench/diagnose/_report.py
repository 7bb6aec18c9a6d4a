"""Write sections as one report: Markdown with figures beside it, one HTML page, and JSON."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from tabulate import tabulate

from fsbench._util.files import atomic_write, write_text
from fsbench._util.html import data_uri, render
from fsbench.diagnose._published import published
from fsbench.diagnose._section import ReportSection, TextTable

PUBLISHED = "Published numbers of other data and networks; compare trends, not values:"


def write(folder: Path, title: str, lead: str, sections: Sequence[ReportSection]) -> Path:
    """Write `report.md` with its figures, `report.html` and `report.json`; return the path of the first."""
    figures = {
        (section.name, caption): _png(figure)
        for section in sections
        for caption, figure in section.figures.items()
    }
    for (name, caption), content in figures.items():
        with atomic_write(folder / _file(name, caption)) as part:
            part.write_bytes(content)
    tables = {section.name: published(section.name) for section in sections}
    page = render(
        Path(__file__).with_name("report.html"),
        title=title,
        lead=lead,
        sections=sections,
        addresses={key: data_uri(content, "image/png") for key, content in figures.items()},
        published=tables,
        published_text=PUBLISHED,
    )
    markdown = [f"# {title}", lead]
    for section in sections:
        markdown += [f"## {section.title}", section.text, *map(_markdown, section.tables)]
        markdown += [f"![{caption}]({_file(section.name, caption)})" for caption in section.figures]
        if table := tables[section.name]:
            quotation = [PUBLISHED, "", *_markdown(table).split("\n")]
            markdown.append("\n".join(f"> {line}" for line in quotation))
    write_text(folder / "report.html", page)
    values = {section.name: section.values for section in sections}
    write_text(folder / "report.json", json.dumps(values, indent=1) + "\n")
    write_text(folder / "report.md", "\n\n".join(markdown) + "\n")
    return folder / "report.md"


def _markdown(table: TextTable) -> str:
    """Write a table as Markdown."""
    align = ["left", *["right"] * (len(table.columns) - 1)]
    return tabulate(table.rows, table.columns, tablefmt="pipe", colalign=align, disable_numparse=True)


def _png(figure: Figure) -> bytes:
    """Return the figure as PNG without date and version, so that equal numbers are equal files."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def _file(section: str, caption: str) -> str:
    """Return the path of a figure in the folder of the report."""
    return f"figures/{section}-{'-'.join(re.findall('[a-z0-9]+', caption.lower()))}.png"
