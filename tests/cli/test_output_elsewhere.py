"""Output where something is missing: memory for rich, UTF-8 in a pipe."""

import io
import sys

import pytest

from fsbench.cli import main
from fsbench.cli._output import print_error


@pytest.mark.parametrize("error", [MemoryError, ImportError])
def test_an_error_is_shown_where_rich_cannot_be_imported(error: type[Exception], capsys, monkeypatch):
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr("fsbench.cli._output.console", refuse)
    print_error("out of [memory]")
    assert capsys.readouterr().err == "fsbench: out of [memory]\n"


def test_output_in_a_pipe_is_utf8_whatever_the_system_prefers(monkeypatch):
    written = io.BytesIO()
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    assert main(["evaluate", "--help"]) == 0
    sys.stdout.write("狐\n")
    sys.stdout.flush()
    assert written.getvalue().endswith("狐\n".encode())


def test_an_encoding_that_the_user_sets_is_kept(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert main(["data", "list"]) == 0
    assert sys.stdout.encoding == "cp1252"
