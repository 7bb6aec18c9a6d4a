"""`sgd.train_by_torch` compiled for processors: a task's state stays in its core's cache for all of SGD.

A step is some hundred vector instructions, less than one call of torch costs. Tasks follow one another, so
the bits of one depend on no other. Threads are the caller's: compiled code does not hold the interpreter.
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fsbench.heads import _random, _sgd

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Batch: TypeAlias = tuple[int, int, int, int]

# Typed, since a number of Python's would widen what it meets.
RATE, MOMENTUM, SHARE, DECAY = (
    np.float32(x) for x in (_sgd.RATE, _sgd.MOMENTUM, 1 - _sgd.DAMPENING, _sgd.DECAY)
)
ZERO, ONE, SCALE = np.float32(0), np.float32(1), np.float32(_sgd.COSINE_SCALE)
STEP, HALF = np.uint64(_random.STEP), np.uint64(32)
(SHIFT_1, FACTOR_1), (SHIFT_2, FACTOR_2) = ((np.uint64(s), np.uint64(f)) for s, f in _random.ROUNDS)
SHIFT_3 = np.uint64(_random.LAST_SHIFT)

BATCH = 4
assert BATCH == _sgd.BATCH, "a step is written out for four points"

# Sums in any order use vector registers; NaN and infinity keep their meaning.
compiled = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


@compiled
def train_tasks(
    grams: Floats, points: Ints, counts: Ints, epoch_keys: Words, epochs: Ints, cosine: bool, mixtures: Floats
) -> None:
    """Fill mixtures (tasks, len(epochs), n_way, basis).

    grams (tasks, basis, basis), points (tasks, basis - n_way) and counts (tasks,) as `sgd.train_by_torch`,
    keys (tasks, epochs).
    """
    for task in range(len(grams)):
        _train(grams[task], points[task, : counts[task]], epoch_keys[task], epochs, cosine, mixtures[task])


@compiled
def _train(
    gram: Floats, trained: Ints, epoch_keys: Words, epochs: Ints, cosine: bool, mixtures: Floats
) -> None:
    """SGD of one task on the points `trained`."""
    n_way, n_basis = mixtures.shape[1:]
    n_points = n_basis - n_way
    scores, coefficients = gram[n_points:].copy(), np.zeros((n_way, n_basis), np.float32)
    for c in range(n_way):
        coefficients[c, n_points + c] = ONE
    velocities = np.zeros_like(scores), np.zeros_like(scores)
    norms = np.ones(n_way, np.float32)
    if cosine:
        _find_norms(scores, coefficients, norms)
    lengths, length_velocity = norms.copy(), np.zeros_like(norms)
    order = np.zeros(len(trained) + BATCH, np.int64)  # fills the last batch up with a point that has no error
    errors, decays = np.empty((n_way, BATCH), np.float32), np.empty(n_way, np.float32)
    share, found = ONE, 0
    for epoch in range(epochs[-1]):
        _shuffle(order, trained, epoch_keys[epoch])
        for start in range(0, len(trained), BATCH):
            batch = order[start], order[start + 1], order[start + 2], order[start + 3]
            _find_errors(scores, lengths, norms, batch, min(BATCH, len(trained) - start), cosine, errors)
            decays[:] = DECAY
            if cosine:
                _move_lengths(lengths, length_velocity, norms, scores, batch, share, errors, decays)
            _move(scores, coefficients, velocities, gram, batch, share, errors, decays)
            if cosine:
                _find_norms(scores, coefficients, norms)
            share = SHARE
        if epoch + 1 == epochs[found]:
            for c in range(n_way):
                for i in range(n_basis):
                    mixtures[found, c, i] = lengths[c] / norms[c] * coefficients[c, i]
            found += 1


@compiled
def _find_errors(
    scores: Floats, lengths: Floats, norms: Floats, batch: Batch, size: int, cosine: bool, errors: Floats
) -> None:
    """The loss's gradient by the weights' products with a batch, errors (n_way, BATCH)."""
    n_way = len(scores)
    n_shot = (scores.shape[1] - n_way) // n_way
    temperature = SCALE if cosine else ONE
    for c in range(n_way):
        factor = temperature * lengths[c] / norms[c]
        for j in range(BATCH):
            errors[c, j] = factor * scores[c, batch[j]]
    for j in range(BATCH):
        top = errors[0, j]
        for c in range(1, n_way):
            top = max(top, errors[c, j])
        total = ZERO
        for c in range(n_way):
            errors[c, j] = math.exp(errors[c, j] - top)
            total += errors[c, j]
        weight = temperature / np.float32(size) if j < size else ZERO
        for c in range(n_way):
            errors[c, j] *= weight / total
        errors[batch[j] // n_shot, j] -= weight


@compiled
def _move_lengths(
    lengths: Floats,
    velocity: Floats,
    norms: Floats,
    scores: Floats,
    batch: Batch,
    share: np.float32,
    errors: Floats,
    decays: Floats,
) -> None:
    """A step of the lengths; by the chain rule, errors and decays become those of the directions v."""
    for c in range(len(lengths)):
        unit, slope = lengths[c] / norms[c], ZERO
        for j in range(BATCH):
            slope += errors[c, j] * scores[c, batch[j]]
            errors[c, j] *= unit
        slope /= norms[c]
        decays[c] -= unit * slope / norms[c]
        velocity[c] = MOMENTUM * velocity[c] + share * (slope + DECAY * lengths[c])
        lengths[c] -= RATE * velocity[c]


@compiled
def _move(
    scores: Floats,
    coefficients: Floats,
    velocities: tuple[Floats, Floats],
    gram: Floats,
    batch: Batch,
    share: np.float32,
    errors: Floats,
    decays: Floats,
) -> None:
    """A step of v: an error adds its point's row of the Gram matrix to scores, itself to a coefficient."""
    of_scores, of_coefficients = velocities
    first, second, third, fourth = batch
    for c in range(len(scores)):
        decay = share * decays[c]
        error_1, error_2 = share * errors[c, 0], share * errors[c, 1]
        error_3, error_4 = share * errors[c, 2], share * errors[c, 3]
        for i in range(scores.shape[1]):
            pull = error_1 * gram[first, i] + error_2 * gram[second, i]
            pull += error_3 * gram[third, i] + error_4 * gram[fourth, i]
            of_scores[c, i] = MOMENTUM * of_scores[c, i] + decay * scores[c, i] + pull
            scores[c, i] -= RATE * of_scores[c, i]
        for i in range(scores.shape[1]):
            of_coefficients[c, i] = MOMENTUM * of_coefficients[c, i] + decay * coefficients[c, i]
            coefficients[c, i] -= RATE * of_coefficients[c, i]
        for j in range(BATCH):
            of_coefficients[c, batch[j]] += share * errors[c, j]
            coefficients[c, batch[j]] -= RATE * share * errors[c, j]


@compiled
def _find_norms(scores: Floats, coefficients: Floats, norms: Floats) -> None:
    """|v| of every class, from v . v = coefficients . scores."""
    for c in range(len(scores)):
        square = ZERO
        for i in range(scores.shape[1]):
            square += coefficients[c, i] * scores[c, i]
        norms[c] = math.sqrt(square)


@compiled
def _shuffle(order: Ints, points: Ints, key: np.uint64) -> None:
    """Points in the order of `draws.permutations` of one key."""
    for i in range(len(points)):
        order[i] = points[i]
    state = _scramble(key + STEP)
    for last in range(len(points) - 1, 0, -1):
        high = _scramble(state + np.uint64(last) * STEP) >> HALF
        chosen = np.int64((high * np.uint64(last + 1)) >> HALF)
        order[last], order[chosen] = order[chosen], order[last]


@compiled
def _scramble(state: np.uint64) -> np.uint64:
    """`draws.bits` of a key, or of a scrambled key and a place."""
    state = (state ^ (state >> SHIFT_1)) * FACTOR_1
    state = (state ^ (state >> SHIFT_2)) * FACTOR_2
    return state ^ (state >> SHIFT_3)
