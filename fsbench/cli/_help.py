"""Layout of `--help`."""

import re
from typing import Any

from cyclopts.help.formatters import DefaultFormatter


class FlowingHelp(DefaultFormatter):
    """Help formatter that fills the lines of the terminal, ignoring line breaks in docstrings."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """Print one group of flags or commands."""
        for entry in panel.entries:
            _join_lines(entry.description)
        super().__call__(console, options, panel)

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print the description of a command."""
        _join_lines(description)
        super().render_description(console, options, description)


def _join_lines(description: Any) -> None:
    """Join the lines of each paragraph, in place."""
    text = getattr(description, "primary_renderable", None)
    if text is not None and hasattr(text, "plain"):
        text.plain = re.sub(r"(?<=\S)\n(?=\S)", " ", text.plain)


def default_text(value: object) -> str | None:
    """Format a default as on the command line; None if it is not shown."""
    if value is None or value == ():
        return None
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
