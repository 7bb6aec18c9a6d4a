"""Shared parts of all figures: palette, markers, legends, layout of sections, and saving.

Figures use Matplotlib's objects, without the global state of pyplot and without a window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench._util.files import atomic_write, check_writable

WIDTH = 8.3  # inches: a README's column at 100 dpi
HIGHEST = 40  # inches: higher figures are not drawn
LINE, TITLE_LINE = 125, 95  # characters of small text, and of a title, that fit on a line of this width
PAD = 0.08  # inches around panels, and above the first title
MOST_LINES = 30  # in a panel
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
MARKERS = "osD^vPX*"
DASHES = ("-", "--", ":", "-.")
FORMATS: dict[str, dict[str, Any]] = {  # options that leave out the date
    ".png": {},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".jpg": {"pil_kwargs": {"quality": 92}},
    ".jpeg": {"pil_kwargs": {"quality": 92}},
}


@dataclass(frozen=True)
class Section:
    """A part of a figure: a title, panels below it, and a caption that says how to read them.

    Attributes:
        title: Title of all panels.
        caption: How to read the panels.
        height: Height of the panels, in inches.
    """

    title: str
    caption: str
    height: float


def page(sections: Sequence[Section], note: str = "") -> tuple[Figure, list[SubFigure]]:
    """Lay out sections below each other, each with its title above and its caption below.

    Args:
        sections: The sections.
        note: What holds for all sections; it ends the last caption.

    Returns:
        The figure, and the empty part of each section that its panels go into.

    Raises:
        FsbenchError: The figure would be too high to be read.
    """
    titles = [fill(section.title, TITLE_LINE, break_on_hyphens=False) for section in sections]
    captions = [fill(section.caption, LINE, break_on_hyphens=False) for section in sections]
    captions[-1] = "\n".join(filter(None, [captions[-1], fill(note, LINE, break_on_hyphens=False)]))
    heights = [PAD]
    for section, title, caption in zip(sections, titles, captions, strict=True):
        heights += [
            section.height + 0.3 + 0.2 * title.count("\n"),
            0.35 + 0.16 * caption.count("\n") if caption else 0.1,
        ]
    at_most("figure", "inches of height", round(sum(heights)), HIGHEST)
    layout = ConstrainedLayoutEngine(w_pad=PAD, h_pad=PAD)
    figure = Figure(figsize=(WIDTH, sum(heights)), layout=layout)
    parts = list(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    for part, below, title, caption in zip(parts[1::2], parts[2::2], titles, captions, strict=True):
        part.suptitle(title, fontsize="large")
        below.text(0.01, 1, caption, va="top", fontsize="small", color="0.3")
    return figure, parts[1::2]


def n_rows(n_panels: int, n_columns: int) -> int:
    """Return how many rows a grid of panels has."""
    return -(-n_panels // n_columns)


def grid(part: SubFigure, n_panels: int, n_columns: int, **options: Any) -> list[Axes]:
    """Lay out panels in rows of `n_columns`; options are those of `subplots`."""
    all_axes = part.subplots(n_rows(n_panels, n_columns), n_columns, squeeze=False, **options).flatten()
    for axes in all_axes[n_panels:]:
        axes.remove()
    return list(all_axes[:n_panels])


def legend_below(
    part: Figure | SubFigure,
    names: Sequence[str],
    handles: Sequence[Any] | None = None,
    numbers: Sequence[int] | None = None,
) -> None:
    """Write a legend below all panels; by default, its lines have the marks `numbers`, or 0, 1, ..."""
    if handles is None:
        handles = [Line2D([], [], **mark(number)) for number in numbers or range(len(names))]
    columns = _legend_columns(names)
    part.legend(handles, names, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)


def legend_height(names: Sequence[str]) -> float:
    """Return the height of a legend below panels, in inches."""
    return 0.2 * n_rows(len(names), _legend_columns(names))


def _legend_columns(names: Sequence[str]) -> int:
    """Return how many columns of a legend fit into the width of a page."""
    return max(1, min(5, 110 // (max(map(len, names)) + 8)))


def check_figure(path: Path) -> None:
    """Refuse a path that `save` could not write, before the work whose results are drawn.

    Raises:
        FsbenchError: The path has another ending than `FORMATS`, or its folder cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        *first, last = FORMATS
        raise FsbenchError(
            f"plot {path}: must end in {', '.join(first)} or {last}, but ends in {suffix or 'nothing'}"
        )
    check_writable(path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all; equal figures are equal files.

    Args:
        figure: The figure.
        path: The file to write; its ending, one of `FORMATS`, determines the format.

    Raises:
        FsbenchError: The file has another ending, or the folder cannot be written.
    """
    check_figure(path)
    suffix = path.suffix.lower()
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names may hold dollar signs
    _fix_layout(figure)
    with rc_context({"svg.hashsalt": "fsbench"}), atomic_write(path) as part:
        figure.savefig(part, format=suffix[1:], dpi=200, **FORMATS[suffix])
        if suffix == ".png":  # a palette makes the file less than half as large
            with Image.open(part) as pixels:
                palette = pixels.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            palette.save(part, format="png", optimize=True)


def _fix_layout(figure: Figure) -> None:
    """Fix the positions of panels, rounded: the solver's last digits vary, and SVG names parts by them."""
    for _ in range(2):  # the first pass does not know the space that texts take
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        box = part.bbox_relative
        box.p0, box.p1 = np.round(box.p0, 6), np.round(box.p1, 6)
    for axes in figure.get_axes():
        axes.set_position(tuple(np.round(axes.get_position().bounds, 6)))


def mark(number: int) -> dict[str, Any]:
    """Return colour and marker of line `number`; the first 56 differ, also in greyscale."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.3,
    }


def ticks_at(axes: Axes, values: Sequence[int]) -> None:
    """Make the x axis logarithmic, with ticks at these sorted values, except where labels would collide."""
    axes.set_xscale("log")
    least = (max(values) / min(values)) ** 0.06
    ticks = [min(values)]
    for value in values:
        if value >= ticks[-1] * least and value not in ticks:
            ticks.append(value)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def label_ends(axes: Axes, ends: Mapping[str, Sequence[float]]) -> None:
    """Write each text at the right edge of the axes, at the median height of the ends of its lines.

    Overlapping texts are moved apart, and the y limits are fixed.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    gap, place = 0.06 * (high - low), low - (high - low)
    for text, heights in sorted(ends.items(), key=lambda item: np.median(item[1])):
        place = max(place + gap, float(np.median(heights)))
        axes.annotate(
            text,
            (1, place),
            xytext=(4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )


def at_most(
    kind: str, parts: str, number: int, most: int, advice: str = "--dataset, --recipe, --head or --n-shot"
) -> None:
    """Refuse a figure with too many parts to be readable.

    Raises:
        FsbenchError: `number` is larger than `most`; the message says that `advice` reduces it.
    """
    if number > most:
        raise FsbenchError(
            f"{kind}: at most {most} {parts} can be read, but there are {number}; choose fewer with {advice}"
        )
