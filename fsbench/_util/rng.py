"""Random streams by name: adding one draw moves no other, and any step can be replayed by itself."""

import hashlib

import numpy as np


def stream_seed(seed: int, *name: str | int) -> int:
    """A 63-bit seed that depends on `seed` and the stream's name alone."""
    text = repr((seed, *name)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """The generator of one named stream, such as `stream(0, "order", epoch)`."""
    return np.random.Generator(np.random.Philox(stream_seed(seed, *name)))
