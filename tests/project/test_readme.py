"""README: short enough to read, with links that lead somewhere and an output that is true."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")
LARGEST = 8 * 1024  # bytes
WIDEST = 98  # characters of code in a GitHub page of 897 px


def fences(language: str = "") -> list[str]:
    """The code blocks of a language, of all if none is named."""
    tokens = MarkdownIt().parse(TEXT)
    return [t.content for t in tokens if t.type == "fence" and (not language or t.info == language)]


def test_it_is_short():
    assert len(TEXT.encode()) <= LARGEST


def test_no_line_of_code_is_cut_off():
    assert [line for block in fences() for line in block.splitlines() if len(line) > WIDEST] == []


def test_its_table_has_at_most_eight_rows():
    begin, end = "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->"
    block = TEXT.partition(begin)[2].partition(end)[0]
    assert 2 < len([line for line in block.splitlines() if line.startswith("|")]) <= 2 + 8


def test_relative_links_lead_to_files():
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    relative = [link for link in links if not re.match(r"https?://|#|\.\./\.\./actions/", link)]
    assert len(relative) > 20
    assert [link for link in relative if not (ROOT / link.partition("#")[0]).exists()] == []


def test_badges_name_a_workflow_that_exists():
    workflows = set(re.findall(r"actions/workflows/([\w.-]+)", TEXT))
    assert workflows
    assert all((ROOT / ".github" / "workflows" / name).is_file() for name in workflows)


def test_the_python_example_prints_what_is_shown():
    (code,), (shown,) = fences("python"), fences("text")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), {})  # the code is our own
    for line, expected in zip(printed.getvalue().splitlines(), shown.splitlines(), strict=True):
        assert [cell for cell in line.split() if not cell.replace(".", "").isdigit()] == [
            cell for cell in expected.split() if not cell.replace(".", "").isdigit()
        ]
        numbers = [[float(n) for n in re.findall(r"\d+\.\d+", text)] for text in (line, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05)  # processors round differently
