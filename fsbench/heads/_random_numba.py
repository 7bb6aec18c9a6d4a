"""`_random` compiled for CPUs: the same numbers, without a call of torch for each operation on words."""

import numpy as np

from fsbench.heads import _random
from fsbench.heads._numba import Floats, Ints, Words, compiled

# Typed: numba would turn the sum of a word and a Python number into a float.
STEP, HALF = np.uint64(_random.STEP), np.uint64(32)
(SHIFT_1, FACTOR_1), (SHIFT_2, FACTOR_2) = ((np.uint64(s), np.uint64(f)) for s, f in _random.ROUNDS)
SHIFT_3 = np.uint64(_random.LAST_SHIFT)
MASK, TOP, UNIT = np.uint64(0xFFFFFF), np.uint64(40), np.float32(2**-24)


@compiled
def fill_uniforms(keys: Words, numbers: Floats) -> None:
    """Fill numbers (n, count) with `_random.uniforms` of keys (n,)."""
    count = numbers.shape[1]
    for row in range(len(keys)):
        state = _scramble(keys[row] + STEP)
        for place in range(0, count, 2):
            word = _scramble(state + np.uint64(place // 2) * STEP)
            numbers[row, place] = np.float32(word >> TOP) * UNIT
            if place + 1 < count:
                numbers[row, place + 1] = np.float32(word & MASK) * UNIT


@compiled
def shuffle(order: Ints, points: Ints, key: np.uint64) -> None:
    """Fill `order` with the points in the order of `_random.permutations` of one key."""
    for i in range(len(points)):
        order[i] = points[i]
    state = _scramble(key + STEP)
    for last in range(len(points) - 1, 0, -1):
        high = _scramble(state + np.uint64(last) * STEP) >> HALF
        partner = np.int64((high * np.uint64(last + 1)) >> HALF)
        order[last], order[partner] = order[partner], order[last]


@compiled
def _scramble(state: np.uint64) -> np.uint64:
    """The same as `_random._scramble`."""
    state = (state ^ (state >> SHIFT_1)) * FACTOR_1
    state = (state ^ (state >> SHIFT_2)) * FACTOR_2
    return state ^ (state >> SHIFT_3)
