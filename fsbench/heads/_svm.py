"""Linear support vector machines, one per class against the rest, at their optimum."""

import torch
from torch import Tensor

from fsbench.heads._gram import inner_products
from fsbench.heads._support import one_hot, task_chunks
from fsbench.heads.batching import product, widened

COST = 1.0  # weight of a squared violation of the margin
MOST_STEPS, MOST_HALVINGS = 50, 20
_FLOATS_AT_ONCE = 1 << 21  # size of the systems that are solved together


def svm(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by linear support vector machines with squared hinge loss, one class against the rest.

    The objective is that of scikit-learn's LinearSVC with its defaults: C = 1, squared hinge loss, one class
    against the rest. The intercept is the weight of a constant feature 1 and penalised like the others.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way): distances from the separating hyperplane of each class in units of
        the margin.

    Source:
        LIBLINEAR, Fan et al. (JMLR 9, 2008). MetaOptNet (arXiv:1904.03758) trains with the hinge loss of
        Crammer and Singer instead. The squared hinge loss is piecewise quadratic without constraints, so
        Newton's method reaches the optimum itself.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> svm(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    support, query = widened(support), widened(query)
    n_way, n_points = support.shape[1], support.shape[1] * support.shape[2]
    at_once = len(query)
    if query.device.type == "cpu":
        at_once = max(1, _FLOATS_AT_ONCE // (n_way * n_points**2))
    return torch.cat([_classify(*chunk) for chunk in task_chunks(at_once, support, query, shots)])


def _classify(support: Tensor, query: Tensor, shots: Tensor) -> Tensor:
    """Return the logits of one chunk of tasks, fitted together."""
    n_tasks, n_way = support.shape[:2]
    points = support.flatten(1, 2).double()  # exact at any scale of the features
    gram = inner_products(points) + 1  # the constant feature's product
    labels = one_hot(support, shots).double()
    sides = 2 * labels - labels.sum(dim=1, keepdim=True)
    mixture = fit(gram.repeat_interleave(n_way, dim=0), sides.flatten(0, 1)).view(n_tasks, n_way, -1)
    weights = product(mixture, points).to(query.dtype)  # (tasks, n_way, d)
    return product(weights, query.mT, mixture.sum(dim=2, keepdim=True).to(query.dtype)).mT


def fit(gram: Tensor, sides: Tensor) -> Tensor:
    """Minimise half the squared weights plus COST times the squared hinge losses, each machine by itself.

    gram (machines, points, points), inner products of the points, sides (machines, points): 1 for points of a
    machine's own class, -1 for the rest, 0 for padding -> mixture (machines, points): the weights as a
    combination of the points. Each Newton step is least squares on the points inside the margin; once that
    set stays the same, the minimum is reached. Source: Keerthi and DeCoste (JMLR 6, 2005); Chapelle (Neural
    Computation 19, 2007).
    """
    result = torch.zeros_like(sides)
    todo = torch.arange(len(sides), device=sides.device)
    mixture, scores = result, result  # scores are mixture @ gram
    for _ in range(MOST_STEPS):
        inside = _inside(scores, sides).to(gram.dtype)
        system = inside.unsqueeze(2) * gram * inside.unsqueeze(1)
        system.diagonal(dim1=1, dim2=2).add_(1 / (2 * COST))
        factor = torch.linalg.cholesky(system)
        target = torch.cholesky_solve((inside * sides).unsqueeze(2), factor)
        step, step_scores = target.squeeze(2) - mixture, product(gram, target).squeeze(2) - scores
        size = _step_size(mixture, scores, step, step_scores, sides)
        mixture, scores = mixture + size * step, scores + size * step_scores
        result[todo] = mixture
        left = (_inside(scores, sides) != inside.bool()).any(dim=1) | (size < 1).squeeze(1)
        todo, gram, sides, mixture, scores = (x[left] for x in (todo, gram, sides, mixture, scores))
        if len(todo) == 0:
            break
    return result


def _inside(scores: Tensor, sides: Tensor) -> Tensor:
    """Return which points are on the wrong side of their margin, (machines, points); padding never is."""
    return sides * scores < sides.square()


def _step_size(mixture: Tensor, scores: Tensor, step: Tensor, step_scores: Tensor, sides: Tensor) -> Tensor:
    """1, halved until the step does not increase the loss, (machines, 1)."""
    before = _loss(mixture, scores, sides)
    before = before + 1e-12 * before.abs()  # rounding is no reason to halve
    size = torch.ones_like(before)
    for _ in range(MOST_HALVINGS):
        worse = _loss(mixture + size * step, scores + size * step_scores, sides) > before
        if not worse.any():
            break
        size = torch.where(worse, size / 2, size)
    return size


def _loss(mixture: Tensor, scores: Tensor, sides: Tensor) -> Tensor:
    """The loss of each machine, (machines, 1)."""
    violations = (sides.square() - sides * scores).clamp_min(0)  # 0 for padding
    return (mixture * scores / 2 + COST * violations.square()).sum(dim=1, keepdim=True)
