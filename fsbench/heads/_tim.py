"""TIM and alpha-TIM: class weights whose predictions on the queries are confident and evenly spread."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fsbench._util.threads import in_threads
from fsbench.heads._support import class_means, is_for_kernels, mean_shots, one_hot, task_chunks
from fsbench.heads.batching import product, widened

TEMPERATURE = 15.0
STEPS, LEARNING_RATE, BETA1, BETA2, EPSILON = 1000, 1e-4, 0.9, 0.999, 1e-8  # Adam
_FLOATS_AT_ONCE = 1 << 20  # 4 MiB of features: copies are small, and those of torch stay in the cache


class Loss(NamedTuple):
    """Weights of the terms ce * cross-entropy(support) - marginal * H(mean) + conditional * mean H(each)."""

    ce: float
    marginal: float
    conditional: float


BALANCED, IMBALANCED = Loss(0.1, 1.0, 0.1), Loss(1.0, 1.0, 1.0)
SHANNON = 1  # Tsallis' entropy tends to Shannon's as alpha tends to 1


def tim(support: Tensor, query: Tensor, shots: Tensor | None = None, *, balanced: bool = True) -> Tensor:
    """Fit class weights by 0.1 cross-entropy(support) - H(mean prediction) + 0.1 mean H(prediction).

    H is Shannon's entropy. The loss is minimised by Adam (TIM-GD), from the class means.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        balanced: Every class has about the same number of queries. False: all three terms have weight 1, so
            that the spread over classes counts less.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        Boudiaf et al. (arXiv:2008.11297) eq. 3-5, with the 1000 steps of its scripts. The weights for
        imbalanced queries are those of TIM-GD in the code of Veilleux et al. (arXiv:2204.11181).

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> tim(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    loss = BALANCED if balanced else IMBALANCED
    alphas = torch.full((len(query),), SHANNON, device=query.device)
    return _adapted(support, query, shots, alphas, loss)


def alpha_tim(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Fit class weights as TIM-GD does, with Tsallis entropies, which suit imbalanced queries.

    All three terms of the loss have weight 1. The alpha of the entropies is 2 for one shot, 7 for five or
    more shots on average over the classes of a task, and 5 in between, for which the published settings
    contain no tuned value. The cross-entropy remains Shannon's.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        Veilleux et al. (arXiv:2204.11181) eq. 6 and the settings of its code.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> alpha_tim(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    average = mean_shots(support, shots).flatten()
    alphas = torch.full_like(average, 5, dtype=torch.int64)
    alphas = alphas.masked_fill(average == 1, 2).masked_fill(average >= 5, 7)
    return _adapted(support, query, shots, alphas, IMBALANCED)


def _adapted(support: Tensor, query: Tensor, shots: Tensor | None, alphas: Tensor, loss: Loss) -> Tensor:
    """Return the logits of the queries, computed for as many tasks at once as is efficient."""
    support, query = widened(support), widened(query)
    floats = (support.shape[1] * support.shape[2] + query.shape[1]) * query.shape[2]  # of one task
    at_once = max(1, _FLOATS_AT_ONCE // floats) if query.device.type == "cpu" else len(query)
    chunks = task_chunks(at_once, support, query, shots, alphas)
    return torch.cat([_adapt(loss, *chunk) for chunk in chunks])


def _adapt(loss: Loss, support: Tensor, query: Tensor, shots: Tensor, alphas: Tensor) -> Tensor:
    """Return the logits of the queries after training the class weights, from the class means.

    Logits are -TEMPERATURE / 2 times the squared distance to the weights, here without the squared length of
    the feature. Adam divides each coordinate by its own gradients, so its path depends on the basis, and
    features cannot be reduced to the span of a task's points as in other heads.
    """
    weights = class_means(support, shots).clone(memory_format=torch.contiguous_format)
    train = _train_on_cpu if is_for_kernels(support, query) else train_by_torch
    train(support.flatten(1, 2), query, one_hot(support, shots), weights, alphas, loss)
    return _logits(weights, query).mT


def _train_on_cpu(
    support: Tensor, query: Tensor, labels: Tensor, weights: Tensor, alphas: Tensor, loss: Loss
) -> None:
    """Compute the same as `train_by_torch`, task by task, on as many threads as torch uses."""
    from fsbench.heads._tim_numba import COLUMNS, POINTS, train  # compiles on its first call, 3 s

    # Points are padded to whole blocks, and values per point to whole vector registers.
    n_support, n_query = support.shape[1], query.shape[1]
    missing = -(n_support + n_query) % POINTS
    points = torch.cat([support, query, query.new_zeros(len(query), missing, query.shape[2])], dim=1)
    columns = points.shape[1] + -points.shape[1] % COLUMNS
    of_support = loss.ce * labels.sum(dim=1) / labels.sum(dim=(1, 2)).unsqueeze(1)
    of_query = query.new_full((len(query), n_query), 1 / n_query)
    labels, of_support = (F.pad(x, (0, columns - n_support)) for x in (labels, of_support))
    of_query = F.pad(of_query, (n_support, columns - n_support - n_query))
    # Real points first, so that padding changes no bit and takes no time.
    real = of_support + of_query > 0
    order = real.logical_not().sort(dim=1, stable=True).indices  # (tasks, columns)
    schedule = np.array(loss, np.float32), *np.array(list(_schedule()), np.float32).T.copy()

    def work(*arrays: NDArray[Any]) -> None:
        for points, count, labels, of_support, of_query, alpha, weights in zip(*arrays, strict=True):
            train(points, count, labels, of_support, of_query, alpha, weights, *schedule)

    in_threads(
        work,
        points.gather(1, order[:, : points.shape[1]].unsqueeze(2).expand_as(points)).numpy(),
        real.sum(dim=1).numpy(),
        labels.gather(2, order.unsqueeze(1).expand_as(labels)).numpy(),
        *(x.gather(1, order).numpy() for x in (of_support, of_query)),
        alphas.numpy(),
        weights.numpy(),
    )


def train_by_torch(
    support: Tensor, query: Tensor, labels: Tensor, weights: Tensor, alphas: Tensor, loss: Loss
) -> None:
    """Train the weights (tasks, n_way, d) in place by STEPS of Adam.

    support (tasks, points, d), query (tasks, queries, d), labels (tasks, n_way, points): one-hot, zero for
    padding. alphas (tasks,) int64: of the entropies; SHANNON for all tasks or for none.
    """
    n_support, n_query = labels.shape[2], query.shape[1]
    points = torch.cat([support, query], dim=1)  # (tasks, points, d)
    entropies = (
        _shannon if (alphas == SHANNON).all() else partial(_tsallis, alphas.to(query.dtype).view(-1, 1, 1))
    )
    # Weight of each point in the loss.
    share = points.new_full((len(points), 1, n_support + n_query), 1 / n_query)
    share[..., :n_support] = loss.ce * labels.sum(dim=1, keepdim=True) / labels.sum(dim=(1, 2), keepdim=True)
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    for rate, epsilon in _schedule():
        # The gradient with respect to the logits overwrites the probabilities: one tensor, support first.
        log_pull = _logits(weights, points).log_softmax(dim=1)  # (tasks, n_way, points)
        pull = log_pull.exp()
        of_support, of_query = pull.tensor_split([n_support], dim=2)
        of_support.sub_(labels)
        by_probability = entropies(log_pull[..., n_support:], of_query.mean(dim=2, keepdim=True), loss)
        by_probability -= (of_query * by_probability).sum(dim=1, keepdim=True)
        of_query.mul_(by_probability)
        pull.mul_(share)
        inward = pull.sum(dim=2, keepdim=True) * weights
        gradient = product(pull, points, inward, beta=-1)  # divided by TEMPERATURE
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        weights.addcdiv_(first, second.sqrt().add_(epsilon), value=-rate)


def _schedule() -> Iterator[tuple[float, float]]:
    """Yield rate and epsilon of each step of Adam, for moments that start at zero.

    Adam moves by the quotient of its moments. Gradients are divided by TEMPERATURE, and epsilon with them.
    """
    for step in range(1, STEPS + 1):
        correction = math.sqrt(1 - BETA2**step)
        yield LEARNING_RATE * correction / (1 - BETA1**step), EPSILON / TEMPERATURE * correction


# The gradients of the entropy terms with respect to each probability, times the number of queries, from the
# logarithms of probabilities (tasks, n_way, queries) and their means over queries (tasks, n_way, 1). They are
# determined up to a term that is the same for every class, since probabilities sum to one.


def _shannon(log_each: Tensor, mean: Tensor, loss: Loss) -> Tensor:
    """Gradient for Shannon's entropies; a mean below the smallest float has no effect."""
    return loss.marginal * mean.clamp_min(torch.finfo(mean.dtype).tiny).log() - loss.conditional * log_each


def _tsallis(alpha: Tensor, log_each: Tensor, mean: Tensor, loss: Loss) -> Tensor:
    """Gradient for the entropies H(p) = (1 - sum p^alpha) / (alpha - 1)."""
    each, power = log_each.mul(alpha - 1).exp(), mean.pow(alpha - 1)
    return alpha / (alpha - 1) * (loss.marginal * power - loss.conditional * each)


def _logits(weights: Tensor, points: Tensor) -> Tensor:
    """TEMPERATURE (w.x - |w|^2 / 2), (tasks, n_way, points)."""
    squares = torch.linalg.vector_norm(weights, dim=2, keepdim=True).square()
    return product(weights, points.mT, squares, beta=-TEMPERATURE / 2, alpha=TEMPERATURE)
