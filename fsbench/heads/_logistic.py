"""Logistic regression: the L2-regularised multinomial model of scikit-learn, at its optimum."""

import torch
from torch import Tensor

from fsbench.heads._gram import inner_products
from fsbench.heads._support import centred, linear_logits
from fsbench.heads.batching import aligned, product, widened

TOLERANCE = 1e-4  # largest error of a logit
MOST_NEWTON, MOST_CG, MOST_HALVINGS = 30, 200, 20


def logistic(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by multinomial logistic regression on the support.

    The objective is the summed cross-entropy plus half the squared weights; intercepts are not penalised. It
    is that of scikit-learn's LogisticRegression at C = 1 for three or more classes. For two classes,
    scikit-learn fits a single weight vector instead.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way).

    Source:
        RFS, Tian et al. (arXiv:2003.11539) section 3.1.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> logistic(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    support, query = widened(support), widened(query)
    centre, points, labels = centred(support, shots)
    weights, intercepts = fit(points, labels)
    return linear_logits(query, centre, weights, intercepts)


def fit(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise the cross-entropy plus half the squared weights of each task.

    points (tasks, points, d), best with mean zero, labels (tasks, n_way, points), one-hot, both in double
    precision, both zero where a point is padding -> weights (tasks, n_way, d), intercepts (tasks, n_way, 1).
    Newton's method; a step that increases the loss is halved.

    The intercepts have no penalty and, once the probabilities are near 0 and 1, almost no curvature. So they
    are measured in units of their own curvature, as one more column beside the weights.
    """
    real = labels.sum(dim=1, keepdim=True)  # (tasks, 1, points), 0 for padding
    reduced = points.shape[1] <= points.shape[2]  # weights lie in the span of the points
    basis = aligned(_in_fewer_dimensions(points) if reduced else points)
    wide = aligned(widened(basis))  # once, not for each product
    weights = basis.new_zeros(*labels.shape[:2], basis.shape[2])
    intercept = basis.new_zeros(*labels.shape[:2], 1)
    longest = basis.square().sum(dim=2).amax(dim=1).view(-1, 1, 1)  # squared length of a point
    for _ in range(MOST_NEWTON):
        scores = product(weights, basis.mT) + intercept  # (tasks, n_way, points)
        log_probabilities, loss = _evaluate(labels, weights, scores)
        probabilities = log_probabilities.exp() * real
        error, curvature = _error_and_curvature(probabilities, labels)
        unit = curvature.rsqrt()
        pull = product(error, wide)[..., : basis.shape[2]]
        residual = torch.cat([pull - weights, unit * error.sum(dim=2, keepdim=True)], dim=2)
        square = _sum(residual.square())
        # Because of the penalty, the curvature of the objective along the weights is at least 1. So the error
        # of the weights is at most their gradient, that of a logit at most this times the length of its
        # point.
        error_bound = (square * torch.maximum(longest, unit.square().amax(dim=1, keepdim=True))).sqrt()
        unfinished = error_bound > TOLERANCE
        if not unfinished.any():
            break
        tolerance = square * torch.where(unfinished, 0.01 * error_bound.clamp_max(1).square(), 1.0)
        step = _newton_step(basis, wide, probabilities, unit, residual, tolerance)
        by_weights, by_intercept = step[..., :-1], unit * step[..., -1:]
        by_scores = product(by_weights, basis.mT) + by_intercept
        size = torch.ones_like(loss)
        for _ in range(MOST_HALVINGS):
            new_loss = _evaluate(labels, weights + size * by_weights, scores + size * by_scores)[1]
            worse = new_loss > loss * (1 + 1e-12)  # rounding is no reason to halve
            if not worse.any():
                break
            size = torch.where(worse, size / 2, size)
        weights, intercept = weights + size * by_weights, intercept + size * by_intercept
    if reduced:
        mixture: Tensor = torch.linalg.solve_triangular(basis, weights, upper=False, left=False)
        weights = product(mixture, points)
    return weights, intercept


def _in_fewer_dimensions(points: Tensor) -> Tensor:
    """Return points (tasks, points, points) with the same inner products: a Cholesky factor."""
    gram = inner_products(points)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    limits = torch.finfo(gram.dtype)
    # As large as rounding errors; it makes the Gram matrix of dependent points positive definite.
    diagonal += 4 * gram.shape[1] * limits.eps * diagonal.sum(dim=1, keepdim=True) + limits.tiny
    factor: Tensor = torch.linalg.cholesky(gram)
    return factor


def _evaluate(labels: Tensor, weights: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the probabilities (tasks, n_way, points) and the loss (tasks, 1, 1)."""
    log_probabilities = scores.log_softmax(dim=1)
    return log_probabilities, _sum(weights.square()) / 2 - _sum(labels * log_probabilities)


def _error_and_curvature(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels minus probabilities (tasks, n_way, points), and the sums of p (1 - p) (tasks, n_way, 1).

    For p near 1, 1 - p is the sum of the other probabilities: a difference would leave only rounding errors.
    """
    tiny = torch.finfo(probabilities.dtype).tiny
    others = probabilities * (1 - labels)
    error = labels * others.sum(dim=1, keepdim=True) - others
    complement = torch.where(labels == 1, error, 1 - probabilities)
    return error, (probabilities * complement).sum(dim=2, keepdim=True).clamp_min(tiny)


def _newton_step(
    basis: Tensor, wide: Tensor, probabilities: Tensor, unit: Tensor, residual: Tensor, tolerance: Tensor
) -> Tensor:
    """Solve Hessian @ step = residual by conjugate gradients, up to a squared residual of `tolerance`.

    `wide` is the basis, `widened`.
    """
    step, direction, square = torch.zeros_like(residual), residual, _sum(residual.square())
    for _ in range(MOST_CG):
        unfinished = square > tolerance
        if not unfinished.any():
            break
        scores = product(direction[..., :-1], basis.mT) + unit * direction[..., -1:]  # (tasks, n_way, points)
        change = probabilities * scores
        change = change.addcmul(probabilities, change.sum(dim=1, keepdim=True), value=-1)
        pull = product(change, wide)[..., : basis.shape[2]]
        curved = torch.cat([direction[..., :-1] + pull, unit * change.sum(dim=2, keepdim=True)], dim=2)
        rate = torch.where(unfinished, square / _sum(direction * curved), 0.0)
        step, residual = step + rate * direction, residual - rate * curved
        before, square = square, torch.where(unfinished, _sum(residual.square()), square)
        share = torch.where(unfinished, square / before, 0.0)  # the square of a finished task may be 0
        direction = residual + share * direction
    return step


def _sum(values: Tensor) -> Tensor:
    """Sum over all axes but the first, (tasks, 1, 1)."""
    return values.sum(dim=(1, 2), keepdim=True)
