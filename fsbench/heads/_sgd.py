"""Linear and cosine classifiers by stochastic gradient descent, computed exactly on inner products.

The weight vector v of a class starts at u. Each step adds multiples of v and of support vectors x, so v
remains a linear combination of the basis (all x, all u). SGD uses v only in products with the x, for logits,
and with itself, for the weight norm. Both follow from

    coefficients  b, v = sum_i b_i basis_i            scores  s, s_i = v . basis_i            v . v = b . s

which are linear in v. Adding e x_j to v adds e to b_j, and e times row j of the Gram matrix of the basis to
s. A step costs n_way (n_shot + 1) numbers per class instead of d. The results differ only by rounding.

The weights of the cosine classifier are a v with a = g / |v|, where weight normalisation learns the length g.
With r = sum_j error_j x_j the gradient with respect to a v, the chain rule gives the gradients (r . v) / |v|
with respect to g, and a r - a (r . v) / |v|^2 v with respect to v.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.threads import in_threads
from fsbench.heads._random import bits, permutations, uniforms
from fsbench.heads._support import real_rows, task_chunks
from fsbench.heads.batching import aligned, product

RATE, MOMENTUM, DAMPENING, DECAY = 0.01, 0.9, 0.9, 0.001  # as in torch, the first step is not dampened
BATCH = 4
COSINE_SCALE = 2.0
_FLOATS_AT_ONCE = {"cpu": 1 << 21}  # in the basis: a few tasks per thread, whose features stay in its cache
_FLOATS_ELSEWHERE = 1 << 26  # 256 MiB; a step costs no less for few tasks
_EPOCHS_AT_ONCE = 16  # epochs shuffled together by torch


def chunks(
    support: Tensor, query: Tensor, shots: Tensor | None, keys: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Split support, query, shots and keys into chunks of as many tasks as train efficiently together."""
    _, n_way, n_shot, d = support.shape
    floats = _FLOATS_AT_ONCE.get(support.device.type, _FLOATS_ELSEWHERE)
    at_once = max(1, floats // (n_way * (n_shot + 1) * d))
    return task_chunks(at_once, support, query, shots, keys.to(support.device))


def initial_weights(keys: Tensor, n_way: int, width: int, bound: float) -> Tensor:
    """Draw weights uniform in [-bound, bound), (tasks, n_way, width), determined by the key of each task."""
    return bound * (2 * uniforms(bits(keys, keys.new_zeros(())), n_way * width).view(-1, n_way, width) - 1)


def train(
    support: Tensor, initial: Tensor, shots: Tensor, keys: Tensor, epochs: Sequence[int], cosine: bool
) -> Tensor:
    """Train on the support and return the weights after each number of epochs, (tasks, len(epochs) n_way, d).

    support (tasks, n_way, n_shot, d), initial weights (tasks, n_way, d), shots (tasks, n_way): rows of
    support beyond them are padding, keys (tasks,) int64 for the order of every epoch. The loss is the
    cross-entropy of the scores; if `cosine`, of COSINE_SCALE times weight-normalised scores. Mini-batches
    have BATCH points; the last one of an epoch may be smaller.

    Raises:
        FsbenchError: `epochs` is empty, not positive or not increasing.
    """
    if len(epochs) == 1 and epochs[0] < 1:
        raise FsbenchError(f"epochs must be 1 or more, but is {epochs[0]}")
    if not epochs or epochs[0] < 1 or list(epochs) != sorted(set(epochs)):
        raise FsbenchError(f"epochs must be positive and increasing, but are {list(epochs)}")
    basis = aligned(torch.cat([support.flatten(1, 2), initial], dim=1))  # (tasks, n_way n_shot + n_way, d)
    real = real_rows(support, shots).flatten(1)  # (tasks, points)
    points, counts = real.logical_not().sort(dim=1, stable=True).indices, real.sum(dim=1)
    run = _train_on_cpu if basis.device.type == "cpu" else train_by_torch
    mixture = run(product(basis, basis.mT), points, counts, keys, epochs, cosine)
    return product(mixture, basis)


def _train_on_cpu(
    gram: Tensor, points: Tensor, counts: Tensor, keys: Tensor, epochs: Sequence[int], cosine: bool
) -> Tensor:
    """Compute the same as `train_by_torch`, task by task, on as many threads as torch uses."""
    from fsbench.heads._sgd_numba import train_tasks  # compiles on its first call, 3.5 s

    n_way = gram.shape[1] - points.shape[1]
    mixture = gram.new_empty(len(gram), len(epochs), n_way, gram.shape[1])
    epoch_keys = bits(keys.unsqueeze(1), torch.arange(1, epochs[-1] + 1))
    ends = np.array(epochs)
    in_threads(
        lambda grams, points, counts, words, mixtures: train_tasks(
            grams, points, counts, words.view(np.uint64), ends, cosine, mixtures
        ),
        *(x.numpy() for x in (gram, points, counts, epoch_keys, mixture)),
    )
    return mixture.flatten(1, 2)


def train_by_torch(
    gram: Tensor, points: Tensor, counts: Tensor, keys: Tensor, epochs: Sequence[int], cosine: bool
) -> Tensor:
    """Train and return the weights as mixtures of the basis, (tasks, len(epochs) n_way, basis).

    gram (tasks, basis, basis): inner products of the basis, initial weights last. points
    (tasks, basis - n_way): places in the basis; a task is trained on its first `counts` (tasks,) ones.
    """
    n_way = gram.shape[1] - points.shape[1]
    mixture = gram.new_empty(len(gram), len(epochs) * n_way, gram.shape[1])
    for count in counts.unique().tolist():
        same = counts == count
        mixture[same] = _train_in_step(gram[same], points[same, :count], n_way, keys[same], epochs, cosine)
    return mixture


def _train_in_step(
    gram: Tensor, trained: Tensor, n_way: int, keys: Tensor, epochs: Sequence[int], cosine: bool
) -> Tensor:
    """Train tasks with the same number of points `trained` (tasks, count)."""
    n_tasks, n_basis, _ = gram.shape
    n_points = n_basis - n_way
    # Row i: what basis vector i adds to the scores, and beside it to the coefficients.
    table = torch.cat([gram, torch.eye(n_basis, device=gram.device).expand_as(gram)], dim=2)
    value, points = table[:, n_points:].clone(), table[:, :n_points].flatten(0, 1)
    scores, coefficients = value.split(n_basis, dim=2)  # (tasks, n_way, basis), views
    length = (scores * coefficients).sum(dim=2, keepdim=True).sqrt()
    velocity, length_velocity = torch.zeros_like(value), torch.zeros_like(length)
    labels = torch.eye(n_way, device=gram.device).repeat_interleave(n_points // n_way, dim=0)
    first_row = torch.arange(0, len(points), n_points, device=gram.device).unsqueeze(1)
    temperature, share, snapshots = COSINE_SCALE if cosine else 1.0, 1.0, []
    for epoch, order in enumerate(_orders(keys, epochs[-1], trained.shape[1]), start=1):
        for batch in trained.gather(1, order).split(BATCH, dim=1):  # (tasks, batch)
            norm = (scores * coefficients).sum(dim=2, keepdim=True).sqrt() if cosine else length
            unit = length / norm
            of_batch = scores.gather(2, batch.unsqueeze(1).expand(-1, n_way, -1))  # (tasks, n_way, batch)
            error = (temperature * unit * of_batch).softmax(dim=1) - labels[batch].mT
            error *= temperature / batch.shape[1]
            decay = torch.full_like(length, DECAY)
            if cosine:
                slope = (error * of_batch).sum(dim=2, keepdim=True) / norm
                decay -= unit * slope / norm
                length_velocity.mul_(MOMENTUM).add_(slope + DECAY * length, alpha=share)
                length.sub_(length_velocity, alpha=RATE)
            rows = points[(batch + first_row).flatten()].view(n_tasks, -1, 2 * n_basis)
            velocity.baddbmm_(unit * error, rows, beta=MOMENTUM, alpha=share)
            velocity.addcmul_(decay, value, value=share)
            value.sub_(velocity, alpha=RATE)
            share = 1 - DAMPENING
        if epoch in epochs:
            norm = (scores * coefficients).sum(dim=2, keepdim=True).sqrt() if cosine else length
            snapshots.append(length / norm * coefficients)
    return torch.cat(snapshots, dim=1)


def _orders(keys: Tensor, epochs: int, n_points: int) -> Iterator[Tensor]:
    """Yield the order of support points in each epoch, (tasks, n_points)."""
    for block in torch.arange(1, epochs + 1, device=keys.device).split(_EPOCHS_AT_ONCE):
        yield from permutations(bits(keys.unsqueeze(1), block), n_points).unbind(1)
