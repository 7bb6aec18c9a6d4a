"""The compiled TIM equals the torch code that other devices use; its bits depend on nothing but the task."""

import importlib
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fsbench.heads.batching import shared_among_threads

TIM = importlib.import_module("fsbench.heads._tim")  # the package's `tim` is the function
HEADS = {"tim": TIM.tim, "imbalanced": partial(TIM.tim, balanced=False), "alpha-tim": TIM.alpha_tim}
every_head = pytest.mark.parametrize("name", HEADS)
kernel = TIM._train_on_cpu


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def tasks(n_tasks: int, n_way: int, n_shot: int, n_query: int, d: int) -> tuple[Tensor, Tensor]:
    """Support and query of tasks whose classes overlap, on the unit sphere."""
    rng = torch.Generator().manual_seed(100 * n_way + n_shot)
    values = torch.rand(n_tasks, n_way, 1, d, generator=rng)
    values = values + 0.5 * torch.randn(n_tasks, n_way, n_shot + n_query, d, generator=rng)
    values = F.normalize(values.clamp_min(0), dim=-1)
    return values[:, :, :n_shot], values[:, :, n_shot:].flatten(1, 2)


def check(
    name: str, support: Tensor, query: Tensor, shots: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernel and torch agree as far as torch agrees with itself in double precision."""
    calls: list[int] = []
    monkeypatch.setattr(TIM, "_train_on_cpu", lambda *args: calls.append(1) or kernel(*args))
    logits = HEADS[name](support, query, shots)
    assert calls, "the compiled code is not used"
    monkeypatch.setattr(TIM, "_train_on_cpu", TIM.train_by_torch)
    expected = HEADS[name](support, query, shots)
    both = [x - x.mean(dim=2, keepdim=True) for x in (logits, expected)]
    torch.testing.assert_close(*both, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits.argmax(dim=2), expected.argmax(dim=2))


@every_head
@pytest.mark.parametrize(
    ("n_way", "n_shot", "n_query", "d"),
    [
        (5, 5, 15, 640),
        (5, 1, 15, 64),
        (2, 1, 1, 5),
        (3, 2, 4, 16),
        (4, 3, 7, 33),
        (6, 1, 9, 8),
        (20, 1, 15, 32),
    ],
)
def test_equals_torch(name, n_way, n_shot, n_query, d, monkeypatch):
    """Numbers of classes with every remainder by 4; more points than are multiplied at once."""
    monkeypatch.setattr(TIM, "STEPS", 100)
    check(name, *tasks(2, n_way, n_shot, n_query, d), None, monkeypatch)


@every_head
@pytest.mark.parametrize(("n_way", "n_shot"), [(5, 5), (5, 1), (3, 2)])
def test_equals_torch_to_the_end(name, n_way, n_shot, monkeypatch):
    check(name, *tasks(2, n_way, n_shot, 15, 32), None, monkeypatch)


@every_head
def test_uneven_shots_equal_torch(name, monkeypatch):
    """Tasks of which each has another alpha; padding has no influence."""
    monkeypatch.setattr(TIM, "STEPS", 100)
    support, query = tasks(3, 3, 6, 5, 20)
    shots = torch.tensor([[5, 1, 3], [1, 1, 1], [6, 6, 5]])
    check(name, support, query, shots, monkeypatch)
    padding = torch.arange(6) >= shots.unsqueeze(2)
    monkeypatch.setattr(TIM, "_train_on_cpu", kernel)
    logits = HEADS[name](support, query, shots)
    assert torch.equal(HEADS[name](support.masked_fill(padding.unsqueeze(3), 3.0), query, shots), logits)
    alone = HEADS[name](support[1:2, :, :1], query[1:2])
    assert torch.equal(alone.argmax(dim=2), logits[1:2].argmax(dim=2))
    torch.testing.assert_close(alone, logits[1:2], rtol=1e-6, atol=1e-6)


@every_head
@pytest.mark.parametrize("kind", ["zero", "one zero", "equal", "long", "far"])
def test_extreme_features(name, kind, monkeypatch):
    """Long features have probabilities 0 and 1; a far class receives no query."""
    monkeypatch.setattr(TIM, "STEPS", 30)
    support, query = tasks(2, 5, 2, 6, 16)
    if kind == "zero":
        support, query = torch.zeros_like(support), torch.zeros_like(query)
    if kind == "one zero":
        support[:, 0, 0] = 0
    if kind == "equal":
        support[:], query[:] = support[:, :1, :1], query[:, :1]
    if kind == "long":
        support, query = 4 * support, 4 * query
    if kind == "far":
        support[:, 1] += 10
    if kind in ("zero", "equal"):  # there predictions are ties
        assert HEADS[name](support, query).isfinite().all()
    else:
        check(name, support, query, None, monkeypatch)


@every_head
@pytest.mark.parametrize(("n_shot", "d"), [(5, 64), (1, 7)])
def test_no_bit_depends_on_the_batch_or_the_threads(name, n_shot, d, monkeypatch):
    monkeypatch.setattr(TIM, "STEPS", 20)
    support, query = tasks(11, 5, n_shot, 3, d)
    run = shared_among_threads(HEADS[name])
    whole = run(support, query)
    for cuts in ([0, 1, 11], [0, 5, 6, 11], list(range(12))):
        parts = [run(support[i:j], query[i:j]) for i, j in pairwise(cuts)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    assert torch.equal(run(support[order], query[order]), whole[order])
    monkeypatch.setattr(TIM, "_FLOATS_AT_ONCE", 3 * (5 * n_shot + 15) * 64)
    assert torch.equal(run(support, query), whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(run(support, query), whole)
        assert torch.equal(HEADS[name](support, query), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
@every_head
def test_a_gpu_equals_the_cpu(name):
    support, query = tasks(20, 5, 5, 15, 640)
    on_gpu = HEADS[name](support.cuda(), query.cuda()).cpu()
    torch.testing.assert_close(on_gpu.softmax(-1), HEADS[name](support, query).softmax(-1), rtol=0, atol=1e-3)
