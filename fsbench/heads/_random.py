"""Random numbers computed from a key and an index alone, in any order and on any device."""

import numpy as np
import torch
from torch import Tensor

from fsbench._util.threads import in_threads

# The splitmix64 generator: Steele, Lea, Flood (OOPSLA 2014).
STEP = 0x9E3779B97F4A7C15
ROUNDS = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
LAST_SHIFT = 31


def bits(keys: Tensor, places: Tensor) -> Tensor:
    """Return 64 random bits for each key and index, int64 of the shape to which the two broadcast.

    The bits can be used as further keys, so that one key gives a tree of independent streams.
    """
    return _scramble(_scramble(keys + _signed(STEP)) + places * _signed(STEP))


def uniforms(keys: Tensor, count: int) -> Tensor:
    """Draw uniform numbers in [0, 1), multiples of 2**-24, float32 (..., count) for keys (...)."""
    return (_uniforms_on_cpu if keys.device.type == "cpu" else uniforms_by_torch)(keys, count)


def _uniforms_on_cpu(keys: Tensor, count: int) -> Tensor:
    """Compute the same as `uniforms_by_torch` in a tenth of the time."""
    from fsbench.heads._random_numba import fill_uniforms  # compiles on its first call

    numbers = torch.empty(keys.numel(), count)
    words = keys.contiguous().view(-1).numpy().view(np.uint64)
    in_threads(fill_uniforms, words, numbers.numpy())
    return numbers.view(*keys.shape, count)


def uniforms_by_torch(keys: Tensor, count: int) -> Tensor:
    """Draw the numbers of `uniforms` on any device."""
    words = bits(keys.unsqueeze(-1), torch.arange((count + 1) // 2, device=keys.device))
    halves = torch.stack([words >> 40, words], dim=-1).flatten(-2)[..., :count]
    return (halves & 0xFFFFFF).float() / (1 << 24)


def permutations(keys: Tensor, n: int) -> Tensor:
    """Draw a permutation of n < 2**31 numbers for each key, int64 (..., n) for keys (...).

    All permutations are equally likely, to n parts in 2**32: a Fisher-Yates shuffle from the last place down.
    """
    places = torch.arange(n, device=keys.device)
    partners = (((bits(keys.unsqueeze(-1), places) >> 32) & 0xFFFFFFFF) * (places + 1)) >> 32
    order = places.repeat(*keys.shape, 1)
    for last in range(n - 1, 0, -1):
        entry, partner = order[..., last : last + 1], partners[..., last : last + 1]
        moved = order.gather(-1, partner)
        order.scatter_(-1, partner, entry.clone())
        entry.copy_(moved)
    return order


def _scramble(state: Tensor) -> Tensor:
    """Apply the output function of splitmix64 to int64; the masks make right shifts fill with zeros."""
    for shift, factor in ROUNDS:
        state = (state ^ ((state >> shift) & ((1 << (64 - shift)) - 1))) * _signed(factor)
    return state ^ ((state >> LAST_SHIFT) & ((1 << (64 - LAST_SHIFT)) - 1))


def _signed(word: int) -> int:
    """Convert a 64-bit word to a signed number, whose sums and products wrap around in torch."""
    return word - (1 << 64) if word >> 63 else word
