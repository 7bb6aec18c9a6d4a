"""Progress on stderr: a live bar on a terminal, lines in a log, nothing when quiet."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_SECONDS = 2.0  # minimum between two lines of a log, so that short jobs print nothing


class Bar:
    """The progress of one job.

    Args:
        name: What is done, such as "extract".
        total: How many units there are; None: unknown.
        unit: What is counted, such as "images".
        live: Bar of a terminal; None: none.
        lines: Whether to print a line each time another tenth is done.
        quiet: Whether to print nothing.
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        unit: str,
        live: "Progress | None" = None,
        *,
        lines: bool = False,
        quiet: bool = False,
    ) -> None:
        self._name, self._total, self._unit, self._live = name, total, unit, live
        self._lines, self._quiet = lines, quiet
        self._task = live.add_task(name, total=total, unit=unit) if live else None
        self._done, self._tenth = 0, 0
        self._began = self._said = time.monotonic()

    def update(self, count: int = 1) -> None:
        """Count units that are done."""
        self._done += count
        if self._live and self._task is not None:
            self._live.advance(self._task, count)
        elif self._lines and self._total:
            now, tenth = time.monotonic(), 10 * self._done // self._total
            if tenth > self._tenth and now - self._said >= _SECONDS:
                self._tenth, self._said = tenth, now
                rate = self._done / (now - self._began)
                percent = f"{10 * tenth} % of {self._total:,} {self._unit}"
                self.line(f"{self._name}: {percent}, {rate:,.0f} {self._unit}/s")

    def describe(self, text: str) -> None:
        """Replace the name that a live bar shows."""
        if self._live and self._task is not None:
            self._live.update(self._task, description=text)

    def line(self, text: str) -> None:
        """Print a line, above a live bar if there is one."""
        if self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


@contextmanager
def progress(
    name: str, total: int | None, unit: str, *, quiet: bool = False, lines: bool = True
) -> Iterator[Bar]:
    """Show the progress of a job while it runs.

    Args:
        name: What is done, such as "extract".
        total: How many units there are; None: unknown.
        unit: What is counted, such as "images".
        quiet: Show nothing.
        lines: Print a line per 10 % if stderr is not a terminal; False: the job prints its own lines.

    Yields:
        The bar that counts what is done.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Bar(name, total, unit, lines=lines, quiet=quiet)
    else:
        with _live_bar() as live:
            yield Bar(name, total, unit, live)


def _live_bar() -> "Progress":
    """Create a bar with percentage, rate and remaining time, which disappears at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:,.0f} {task.fields['unit']}/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        Rate(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        redirect_stdout=False,  # results stay on stdout
        refresh_per_second=4,
    )


def duration(seconds: float) -> str:
    """Write a time for people, such as "40 s", "12 min" or "2 h 5 min".

    Example:
        >>> duration(7500)
        '2 h 5 min'
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
