"""`_tim.train_by_torch` compiled for CPUs: the features of a task stay in the cache of its core.

Tasks are trained one after the other, so the bits of one depend on no other. Three identities save work:

* Probabilities depend only on differences of logits. Those of the last class are subtracted from all, so only
  the weights of n_way - 1 classes, minus those of the last, are multiplied by the features.
* The gradients with respect to the logits of a point sum to zero over the classes, so the gradient of the
  weights of the last class is minus the sum of the others.
* What is the same for all classes of a point has no effect on them, so the logarithm of a probability can be
  replaced by its logit.

Loops over features or points are the innermost ones and become vector instructions.
"""

import math

import numpy as np

from fsbench.heads import _tim
from fsbench.heads._numba import HALF, ONE, TINY, ZERO, Floats, compiled, exp

TEMPERATURE = np.float32(_tim.TEMPERATURE)
KEPT_1, KEPT_2 = np.float32(_tim.BETA1), np.float32(_tim.BETA2)
SHANNON = _tim.SHANNON
NEW_1, NEW_2 = np.float32(1 - _tim.BETA1), np.float32(1 - _tim.BETA2)

# The products are written out for blocks of 4 classes and 3 points: their 12 sums and 3 features fit into the
# 16 vector registers of common processors.
CLASSES, POINTS = 4, 3
AT_ONCE = 16 * POINTS  # points multiplied by all classes before the next ones; they fit into the L2 cache
COLUMNS = 16  # a multiple of the numbers in a vector register, so that no loop over points has a remainder


@compiled
def train(
    points: Floats,
    count: int,
    labels: Floats,
    of_support: Floats,
    of_query: Floats,
    alpha: int,
    weights: Floats,
    loss: Floats,
    rates: Floats,
    epsilons: Floats,
) -> None:
    """Train weights (n_way, d) of one task in place.

    points (n, d), of which the first `count` are support and query; labels (n_way, columns); of_support
    (columns,): weight of each point in the cross-entropy; of_query (columns,): weight of each point in a mean
    over queries. All but points are zero beyond the count. n is at least the count rounded up to a multiple
    of POINTS, and columns at least that rounded up to a multiple of COLUMNS. alpha and loss (3,) as in
    `_tim.train_by_torch`. rates, epsilons (steps,): of each step.
    """
    n_way, d = weights.shape
    n_points, n_rows = -(-count // POINTS) * POINTS, -(-(n_way - 1) // CLASSES) * CLASSES
    n_columns = -(-n_points // COLUMNS) * COLUMNS
    first, second = np.zeros((n_way, d), np.float32), np.zeros((n_way, d), np.float32)
    relative, gradient = np.zeros((n_rows, d), np.float32), np.zeros((n_rows + 1, d), np.float32)
    logits = np.zeros((n_rows + 1, n_columns), np.float32)
    pull = np.zeros((n_rows + 1, n_columns), np.float32)
    probability, scratch = np.zeros((n_way, n_columns), np.float32), np.zeros(n_columns, np.float32)
    offsets, sums = np.zeros(n_rows, np.float32), np.zeros(n_way, np.float32)
    top = np.zeros(n_columns, np.float32)
    _relate(weights, relative, offsets)
    for step in range(len(rates)):
        _find_logits(relative, offsets, points, n_points, logits, top)
        _find_probabilities(logits, top, scratch, probability)
        _find_pull(logits, probability, labels, of_support, of_query, alpha, loss, scratch, pull, sums)
        _find_gradient(pull, points, n_points, gradient, n_way - 1)
        _move(weights, first, second, gradient, sums, rates[step], epsilons[step])
        _relate(weights, relative, offsets)


@compiled
def _relate(weights: Floats, relative: Floats, offsets: Floats) -> None:
    """Fill relative (rows, d), offsets (rows,): relative . x - offset is a logit minus the last one."""
    last, d = len(weights) - 1, weights.shape[1]
    square_of_last = ZERO
    for i in range(d):
        square_of_last += weights[last, i] * weights[last, i]
    for c in range(last):
        square = ZERO
        for i in range(d):
            square += weights[c, i] * weights[c, i]
            relative[c, i] = TEMPERATURE * (weights[c, i] - weights[last, i])
        offsets[c] = HALF * TEMPERATURE * (square - square_of_last)


@compiled
def _find_logits(
    relative: Floats, offsets: Floats, points: Floats, n_points: int, logits: Floats, top: Floats
) -> None:
    """Fill logits (rows + 1, columns) minus those of the last class, and their maximum top (columns,)."""
    d = points.shape[1]
    for p in range(len(top)):
        top[p] = ZERO  # the last class
    for start in range(0, n_points, AT_ONCE):
        for r in range(0, len(relative), CLASSES):
            for p in range(start, min(start + AT_ONCE, n_points), POINTS):
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = ZERO
                for i in range(d):
                    x, y, z = points[p, i], points[p + 1, i], points[p + 2, i]
                    w = relative[r, i]  # one class after the other, or the compiler runs out of registers
                    a0, b0, c0 = a0 + w * x, b0 + w * y, c0 + w * z
                    w = relative[r + 1, i]
                    a1, b1, c1 = a1 + w * x, b1 + w * y, c1 + w * z
                    w = relative[r + 2, i]
                    a2, b2, c2 = a2 + w * x, b2 + w * y, c2 + w * z
                    w = relative[r + 3, i]
                    a3, b3, c3 = a3 + w * x, b3 + w * y, c3 + w * z
                _keep_logits(logits, offsets, top, r, p, a0, a1, a2, a3)
                _keep_logits(logits, offsets, top, r, p + 1, b0, b1, b2, b3)
                _keep_logits(logits, offsets, top, r, p + 2, c0, c1, c2, c3)


@compiled
def _keep_logits(
    logits: Floats,
    offsets: Floats,
    top: Floats,
    r: int,
    p: int,
    first: np.float32,
    second: np.float32,
    third: np.float32,
    fourth: np.float32,
) -> None:
    """Store the logits of point p for the classes from r on."""
    first, second = first - offsets[r], second - offsets[r + 1]
    third, fourth = third - offsets[r + 2], fourth - offsets[r + 3]
    logits[r, p], logits[r + 1, p], logits[r + 2, p], logits[r + 3, p] = first, second, third, fourth
    top[p] = max(top[p], first, second, third, fourth)


@compiled
def _find_probabilities(logits: Floats, top: Floats, total: Floats, probability: Floats) -> None:
    """Softmax of logits whose last class has logit zero, probability (n_way, columns)."""
    last, n_columns = len(probability) - 1, len(top)
    for n in range(n_columns):
        total[n] = probability[last, n] = exp(-top[n])
    for c in range(last):
        for n in range(n_columns):
            share = exp(logits[c, n] - top[n])
            probability[c, n] = share
            total[n] += share
    for n in range(n_columns):
        total[n] = ONE / total[n]
    for c in range(len(probability)):
        for n in range(n_columns):
            probability[c, n] *= total[n]


@compiled
def _find_pull(
    logits: Floats,
    probability: Floats,
    labels: Floats,
    of_support: Floats,
    of_query: Floats,
    alpha: int,
    loss: Floats,
    average: Floats,
    pull: Floats,
    sums: Floats,
) -> None:
    """Fill pull (rows + 1, columns), the gradient with respect to the logits, and sums (n_way,) of its rows.

    What it has for the last class is not used: that of the last class is minus the sum of the others.
    """
    n_way, n_columns = probability.shape
    shannon = alpha == SHANNON
    factor = ONE if shannon else np.float32(alpha) / np.float32(alpha - 1)
    marginal, conditional = factor * loss[1], factor * loss[2]
    for n in range(n_columns):
        average[n] = ZERO
    for c in range(n_way):
        mean = ZERO
        for n in range(n_columns):
            mean += of_query[n] * probability[c, n]
        level = marginal * (math.log(max(mean, TINY)) if shannon else _power(mean, alpha - 1))
        for n in range(n_columns):
            slope = level - conditional * (logits[c, n] if shannon else _power(probability[c, n], alpha - 1))
            pull[c, n] = slope
            average[n] += probability[c, n] * slope
    sums[n_way - 1] = ZERO
    for c in range(n_way - 1):
        total = ZERO
        for n in range(n_columns):
            p = probability[c, n]
            pull[c, n] = of_query[n] * p * (pull[c, n] - average[n]) + of_support[n] * (p - labels[c, n])
            total += pull[c, n]
        sums[c] = total
        sums[n_way - 1] -= total


@compiled
def _power(p: np.float32, exponent: int) -> np.float32:
    """Raise p to the power of an exponent from 1 to 7."""
    square = p * p
    power = p if exponent & 1 else ONE
    power *= square if exponent & 2 else ONE
    return power * (square * square if exponent & 4 else ONE)


@compiled
def _find_gradient(pull: Floats, points: Floats, n_points: int, gradient: Floats, last: int) -> None:
    """Fill gradient (rows + 1, d) with the pull of all points."""
    d = points.shape[1]
    for c in range(len(gradient)):
        for i in range(d):
            gradient[c, i] = ZERO
    for start in range(0, n_points, AT_ONCE):
        for r in range(0, len(gradient) - 1, CLASSES):
            for p in range(start, min(start + AT_ONCE, n_points), POINTS):
                a0, a1, a2 = pull[r, p], pull[r, p + 1], pull[r, p + 2]
                b0, b1, b2 = pull[r + 1, p], pull[r + 1, p + 1], pull[r + 1, p + 2]
                c0, c1, c2 = pull[r + 2, p], pull[r + 2, p + 1], pull[r + 2, p + 2]
                d0, d1, d2 = pull[r + 3, p], pull[r + 3, p + 1], pull[r + 3, p + 2]
                for i in range(d):
                    x, y, z = points[p, i], points[p + 1, i], points[p + 2, i]
                    gradient[r, i] += a0 * x + a1 * y + a2 * z
                    gradient[r + 1, i] += b0 * x + b1 * y + b2 * z
                    gradient[r + 2, i] += c0 * x + c1 * y + c2 * z
                    gradient[r + 3, i] += d0 * x + d1 * y + d2 * z
    for i in range(d):
        gradient[last, i] = ZERO
    for c in range(last):
        for i in range(d):
            gradient[last, i] -= gradient[c, i]


@compiled
def _move(
    weights: Floats,
    first: Floats,
    second: Floats,
    gradient: Floats,
    sums: Floats,
    rate: np.float32,
    epsilon: np.float32,
) -> None:
    """Step of Adam, with the gradient (rows + 1, d) and the sums (n_way,) of the pull over points."""
    for c in range(len(weights)):
        total = sums[c]
        for i in range(weights.shape[1]):
            slope = gradient[c, i] - total * weights[c, i]
            first[c, i] = KEPT_1 * first[c, i] + NEW_1 * slope
            second[c, i] = KEPT_2 * second[c, i] + NEW_2 * slope * slope
            weights[c, i] -= rate * first[c, i] / (math.sqrt(second[c, i]) + epsilon)
