"""Named random streams: each is independent of all others, so a new draw changes no existing one."""

import hashlib

import numpy as np


def stream_seed(seed: int, *name: str | int) -> int:
    """Return a 63-bit seed that depends only on `seed` and the name of the stream."""
    text = repr((seed, *name)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """Return the generator of a named stream, for example `stream(0, "order", epoch)`."""
    return np.random.Generator(np.random.Philox(stream_seed(seed, *name)))
