"""The exponential function in single precision, compiled to vector instructions in any loop that calls it."""

import numpy as np
from numba import njit

# exp(x) = 2^n exp(r) with the integer n nearest to x / log 2 and |r| <= log(2) / 2.
_LOWEST, _HIGHEST = np.float32(-87), np.float32(88)  # beyond these the result is held
_PER_LOG_2, _LOG_2_HIGH, _LOG_2_LOW = (
    np.float32(1.4426950408889634),
    np.float32(0.693359375),
    np.float32(-2.12194440e-4),
)
_ROUND = np.float32(1.5 * 2**23)  # a sum with it has no fraction, and the integer in its lowest bits
_BIAS, _EXPONENT = np.int32(127), np.int32(23)
_ONE, _HALF = np.float32(1), np.float32(0.5)
# Of the polynomial that is nearest to exp on that interval; the error is below 2e-7 of the result.
_C3, _C4, _C5, _C6, _C7 = (
    np.float32(c) for c in (0.16666665, 0.041665796, 0.008333452, 0.0013981999, 1.98756915e-4)
)


# Sums keep their order: reordered, those with _ROUND would have no effect.
@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def exp(x: np.float32) -> np.float32:
    """Return e^x for float32, to 2e-7 of the result; NaN stays NaN."""
    x = _LOWEST if x < _LOWEST else x
    x = _HIGHEST if x > _HIGHEST else x
    rounded = x * _PER_LOG_2 + _ROUND
    n = rounded - _ROUND
    r = x - n * _LOG_2_HIGH
    r = r - n * _LOG_2_LOW
    rest = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _HALF
    power = (np.float32(rounded).view(np.int32) + _BIAS) << _EXPONENT
    return (rest * (r * r) + (r + _ONE)) * np.int32(power).view(np.float32)
