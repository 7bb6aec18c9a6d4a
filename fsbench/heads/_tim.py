"""TIM and alpha-TIM: class weights whose predictions on the queries are confident and evenly spread."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from fsbench.heads._support import class_means, mean_shots, one_hot, task_chunks
from fsbench.heads.batching import product, widened

TEMPERATURE = 15.0
STEPS, LEARNING_RATE, BETA1, BETA2, EPSILON = 1000, 1e-4, 0.9, 0.999, 1e-8  # Adam
_FLOATS_AT_ONCE = 1 << 20  # 4 MiB of features, so that a thousand passes stay in the processor's cache

# (logarithms of probabilities (tasks, n_way, queries), means of probabilities over queries (tasks, n_way, 1))
# -> gradient of the entropy terms with respect to each probability, times the number of queries. The gradient
# is determined up to a term that is the same for every class, since probabilities sum to one.
EntropyGradient = Callable[[Tensor, Tensor], Tensor]


def tim(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Fit class weights by 0.1 cross-entropy(support) - H(mean prediction) + 0.1 mean H(prediction).

    H is Shannon's entropy. The loss is minimised by Adam (TIM-GD), from the class means.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.

    Returns:
        Logits, (tasks, queries, n_way), up to a term that is the same for every class.

    Source:
        Boudiaf et al. (arXiv:2008.11297) eq. 3-5, with the 1000 steps of its scripts.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> tim(support, query).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    return torch.cat([_adapt(*chunk, 0.1, _shannon) for chunk in _chunks(support, query, shots)])


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
    logits = []
    for chunk in _chunks(support, query, shots):
        average = mean_shots(chunk[0], chunk[2])
        alpha = torch.full_like(average, 5.0).masked_fill(average == 1, 2.0).masked_fill(average >= 5, 7.0)
        logits.append(_adapt(*chunk, 1.0, partial(_tsallis, alpha)))
    return torch.cat(logits)


def _shannon(log_each: Tensor, mean: Tensor) -> Tensor:
    """Gradient of -H(mean) + 0.1 mean H(each); a mean below the smallest float has no effect."""
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log() - 0.1 * log_each


def _tsallis(alpha: Tensor, log_each: Tensor, mean: Tensor) -> Tensor:
    """Gradient of -H(mean) + mean H(each), where H(p) = (1 - sum p^alpha) / (alpha - 1)."""
    return alpha / (alpha - 1) * (mean.pow(alpha - 1) - log_each.mul(alpha - 1).exp())


def _chunks(support: Tensor, query: Tensor, shots: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Split support, query and shots into chunks of as many tasks as are adapted efficiently together."""
    support, query = widened(support), widened(query)
    floats = (support.shape[1] * support.shape[2] + query.shape[1]) * query.shape[2]  # of one task
    at_once = max(1, _FLOATS_AT_ONCE // floats) if query.device.type == "cpu" else len(query)
    return task_chunks(at_once, support, query, shots)


def _adapt(
    support: Tensor, query: Tensor, shots: Tensor, ce_weight: float, entropies: EntropyGradient
) -> Tensor:
    """Return the logits of the queries after STEPS of Adam on the class weights, from the class means.

    Logits are -TEMPERATURE / 2 times the squared distance to the weights, here without the squared length of
    the feature. Adam divides each coordinate by its own gradients, so its path depends on the basis, and
    features cannot be reduced to the span of a task's points as in other heads.
    """
    labels = one_hot(support, shots)  # (tasks, n_way, points)
    n_support, n_query = labels.shape[2], query.shape[1]
    points = torch.cat([support.flatten(1, 2), query], dim=1)  # (tasks, points, d)
    # Weight of each point in the loss.
    share = points.new_full((len(points), 1, n_support + n_query), 1 / n_query)
    share[..., :n_support] = (
        ce_weight * labels.sum(dim=1, keepdim=True) / labels.sum(dim=(1, 2), keepdim=True)
    )
    weights = class_means(support, shots).clone()  # (tasks, n_way, d)
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    for step in range(1, STEPS + 1):
        # The gradient with respect to the logits overwrites the probabilities: one tensor, support first.
        log_pull = _logits(weights, points).log_softmax(dim=1)  # (tasks, n_way, points)
        pull = log_pull.exp()
        of_support, of_query = pull.tensor_split([n_support], dim=2)
        of_support.sub_(labels)
        by_probability = entropies(log_pull[..., n_support:], of_query.mean(dim=2, keepdim=True))
        by_probability -= (of_query * by_probability).sum(dim=1, keepdim=True)
        of_query.mul_(by_probability)
        pull.mul_(share)
        inward = pull.sum(dim=2, keepdim=True) * weights
        gradient = product(pull, points, inward, beta=-TEMPERATURE, alpha=TEMPERATURE)
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        correction = math.sqrt(1 - BETA2**step)
        scale = second.sqrt().add_(EPSILON * correction)
        weights.addcdiv_(first, scale, value=-LEARNING_RATE * correction / (1 - BETA1**step))
    return _logits(weights, query).mT


def _logits(weights: Tensor, points: Tensor) -> Tensor:
    """TEMPERATURE (w.x - |w|^2 / 2), (tasks, n_way, points)."""
    squares = torch.linalg.vector_norm(weights, dim=2, keepdim=True).square()
    return product(weights, points.mT, squares, beta=-TEMPERATURE / 2, alpha=TEMPERATURE)
