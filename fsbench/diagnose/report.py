"""Sections as one report: Markdown with its figures beside it, one HTML page that holds them, and JSON."""

import base64
import io
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from tabulate import tabulate

from fsbench._util.files import atomic_write, write_text
from fsbench.diagnose.published import published
from fsbench.diagnose.section import Section, Table

_QUOTED = "Published on other data and networks, read in the paper; a trend to compare, not a number:"
_STYLE = """
:root { --paper: #fff; }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  background: var(--paper); }
p { max-width: 50rem; }
div { overflow-x: auto; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: .3rem solid #8888; opacity: .85; }
table { border-collapse: collapse; margin: .75rem 0; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #8886; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
@media (min-width: 40rem) {
  th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
}
figure { margin: 1rem 0; }
img { max-width: 100%; background: white; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; } body { color: #e7e9ec; } }
"""


def write(folder: Path, title: str, lead: str, sections: Sequence[Section]) -> Path:
    """Write `report.md` with its figures, `report.html` and `report.json`; the path of the first.

    Raises:
        FsbenchError: the folder cannot be written.
    """
    pictures = {
        (section.name, what): _png(figure) for section in sections for what, figure in section.figures.items()
    }
    for (name, what), data in pictures.items():
        with atomic_write(folder / _file(name, what)) as part:
            part.write_bytes(data)
    markdown, page = [f"# {title}", lead], [f"<h1>{escape(title)}</h1>", f"<p>{escape(lead)}</p>"]
    for section in sections:
        quoted = published(section.name)
        markdown += [f"## {section.title}", section.text, *(_markdown(table) for table in section.tables)]
        page += [f"<h2>{escape(section.title)}</h2>", f"<p>{escape(section.text)}</p>"]
        page += [_html(table) for table in section.tables]
        for what in section.figures:
            markdown.append(f"![{what}]({_file(section.name, what)})")
            picture = base64.b64encode(pictures[section.name, what]).decode()
            page.append(f'<figure><img alt="{escape(what)}" src="data:image/png;base64,{picture}"></figure>')
        if quoted:
            markdown.append("\n".join(f"> {line}" for line in [_QUOTED, "", *_markdown(quoted).split("\n")]))
            page.append(f"<blockquote><p>{_QUOTED}</p>{_html(quoted)}</blockquote>")
    phone = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{phone}<title>{escape(title)}</title><style>{_STYLE}</style>'
    write_text(folder / "report.html", f'<!doctype html><html lang="en">{head}' + "\n".join(page) + "\n")
    values = {section.name: section.values for section in sections}
    write_text(folder / "report.json", json.dumps(values, indent=1) + "\n")
    write_text(folder / "report.md", "\n\n".join(markdown) + "\n")
    return folder / "report.md"


def _markdown(table: Table) -> str:
    align = ["left", *["right"] * (len(table.heads) - 1)]
    return tabulate(table.rows, table.heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def _html(table: Table) -> str:
    return f"<div>{tabulate(table.rows, table.heads, tablefmt='html', disable_numparse=True)}</div>"


def _png(figure: Figure) -> bytes:
    """The picture, without a date or version in it, so that equal numbers are equal files."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()


def _file(name: str, what: str) -> str:
    return f"figures/{name}-{'-'.join(re.findall('[a-z0-9]+', what.lower()))}.png"
