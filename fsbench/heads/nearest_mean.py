"""Nearest mean: a query belongs to the class whose support mean is nearest."""

from torch import Tensor


def nearest_mean(support: Tensor, query: Tensor) -> Tensor:
    """Score queries by their negative squared Euclidean distance to the class means.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d) -> logits (tasks, queries, n_way). The term
    |query|^2 is the same for every class and left out, so logits are 2 q.m - |m|^2. Source: SimpleShot
    (arXiv:1911.04623) eq. 2; Snell et al. (arXiv:1703.05175) eq. 1-2.
    """
    means = support.mean(dim=2)  # (tasks, n_way, d)
    return (2 * query) @ means.mT - means.square().sum(dim=-1).unsqueeze(1)
