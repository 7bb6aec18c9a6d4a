import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsbench._util.errors import FsbenchError
from fsbench._util.untrusted import (
    InvalidValueError,
    check_file_name,
    escape_formula,
    hdf5,
    parse_json,
    typed,
)
from fsbench.data import image_store
from fsbench.features import store


@dataclass
class Value:
    n: int
    x: float
    name: str
    maybe: str | None
    sizes: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    words: dict[str, str]
    on: bool = False


GOOD: dict[str, Any] = {
    "n": 3, "x": 0.5, "name": "Zürich 5 ± 1", "maybe": None, "sizes": (1, 2), "pairs": ((1, 2),),
    "words": {"a": "b"}, "on": True,
}  # fmt: skip
BAD: dict[str, list[Any]] = {
    "n": [True, 1.0, "1", None, 1 << 64, -(1 << 64)],
    "x": [True, float("nan"), float("inf"), 10**400, "1", None],
    "name": ["a\nb", "\x1b[2J", "a\u202eb", "x" * 1001, b"a", None, 3],
    "maybe": ["a\nb", 3],
    "sizes": [(1, 2.0), (1, 2.0, 300), ("1",), (None,), 3, None],
    "pairs": [((1, 2, 3),), ((1,),), (1, 2), (("a", 1),)],
    "words": [{"a": 1}, {1: "a"}, {"a": "\n"}, []],
    "on": [0, 1, "true", None],
}


def test_values_of_the_declared_types_pass():
    assert typed(GOOD, Value) == Value(**GOOD)
    other = {**GOOD, "x": 1, "maybe": "a", "sizes": [], "words": {}}
    assert typed(other, Value) == Value(**{**other, "sizes": ()})
    assert typed({name: value for name, value in GOOD.items() if name != "on"}, Value).on is False


@pytest.mark.parametrize("field", BAD)
def test_values_of_other_types_are_refused(field: str):
    for value in BAD[field]:
        with pytest.raises(InvalidValueError, match="must be"):
            typed({**GOOD, field: value}, Value)


def test_missing_and_unknown_keys_are_named():
    with pytest.raises(InvalidValueError, match="lacks n"):
        typed({name: value for name, value in GOOD.items() if name != "n"}, Value)
    with pytest.raises(InvalidValueError, match="unknown keys: b, c"):
        typed({**GOOD, "c": 1, "b": 2}, Value)
    assert typed({**GOOD, "c": 1}, Value, other_keys=True) == Value(**GOOD)


def test_file_names(tmp_path: Path):
    for name in ("a", "a.b-c_d", "step:4", "ü ö", "..a", "a..", "-x"):
        check_file_name("run", name)
        (tmp_path / name).mkdir()
    for name in ("", ".", "..", "a/b", "/a", "a/", "./a", "a\\b", "a\0b", "a\nb", "ü" * 101):
        with pytest.raises(InvalidValueError, match="run must be a name"):
            check_file_name("run", name)


def test_only_json_objects():
    assert parse_json('{"a": [1]}') == {"a": [1]}
    for text in ("", "[]", "1", "{", "[" * 100_000, b"\xff"):
        with pytest.raises(InvalidValueError, match="not"):
            parse_json(text)


def test_formulas_are_escaped():
    assert [escape_formula(text) for text in ("=1", "+1", "-1", "@a", "a=1", "", "5")] == [
        "'=1", "'+1", "'-1", "'@a", "a=1", "", "5",
    ]  # fmt: skip


def test_a_file_that_does_not_fit_into_memory_is_not_called_damaged(tmp_path: Path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    (tmp_path / "a.h5").write_bytes(b"\x89HDF")
    monkeypatch.setattr(hdf5.mmap, "mmap", refuse)
    with pytest.raises(FsbenchError, match=r"a\.h5: does not fit into memory"):
        image_store.read(tmp_path / "a.h5", "base")
    with pytest.raises(FsbenchError, match=r"a\.h5: does not fit into memory"):
        store.read(tmp_path / "a.h5")
