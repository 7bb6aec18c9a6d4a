"""The width of the tables of `fsbench compare` in a pipe."""

from pathlib import Path

import pytest

from fsbench.cli import main
from fsbench.cli.compare import WIDTH
from fsbench.evaluation import result_files
from tests.changed import changed


@pytest.mark.parametrize("columns", ["wide", "0", "-5", ""])
def test_columns_that_are_no_width_do_not_count(
    columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    base = result_files.read(Path(__file__).parents[1] / "golden" / "results" / "schema-1.json")
    paths = [result_files.write(tmp_path, changed(base, run=run, task_digest="t")) for run in ("a", "b")]
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["compare", *map(str, paths)]) == 0
    assert 80 < max(map(len, capsys.readouterr().out.splitlines())) <= WIDTH
