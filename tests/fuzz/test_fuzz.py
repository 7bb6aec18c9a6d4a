"""Each reader on a few mutated files; `make fuzz` runs many more."""

import pytest
from fuzz_targets import TARGETS, attempt, scratch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TRIES = 40  # inputs per reader


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A valid file with some changes: bytes overwritten, inserted, removed or copied, or the end cut off."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, max(0, len(data) - 1))), draw(st.integers(1, 16))
        kind = draw(st.sampled_from(["over", "insert", "delete", "copy", "cut"]))
        if kind == "over":
            fresh = draw(st.binary(min_size=1, max_size=8))
            data[at : at + len(fresh)] = fresh
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif kind == "delete":
            del data[at : at + length]
        elif kind == "copy":
            start = draw(st.integers(0, max(0, len(data) - 1)))
            data[at : at + length] = data[start : start + length]
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused_in_one_line(name: str):
    target = TARGETS[name]
    seeds = target.seeds()
    with scratch() as folder:
        for seed in seeds:
            assert attempt(target, seed, folder) == "", (
                "a valid file is refused, so mutations of it say nothing"
            )

    @settings(
        max_examples=TRIES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(seeds))
    def check(data: bytes) -> None:
        with scratch() as folder:
            attempt(target, data, folder)

    check()
