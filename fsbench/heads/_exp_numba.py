"""The exponential function in single precision, compiled to vector instructions in any loop that calls it."""

import math

import numpy as np
from numba import njit

from fsbench._util.compiled import is_kept

# exp(x) = 2^n exp(r) with the integer n nearest to x / log 2, so that |r| <= log(2) / 2.
LOWEST, HIGHEST = np.float32(-87), np.float32(88)  # beyond these the result stays the same
PER_LOG_2 = np.float32(1 / math.log(2))
LOG_2_HIGH = np.float32(355 / 512)  # n times it is exact
LOG_2_LOW = np.float32(math.log(2) - 355 / 512)
ROUND = np.float32(1.5 * 2**23)  # a sum with it has no fraction, and the integer in its lowest bits
BIAS, EXPONENT = np.int32(127), np.int32(23)  # of the bits of a float32
ONE = np.float32(1)
# (exp(r) - 1 - r) / r^2 as a polynomial, by interpolation at Chebyshev points.
C0, C1, C2, C3, C4 = (np.float32(c) for c in (0.5, 0.16666578, 0.041666556, 0.0083631733, 0.0013926176))


# Sums keep their order: reordered, those with ROUND would have no effect.
@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=is_kept())
def exp(x: np.float32) -> np.float32:
    """Return e^x for float32, to 2e-7 of the result; NaN stays NaN."""
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    rounded = x * PER_LOG_2 + ROUND
    n = rounded - ROUND
    r = x - n * LOG_2_HIGH
    r = r - n * LOG_2_LOW
    rest = (((C4 * r + C3) * r + C2) * r + C1) * r + C0
    power = (np.float32(rounded).view(np.int32) + BIAS) << EXPONENT
    return (rest * (r * r) + (r + ONE)) * np.int32(power).view(np.float32)
