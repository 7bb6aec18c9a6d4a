"""The few-shot head of S2M2 and Baseline++: a cosine classifier trained on the support by SGD."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fsbench.heads import _sgd
from fsbench.heads.batching import product, widened

# Epochs before each score: the published code runs range(301) and scores at 100, 200 and 300.
EPOCHS = (101, 201, 301)
EPSILON = 1e-5  # added to the norm of a feature


def cosine_sgd(
    support: Tensor, query: Tensor, shots: Tensor | None = None, *, keys: Tensor, epochs: int = EPOCHS[-1]
) -> Tensor:
    """Score queries by a weight-normalised cosine classifier trained on the support by SGD.

    As in the published code, the scale is 2, the length of each class's weights is learnt as well, and the
    initial weights are those of nn.Linear.

    Args:
        support: Support features, (tasks, n_way, n_shot, d).
        query: Query features, (tasks, queries, d).
        shots: Support images of each class, (tasks, n_way); rows beyond them are padding. None: n_shot.
        keys: One number per task, int64 (tasks,); initial weights and the order of every epoch depend on it
            alone.
        epochs: Passes over the support, 1 or more. The code of S2M2 makes 301, that of Baseline++ 100.

    Returns:
        Logits, (tasks, queries, n_way).

    Raises:
        FsbenchError: `epochs` is not positive.

    Source:
        S2M2, Mangla et al. (arXiv:1907.12087); Baseline++, Chen et al. (arXiv:1904.04232); settings of their
        code.

    Example:
        >>> support, query = torch.eye(3).view(1, 3, 1, 3), torch.eye(3).view(1, 3, 3)
        >>> cosine_sgd(support, query, keys=torch.tensor([0])).argmax(dim=-1)
        tensor([[0, 1, 2]])
    """
    return cosine_sgd_snapshots(support, query, shots, keys=keys, epochs=(epochs,))[0]


def cosine_sgd_snapshots(
    support: Tensor,
    query: Tensor,
    shots: Tensor | None = None,
    *,
    keys: Tensor,
    epochs: Sequence[int] = EPOCHS,
) -> Tensor:
    """Return the logits of `cosine_sgd` after each number of epochs, (len(epochs), tasks, queries, n_way)."""
    chunks = _sgd.chunks(support, query, shots, keys)
    return torch.cat([_classify(*chunk, epochs) for chunk in chunks], dim=1)


def _classify(support: Tensor, query: Tensor, shots: Tensor, keys: Tensor, epochs: Sequence[int]) -> Tensor:
    """Return the logits of one chunk of tasks."""
    _, n_way, _, d = support.shape
    support, query = widened(support), widened(query)
    points = support / (torch.linalg.vector_norm(support, dim=-1, keepdim=True) + EPSILON)
    initial = widened(_sgd.initial_weights(keys, n_way, d, bound=d**-0.5))
    turns = d > 1  # one dimension has no directions: there it is a linear classifier of scaled features
    scaled = points if turns else _sgd.COSINE_SCALE * points
    weights = _sgd.train(scaled, initial, shots, keys, epochs, cosine=turns)  # (tasks, snapshots n_way, d)
    norms = torch.linalg.vector_norm(query, dim=-1, keepdim=True) + EPSILON
    logits = _sgd.COSINE_SCALE * product(query, weights.mT) / norms
    return torch.movedim(logits.unflatten(2, (len(epochs), n_way)), 2, 0)
