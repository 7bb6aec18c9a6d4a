"""PT-MAP: class means found together with an optimal transport of all queries to the classes."""

import torch
from torch import Tensor

from fsbench.heads._support import one_hot
from fsbench.heads.batching import product, widened
from fsbench.heads.soft_kmeans import start

SHARPNESS = 10.0  # the transport's inverse temperature
STEP = 0.2  # how far a mean moves towards its estimate
UPDATES = 20
TOLERANCE, MOST_ROUNDS, ROUNDS_A_CHECK = 1e-6, 1000, 4


def pt_map(support: Tensor, query: Tensor, shots: Tensor | None = None) -> Tensor:
    """Score queries by the logarithm of the mass that an optimal transport moves from them to each class.

    support (tasks, n_way, n_shot, d), query (tasks, queries, d) -> logits (tasks, queries, n_way), up to a
    term that is the same for every class. Shots (tasks, n_way) count the support of each class, rows beyond
    are padding. Every class receives queries / n_way: the head is given the class prior, and is wrong by as
    much as the true counts differ. Source: Hu, Gripon, Pateux (arXiv:2006.03806) algorithm 1. The published
    code first changes the basis by a QR decomposition; inner products, all that is used, are the same in
    either basis, so it is left out.
    """
    support, query = widened(support), widened(query)
    labels, points = one_hot(support, shots), support.flatten(1, 2)
    share = labels.sum(dim=1, keepdim=True) / labels.sum(dim=(1, 2), keepdim=True)  # of a point in the mean
    points = _centred(points, product(share, points))
    query = _centred(query, query.mean(dim=1, keepdim=True))
    gram = torch.cat(
        [product(points, query.mT), product(query, query.mT)], dim=1
    )  # of all points and the queries
    gram = widened(gram)
    mixture = start(labels, query.shape[1])
    log_scale = gram.new_zeros(*labels.shape[:2], 1)
    for update in range(UPDATES + 1):
        # Minus SHARPNESS times the squared distance but for the squares of points and means: what is the same
        # for all of a query or all of a class, the transport's factors take up.
        score = 2 * SHARPNESS * product(mixture, gram)[..., : query.shape[1]]  # (tasks, n_way, queries)
        plan, log_scale = transport(score, log_scale)
        if update < UPDATES:
            members = torch.cat([labels, plan], dim=2)
            mixture = mixture.lerp(members / members.sum(dim=2, keepdim=True), STEP)
    return (score + log_scale).mT


def transport(score: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """The plan exp(score + row + column) whose query sums are 1 and class sums queries / n_way.

    score (tasks, n_way, queries) and a first guess of the classes' terms (tasks, n_way, 1), which decides
    only how soon a task is done, -> plan, classes' terms. Sinkhorn: the sums are made right in turn, until
    those of the queries lie within TOLERANCE of 1. Each task stops by itself, so batching changes no answer.
    Source: Cuturi (arXiv:1306.0895) algorithm 1.
    """
    per_class = score.shape[2] / score.shape[1]
    kernel = (score + log_scale).softmax(dim=1)  # a query's own factor is made right by the first row sum
    column = torch.ones_like(log_scale)
    todo, left, scale = torch.arange(len(score), device=score.device), kernel, column
    for _ in range(MOST_ROUNDS // ROUNDS_A_CHECK):
        for _ in range(ROUNDS_A_CHECK):
            row = (left * scale).sum(dim=1, keepdim=True).reciprocal()
            scale = per_class / (left * row).sum(dim=2, keepdim=True)
        column = column.index_copy(0, todo, scale)
        unfinished = ((left * scale).sum(dim=1, keepdim=True) * row - 1).abs().amax(dim=(1, 2)) > TOLERANCE
        todo, left, scale = todo[unfinished], left[unfinished], scale[unfinished]
        if len(todo) == 0:
            break
    plan = kernel * column
    return plan / plan.sum(dim=1, keepdim=True), log_scale + column.log()


def _centred(points: Tensor, centre: Tensor) -> Tensor:
    """Points (tasks, points, d) minus a centre (tasks, 1, d), then of unit length."""
    points = points - centre
    points /= torch.linalg.vector_norm(points, dim=-1, keepdim=True).clamp_min(1e-12)
    return points
