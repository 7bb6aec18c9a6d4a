"""`_sgd.train_by_torch` compiled for CPUs: the state of a task stays in the cache of its core.

A step takes about a hundred vector instructions, less than a single call of torch. Tasks are trained one
after the other, so the bits of one depend on no other. The caller starts threads: compiled code releases
the interpreter lock.

Loops run over rows of a few arrays: each time, compiled code checks that the arrays of a loop do not overlap.
"""

import math
from typing import TypeAlias

import numpy as np

from fsbench.heads import _sgd
from fsbench.heads._numba import ONE, ZERO, Floats, Ints, Words, compiled, exp
from fsbench.heads._random_numba import shuffle

Batch: TypeAlias = tuple[int, int, int, int]

# Typed: a Python number would widen the arrays it is combined with.
RATE, MOMENTUM, SHARE, DECAY = (
    np.float32(x) for x in (_sgd.RATE, _sgd.MOMENTUM, 1 - _sgd.DAMPENING, _sgd.DECAY)
)
SCALE = np.float32(_sgd.COSINE_SCALE)
LANES = 8  # rows of a multiple of 8 values fill vector registers

BATCH = 4
assert BATCH == _sgd.BATCH, "a step is written out for four points"


@compiled
def train_tasks(
    grams: Floats, points: Ints, counts: Ints, epoch_keys: Words, epochs: Ints, cosine: bool, mixtures: Floats
) -> None:
    """Fill mixtures (tasks, len(epochs), n_way, basis) with the weights after each number of epochs.

    grams (tasks, basis, basis), points (tasks, basis - n_way) and counts (tasks,) as in
    `_sgd.train_by_torch`, keys (tasks, epochs).
    """
    for task in range(len(grams)):
        _train(grams[task], points[task, : counts[task]], epoch_keys[task], epochs, cosine, mixtures[task])


@compiled
def _train(
    gram: Floats, trained: Ints, epoch_keys: Words, epochs: Ints, cosine: bool, mixtures: Floats
) -> None:
    """SGD of one task on the points `trained`."""
    n_way, n_basis = mixtures.shape[1:]
    # Row i: what basis vector i adds to the scores, beside it to the coefficients, and zeros.
    table = np.zeros((n_basis, _round_up(2 * n_basis)), np.float32)
    for i in range(n_basis):
        table[i, :n_basis] = gram[i]
        table[i, n_basis + i] = ONE
    value = table[n_basis - n_way :].copy()  # (n_way, row)
    velocity = np.zeros_like(value)
    norms = np.ones(n_way, np.float32)
    if cosine:
        _find_norms(value, n_basis, norms)
    lengths, length_velocity = norms.copy(), np.zeros_like(norms)
    order = np.zeros(len(trained) + BATCH, np.int64)  # pads the last batch with a point that has no error
    errors, decays = np.zeros(_round_up(BATCH * n_way), np.float32), np.empty(n_way, np.float32)
    share, n_done = ONE, 0
    for epoch in range(epochs[-1]):
        shuffle(order, trained, epoch_keys[epoch])
        for start in range(0, len(trained), BATCH):
            batch = order[start], order[start + 1], order[start + 2], order[start + 3]
            _find_errors(
                value, n_basis, lengths, norms, batch, min(BATCH, len(trained) - start), cosine, errors
            )
            decays[:] = DECAY
            if cosine:
                _move_lengths(lengths, length_velocity, norms, value, batch, share, errors, decays)
            _move(value, velocity, table, batch, share, errors, decays)
            if cosine:
                _find_norms(value, n_basis, norms)
            share = SHARE
        if epoch + 1 == epochs[n_done]:
            for c in range(n_way):
                for i in range(n_basis):
                    mixtures[n_done, c, i] = lengths[c] / norms[c] * value[c, n_basis + i]
            n_done += 1


@compiled
def _round_up(count: int) -> int:
    """Return the next multiple of LANES."""
    return (count + LANES - 1) // LANES * LANES


@compiled
def _find_errors(
    value: Floats,
    n_basis: int,
    lengths: Floats,
    norms: Floats,
    batch: Batch,
    size: int,
    cosine: bool,
    errors: Floats,
) -> None:
    """Gradient of the loss with respect to the products of weights and batch.

    Entry j * n_way + c of `errors` belongs to point j and class c; zero for j >= size.
    """
    n_way = len(value)
    n_shot = (n_basis - n_way) // n_way
    temperature = SCALE if cosine else ONE
    for c in range(n_way):
        factor = temperature * lengths[c] / norms[c]
        for j in range(size):
            errors[j * n_way + c] = factor * value[c, batch[j]]
    for j in range(size):
        top = errors[j * n_way]
        for c in range(1, n_way):
            top = max(top, errors[j * n_way + c])
        for c in range(n_way):
            errors[j * n_way + c] -= top
    for i in range(_round_up(size * n_way)):
        errors[i] = exp(errors[i])
    weight = temperature / np.float32(size)
    for j in range(size):
        total = ZERO
        for c in range(n_way):
            total += errors[j * n_way + c]
        factor = weight / total
        for c in range(n_way):
            errors[j * n_way + c] *= factor
        errors[j * n_way + batch[j] // n_shot] -= weight
    errors[size * n_way :] = ZERO


@compiled
def _move_lengths(
    lengths: Floats,
    velocity: Floats,
    norms: Floats,
    value: Floats,
    batch: Batch,
    share: np.float32,
    errors: Floats,
    decays: Floats,
) -> None:
    """Step of the lengths; by the chain rule, errors and decays become those of the directions v."""
    n_way = len(lengths)
    for c in range(n_way):
        unit, slope = lengths[c] / norms[c], ZERO
        for j in range(BATCH):
            slope += errors[j * n_way + c] * value[c, batch[j]]
            errors[j * n_way + c] *= unit
        slope /= norms[c]
        decays[c] -= unit * slope / norms[c]
        velocity[c] = MOMENTUM * velocity[c] + share * (slope + DECAY * lengths[c])
        lengths[c] -= RATE * velocity[c]


@compiled
def _move(
    value: Floats,
    velocity: Floats,
    table: Floats,
    batch: Batch,
    share: np.float32,
    errors: Floats,
    decays: Floats,
) -> None:
    """Step of v: an error adds the row of its point."""
    n_way = len(value)
    first, second, third, fourth = batch
    for c in range(n_way):
        decay = share * decays[c]
        error_1, error_2 = share * errors[c], share * errors[n_way + c]
        error_3, error_4 = share * errors[2 * n_way + c], share * errors[3 * n_way + c]
        for i in range(value.shape[1]):
            pull = error_1 * table[first, i] + error_2 * table[second, i]
            pull += error_3 * table[third, i] + error_4 * table[fourth, i]
            velocity[c, i] = MOMENTUM * velocity[c, i] + decay * value[c, i] + pull
            value[c, i] -= RATE * velocity[c, i]


@compiled
def _find_norms(value: Floats, n_basis: int, norms: Floats) -> None:
    """Norm |v| of every class, from v . v = coefficients . scores."""
    for c in range(len(value)):
        square = ZERO
        for i in range(n_basis):
            square += value[c, i] * value[c, n_basis + i]
        norms[c] = math.sqrt(square)
