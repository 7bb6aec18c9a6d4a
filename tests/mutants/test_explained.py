"""The explained survivors of `make mutants` are changes of lines that exist."""

from pathlib import Path

import pytest

from tests.mutants.report import explained

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted({change[0] for change in explained()}))
def test_explained_lines_exist(file: str):
    code = " ".join((ROOT / file).read_text(encoding="utf-8").split())
    lines = {before for name, before, *_ in explained() if name == file}
    assert [line for line in sorted(lines) if " ".join(line.split()) not in code] == []
