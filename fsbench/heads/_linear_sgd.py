"""The few-shot head of Baseline: a linear classifier trained on the support by SGD."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.heads import _sgd
from fsbench.heads.batching import product, widened

EPOCHS = 100


def linear_sgd(
    support: Tensor, query: Tensor, shots: Tensor | None = None, *, keys: Tensor, epochs: int = EPOCHS
) -> Tensor:
    """Score queries by a linear classifier with intercepts trained on the support by SGD.

    The initial weights are those of nn.Linear.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        keys: One number per task, int64 (tasks,); initial weights and the order of every epoch depend on it
            alone.
        epochs: Passes over the support, 1 or more.

    Returns:
        Logits, (tasks, queries, n_way).

    Raises:
        FsbenchError: `epochs` is not positive.

    Source:
        Baseline, Chen et al. (arXiv:1904.04232); settings of its code.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> linear_sgd(support, query, keys=torch.tensor([0])).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    return torch.cat([_classify(*chunk, epochs) for chunk in _sgd.chunks(support, query, shots, keys)])


def _classify(support: Tensor, query: Tensor, shots: Tensor, keys: Tensor, epochs: int) -> Tensor:
    """Return the logits of one chunk of tasks; the intercept is the weight of a constant feature 1."""
    _, n_way, _, d = support.shape
    initial = _sgd.initial_weights(keys, n_way, d + 1, bound=d**-0.5)
    weights = _sgd.train(F.pad(support, (0, 1), value=1.0), initial, shots, keys, (epochs,), cosine=False)
    return product(widened(query), widened(weights[..., :-1]).mT) + weights[..., -1].unsqueeze(1)
