"""Progress: a live bar on a terminal, lines in a log, nothing when quiet."""

import sys
import time

import pytest

from fsbench._util.progress import duration, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A controllable `time.monotonic`, in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def work(clock: list[float], seconds: float, *, total: int | None = 200, **options: bool) -> None:
    """Process 200 images, each in `seconds`."""
    with progress("extract", total, "images", **options) as bar:
        for _ in range(200):
            clock[0] += seconds
            bar.update()


def test_a_log_has_a_line_per_ten_percent(clock, capsys):
    work(clock, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" of ")[0] for line in lines] == [f"extract: {n} %" for n in range(10, 101, 10)]
    assert lines[-1] == "extract: 100 % of 200 images, 1 images/s"


def test_lines_are_at_least_two_seconds_apart(clock, capsys):
    work(clock, 1 / 16)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" %")[0] for line in lines] == [f"extract: {n}" for n in (10, 30, 40, 60, 80, 90)]


@pytest.mark.parametrize("options", [{"quiet": True}, {"lines": False}, {"total": None}])
def test_there_is_no_progress_when_quiet_disabled_or_of_unknown_length(clock, capsys, options):
    work(clock, 1.0, **options)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("quiet", "expected"), [(False, "epoch 1/2\n"), (True, "")])
def test_a_job_prints_its_own_lines_unless_quiet(capsys, quiet: bool, expected: str):
    with progress("train", 10, "images", quiet=quiet, lines=False) as bar:
        bar.line("epoch 1/2")
    assert capsys.readouterr() == ("", expected)


def test_a_terminal_shows_lines_above_the_bar(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("train", 10, "images") as bar:
        bar.describe("epoch 2/2, [bold]")
        bar.line("a line of a log")
        bar.update(10)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 2/2, [bold]" in shown.err
    assert "100 %" in shown.err
    assert "a line of a log\n" in shown.err.replace("\r", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5370, "1 h 30 min"),
        (7500, "2 h 5 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_a_time_is_written_for_people(seconds: float, text: str):
    assert duration(seconds) == text


def test_a_terminal_that_cannot_move_its_cursor_is_a_log(clock, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    work(clock, 1.0)
    assert "\r" not in capsys.readouterr().err
