"""`_sgd.train_by_torch` compiled for CPUs: the state of a task stays in the cache of its core.

A step takes about a hundred vector instructions, less than a single call of torch. Tasks are trained one
after the other, so the bits of one depend on no other. The caller starts threads: compiled code releases
the interpreter lock.
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

# Typed: a Python number would widen the arrays it is combined with.
RATE, MOMENTUM, SHARE, DECAY = (
    np.float32(x) for x in (_sgd.RATE, _sgd.MOMENTUM, 1 - _sgd.DAMPENING, _sgd.DECAY)
)
ZERO, ONE, SCALE = np.float32(0), np.float32(1), np.float32(_sgd.COSINE_SCALE)
STEP, HALF = np.uint64(_random.STEP), np.uint64(32)
(SHIFT_1, FACTOR_1), (SHIFT_2, FACTOR_2) = ((np.uint64(s), np.uint64(f)) for s, f in _random.ROUNDS)
SHIFT_3 = np.uint64(_random.LAST_SHIFT)

BATCH = 4
assert BATCH == _sgd.BATCH, "a step is written out for four points"

# Sums may be reordered, so that they use vector registers; NaN and infinity keep their meaning.
compiled = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


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
    n_points = n_basis - n_way
    scores, coefficients = gram[n_points:].copy(), np.zeros((n_way, n_basis), np.float32)
    for c in range(n_way):
        coefficients[c, n_points + c] = ONE
    velocities = np.zeros_like(scores), np.zeros_like(scores)
    norms = np.ones(n_way, np.float32)
    if cosine:
        _find_norms(scores, coefficients, norms)
    lengths, length_velocity = norms.copy(), np.zeros_like(norms)
    order = np.zeros(len(trained) + BATCH, np.int64)  # pads the last batch with a point that has no error
    errors, decays = np.empty((n_way, BATCH), np.float32), np.empty(n_way, np.float32)
    share, n_done = ONE, 0
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
        if epoch + 1 == epochs[n_done]:
            for c in range(n_way):
                for i in range(n_basis):
                    mixtures[n_done, c, i] = lengths[c] / norms[c] * coefficients[c, i]
            n_done += 1


@compiled
def _find_errors(
    scores: Floats, lengths: Floats, norms: Floats, batch: Batch, size: int, cosine: bool, errors: Floats
) -> None:
    """Gradient of the loss with respect to the products of weights and batch, errors (n_way, BATCH)."""
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
    """Step of the lengths; by the chain rule, errors and decays become those of the directions v."""
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
    """Step of v: an error adds the Gram row of its point to the scores, and itself to a coefficient."""
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
    """Norm |v| of every class, from v . v = coefficients . scores."""
    for c in range(len(scores)):
        square = ZERO
        for i in range(scores.shape[1]):
            square += coefficients[c, i] * scores[c, i]
        norms[c] = math.sqrt(square)


@compiled
def _shuffle(order: Ints, points: Ints, key: np.uint64) -> None:
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
