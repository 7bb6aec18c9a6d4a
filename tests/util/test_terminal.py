"""Tables are plain and complete in a pipe and fit the width of a terminal."""

import io

import pytest

from fsbench._util.terminal import as_text, escaped, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ROWS = [(escaped("a [b] folder"), 12), ("short", 3)]


def test_in_a_pipe_a_table_is_plain():
    assert as_text(table(("name", "images"), ROWS, right=("images",))) == (
        "name          images\na [b] folder      12\nshort              3"
    )
    assert as_text("a [b] line") == "a [b] line"


def test_in_a_pipe_no_line_is_broken():
    (_, line) = as_text(table(("name",), [("long " * 100,)])).splitlines()
    assert line.split() == ["long"] * 100


def test_on_a_terminal_a_table_fits_and_its_headings_are_bold(monkeypatch: pytest.MonkeyPatch):
    for name, value in (("COLUMNS", "15"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = as_text(table(("name", "images"), ROWS), Terminal())
    assert "\x1b[1mname" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    lines = as_text(table(("name", "images"), ROWS), Terminal()).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 15


def test_names_are_broken_between_their_words():
    names = ["manifold-mixup-…-s0", "pretrained.efficientnet_lite0", "ridge (l2)", "-9.50", "[bold]a-b[/]"]
    shown = as_text(table(["name"], [[name] for name in names]), None, 13)
    assert shown.splitlines()[1:] == [
        "manifold-", "mixup-…-s0", "pretrained.", "efficientnet_", "lite0", "ridge (l2)", "-9.50", "a-b",
    ]  # fmt: skip
    assert "manifo\nld" in as_text(table(["name"], [["manifold"]]), None, 6), "a long word has no other place"
