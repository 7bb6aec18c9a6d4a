"""Rows of features are prefetched."""

import re

import numpy as np
from numba import njit

from fsbench.heads._prefetch_numba import prefetch


def test_it_is_an_instruction_of_the_processor():
    """On x86 and on ARM; a call that does nothing would only be slow, which no other test notices."""
    compiled = njit(prefetch.py_func)  # what comes from the cache on disk has no listing
    compiled(np.zeros((3, 40), np.float32), np.array([2]), 0)
    (code,) = compiled.inspect_asm().values()
    assert re.search(r"^\s*(prefetch\w+|prfm)\s", code, re.MULTILINE)
