"""Settings of functions: which there are, how they are written, and what is refused."""

import math
from functools import partial, wraps
from types import ModuleType
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsbench._util.errors import FsbenchError
from fsbench._util.settings import (
    Parameter,
    as_text,
    convert,
    in_words,
    joined,
    parameters,
    portable,
    split,
)

EVERY_KIND = '''
from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


def head(
    support: Tensor, query: Tensor, shots: Tensor = None, bare=2, *, keys: Tensor, other: Tensor = None,
    flag: bool = True, count: int = 3, size: float = 1, norm: Literal["l1", "l2"] = "l2", text: str = "a",
    wrong: int = 0.5, nan: float = float("nan"), also_wrong: Literal["a"] = "b",
    limit: int | None = None, **more: int,
) -> Tensor:
    """A function with parameters of all kinds, some of which are no settings."""
'''
KINDS = {
    "bare": Parameter(int, 2),
    "flag": Parameter(bool, True),
    "count": Parameter(int, 3),
    "size": Parameter(float, 1.0),
    "norm": Parameter(("l1", "l2"), "l2"),
}


@pytest.fixture
def head():
    """Its annotations are texts, one of which names a type that only type checkers import."""
    module = ModuleType("mine")
    exec(EVERY_KIND, vars(module))
    return module.head


class TestParameters:
    def test_types_are_those_of_the_signature(self, head):
        actual = parameters(head)
        assert actual == KINDS
        assert list(actual) == ["bare", "flag", "count", "size", "norm"]
        assert type(actual["size"].default) is float

    def test_of_wrapped_functions(self, head):
        @wraps(head)
        def wrapped(*values, **options):
            return head(*values, **options)

        assert parameters(wrapped) == KINDS
        assert parameters(partial(head, count=7))["count"] == Parameter(int, 7)

    def test_a_parameter_that_cannot_be_named_is_no_setting(self):
        def head(support, query, count=3, /):
            return query

        assert parameters(head) == {}

    @pytest.mark.parametrize("choice", ["a:b", "a,b", " a"])
    def test_a_text_that_could_not_be_read_back_is_no_choice(self, choice):
        def head(support, query, norm="l2"):
            return query

        head.__annotations__["norm"] = Literal["l2", choice]
        assert parameters(head) == {}

    def test_an_annotation_that_fails_is_none(self):
        def head(support, query, k=3):
            return query

        head.__annotations__["k"] = "{}['px']"
        assert parameters(head) == {"k": Parameter(int, 3)}

    def test_functions_without_a_signature_have_none(self):
        assert parameters(torch.bmm) == {}


class TestText:
    @pytest.mark.parametrize(
        ("text", "name", "given_values"),
        [
            ("tim", "tim", {}),
            ("tim:balanced=false", "tim", {"balanced": "false"}),
            ("tim: a = 1 , b=x y", "tim", {"a": "1", "b": "x y"}),
            ("tim:a=", "tim", {"a": ""}),
            ("tim:a=b=c", "tim", {"a": "b=c"}),
            ("./mine.py:head", "./mine.py:head", {}),
            ("./mine.py:head:k=3", "./mine.py:head", {"k": "3"}),
            ("package.module:head:k=3", "package.module:head", {"k": "3"}),
            ("./a=b.py:head", "./a=b.py:head", {}),
            ("C:\\a=b\\mine.py:head:k=3", "C:\\a=b\\mine.py:head", {"k": "3"}),
            ("a=b", "a=b", {}),
        ],
    )
    def test_settings_are_behind_the_last_colon(self, text, name, given_values):
        assert split(text) == (name, given_values)

    @pytest.mark.parametrize("part", ["a=1,", ",a=1", "=1", "a=1,b", "a=1,,b=2"])
    def test_other_lists_are_refused(self, part):
        with pytest.raises(FsbenchError) as raised:
            split(f"tim:{part}")
        expected = f"settings of tim must be NAME=VALUE, separated by commas, but are {part!r}"
        assert str(raised.value) == expected

    def test_a_setting_is_given_once(self):
        with pytest.raises(FsbenchError, match=r"name each setting once, but a is given twice$"):
            split("tim:a=1,a=1")

    @given(
        st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
    )
    def test_what_is_written_is_read_back(self, flag, count, size):
        values = {"count": count, "flag": flag, "norm": "l1", "size": size}
        name, read = split(joined("tim", values))
        actual = convert(read, KINDS, "head tim")
        assert (name, actual) == ("tim", values)
        assert list(map(type, actual.values())) == [int, bool, str, float]

    def test_values_are_written_as_users_do(self):
        assert [*map(as_text, (True, 100, 2.0, 0.5, 1e-05, "1.0"))] == [
            "true",
            "100",
            "2",
            "0.5",
            "1e-05",
            "1.0",
        ]
        assert joined("tim", {}) == "tim"
        assert in_words({"epochs": 100, "intercept": False}) == ["epochs 100", "intercept false"]

    def test_names_of_files_are_portable(self):
        assert portable({"epochs": 100, "intercept": False}) == "epochs_100-intercept_false"
        assert portable({"norm": "L1/L2: *?", "größe": -1e-05}) == "norm_L1_L2_-gr_e_-1e-05"
        assert len(portable({"a" * 100: 1})) == 60


class TestValues:
    @pytest.mark.parametrize(
        ("name", "values", "expected"),
        [
            ("flag", ("false", "False", False), False),
            ("count", ("100", "1e2", "100.0", " 100 ", 100), 100),
            ("count", ("9007199254740993",), 9007199254740993),  # a float would lose its last digit
            ("size", ("2", "2.0", "20e-1", 2, 2.0), 2.0),
            ("size", ("1e30",), 1e30),
            ("size", ("-0.0", "0"), 0.0),
            ("norm", ("l1",), "l1"),
            ("limit", ("inf", math.inf), math.inf),  # a value that is refused unless it is the default
        ],
    )
    def test_spellings_of_a_value_are_equal(self, name, values, expected):
        for value in values:
            valid = {**KINDS, "limit": Parameter(float, math.inf)}
            actual = convert({name: value}, valid, "head tim")[name]
            assert (actual, type(actual), str(actual)) == (expected, type(expected), str(expected))

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"flag": "0"}, "head tim: flag must be true or false, but is '0'"),
            ({"flag": ""}, "head tim: flag must be true or false, but is ''"),
            ({"count": "2.5"}, "head tim: count must be a whole number, but is '2.5'"),
            ({"count": "ten"}, "head tim: count must be a whole number, but is 'ten'"),
            ({"count": "true"}, "head tim: count must be a whole number, but is 'true'"),
            ({"count": "1e400"}, "head tim: count must be a whole number, but is '1e400'"),
            ({"count": str(2**63)}, f"head tim: count must be a whole number, but is '{2**63}'"),
            ({"size": "inf"}, "head tim: size must be a number, but is 'inf'"),
            ({"size": "nan"}, "head tim: size must be a number, but is 'nan'"),
            ({"norm": "L1"}, "head tim: norm must be l1 or l2, but is 'L1'"),
            ({"nrom": "l1"}, "head tim has no setting 'nrom'; did you mean 'norm'? (its settings: "
             "bare=2, flag=true, count=3, size=1, norm=l2)"),
            ({"zzz": "1"}, "head tim has no setting 'zzz'; choose bare, count, flag, norm, size "
             "(its settings: bare=2, flag=true, count=3, size=1, norm=l2)"),
        ],
    )  # fmt: skip
    def test_others_are_refused_in_one_line(self, values, message):
        with pytest.raises(FsbenchError) as raised:
            convert(values, KINDS, "head tim")
        assert str(raised.value) == message

    def test_a_function_without_settings_takes_none(self):
        with pytest.raises(FsbenchError, match=r"^head svm has no settings, but k is given$"):
            convert({"k": "3"}, {}, "head svm")

    def test_the_order_is_that_of_the_alphabet(self):
        assert list(convert({"size": 1, "count": 2}, KINDS, "head tim")) == ["count", "size"]
