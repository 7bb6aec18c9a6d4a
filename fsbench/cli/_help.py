"""How `--help` looks."""

import re
from typing import Any

from cyclopts.help.formatters import DefaultFormatter


class FlowingHelp(DefaultFormatter):
    """Groups of flags whose descriptions fill the lines of the terminal, wherever docstrings break theirs."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """Print one group of flags or commands."""
        for entry in panel.entries:
            _join_lines(entry.description)
        super().__call__(console, options, panel)

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print what a command does."""
        _join_lines(description)
        super().render_description(console, options, description)


def _join_lines(description: Any) -> None:
    """Join the lines of each paragraph, in place."""
    text = getattr(description, "primary_renderable", None)
    if text is not None and hasattr(text, "plain"):
        text.plain = re.sub(r"(?<=\S)\n(?=\S)", " ", text.plain)


def default_text(value: object) -> str | None:
    """A default as one would type it; None where there is nothing to show."""
    if value is None or value == ():
        return None
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
