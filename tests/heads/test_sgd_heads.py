"""cosine-sgd and linear-sgd equal torch's own modules and optimiser, run task by task; draws by key."""

import math
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fsbench._util.errors import FsbenchError
from fsbench.heads import _random, _sgd
from fsbench.heads._cosine_sgd import EPOCHS, cosine_sgd, cosine_sgd_snapshots
from fsbench.heads._linear_sgd import linear_sgd
from fsbench.heads.batching import shared_among_threads

HEADS = {"cosine-sgd": cosine_sgd, "linear-sgd": linear_sgd}
both_heads = pytest.mark.parametrize("name", HEADS)


class CosineClassifier(nn.Module):
    """The distLinear of S2M2, with torch's weight norm and the initial weights of one key."""

    def __init__(self, n_way: int, d: int, key: Tensor):
        super().__init__()
        linear = nn.Linear(d, n_way, bias=False, dtype=torch.float64)
        linear.weight.data.copy_(_sgd.initial_weights(key[None], n_way, d, d**-0.5)[0])
        self.linear = nn.utils.parametrizations.weight_norm(linear, dim=0)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.linear(x / (x.norm(dim=1, keepdim=True) + 1e-5))


def linear_classifier(n_way: int, d: int, key: Tensor) -> nn.Module:
    linear = nn.Linear(d, n_way, dtype=torch.float64)
    initial = _sgd.initial_weights(key[None], n_way, d + 1, d**-0.5)[0]
    linear.weight.data.copy_(initial[:, :-1])
    linear.bias.data.copy_(initial[:, -1])
    return linear


CLASSIFIERS = {"cosine-sgd": CosineClassifier, "linear-sgd": linear_classifier}


def by_torch(name: str, support: Sequence[Tensor], query: Tensor, key: Tensor, epochs: int) -> Tensor:
    """One task trained like in the papers' code, with random numbers by key."""
    n_way, d = len(support), query.shape[1]
    points = torch.cat(list(support)).double()  # classes may have different numbers of points
    labels = torch.arange(n_way).repeat_interleave(torch.tensor([len(rows) for rows in support]))
    model = CLASSIFIERS[name](n_way, d, key)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, dampening=0.9, weight_decay=0.001)
    for epoch in range(1, epochs + 1):
        order = _random.permutations(_random.bits(key, torch.tensor(epoch)), len(points))
        for batch in order.split(4):
            optimiser.zero_grad()
            F.cross_entropy(model(points[batch]), labels[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        return model(query.double()).float()


def tasks(n_tasks: int, n_way: int, n_shot: int, d: int, n_query: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Support, query and keys of tasks whose classes overlap; features are not negative."""
    rng = torch.Generator().manual_seed(n_way * 100 + n_shot)
    centres = 0.5 * torch.randn(n_tasks, n_way, 1, d, generator=rng)
    values = (centres + torch.randn(n_tasks, n_way, n_shot + n_query, d, generator=rng)).relu()
    keys = torch.randint(-(1 << 62), 1 << 62, (n_tasks,), generator=rng)
    return values[:, :, :n_shot], values[:, :, n_shot:].flatten(1, 2), keys


@both_heads
@pytest.mark.parametrize(
    ("n_way", "n_shot", "d"),
    [(5, 5, 640), (5, 1, 640), (2, 1, 8), (3, 2, 5), (20, 1, 64), (20, 5, 30), (4, 3, 2), (4, 3, 1)],
)
def test_equals_torch_task_by_task(name, n_way, n_shot, d):
    support, query, keys = tasks(2, n_way, n_shot, d)
    logits = HEADS[name](support, query, keys=keys, epochs=7)
    expected = torch.stack(
        [by_torch(name, *task, epochs=7) for task in zip(support, query, keys, strict=True)]
    )
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@both_heads
@pytest.mark.parametrize(("n_way", "n_shot", "d"), [(5, 5, 640), (5, 1, 640), (10, 5, 64), (3, 5, 1)])
def test_equals_torch_to_the_end(name, n_way, n_shot, d):
    epochs = EPOCHS[-1]
    support, query, keys = tasks(3, n_way, n_shot, d, n_query=15)
    logits = HEADS[name](support, query, keys=keys, epochs=epochs)
    expected = torch.stack([by_torch(name, *task, epochs) for task in zip(support, query, keys, strict=True)])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert (logits.argmax(dim=2) == expected.argmax(dim=2)).all()


def test_one_dimension_equals_torch_in_many_tasks():
    """A one-dimensional direction keeps its sign; rounding errors must not accumulate to NaN."""
    support, query, keys = tasks(100, 5, 5, 1)
    assert cosine_sgd(support, query, keys=keys).isfinite().all()
    logits = cosine_sgd(support, query, keys=keys, epochs=7)
    for task in _sgd.initial_weights(keys, 5, 1, 1.0).abs().amin(dim=(1, 2)).argsort()[:3]:
        expected = by_torch("cosine-sgd", support[task], query[task], keys[task], epochs=7)
        torch.testing.assert_close(logits[task], expected, rtol=1e-4, atol=1e-4)


@both_heads
def test_uneven_shots_equal_torch(name):
    """Tasks of 9, 9 and 6 points, with whole batches and with a short last batch."""
    support, query, keys = tasks(3, 3, 5, 20, n_query=15)
    shots = torch.tensor([[5, 1, 3], [2, 2, 5], [1, 4, 1]])
    logits = HEADS[name](support, query, shots, keys=keys, epochs=30)
    for task in range(3):
        classes = [rows[:n] for rows, n in zip(support[task], shots[task], strict=True)]
        expected = by_torch(name, classes, query[task], keys[task], epochs=30)
        torch.testing.assert_close(logits[task], expected, rtol=1e-4, atol=1e-4)


@both_heads
@pytest.mark.parametrize(("n_way", "n_shot", "d"), [(5, 5, 640), (3, 3, 4), (20, 1, 16)])
def test_the_code_for_other_devices_equals_the_kernel(name, n_way, n_shot, d, monkeypatch):
    support, _, keys = tasks(3, n_way, n_shot, d)
    points, cosine = F.normalize(support, dim=-1), name == "cosine-sgd"
    initial = _sgd.initial_weights(keys, n_way, d, d**-0.5)
    shots = torch.tensor([n_shot, 1, n_shot]).view(3, 1).repeat(1, n_way)
    shots[2, 0] = 1
    by_kernel = _sgd.train(points, initial, shots, keys, (2, 18, 19), cosine)
    monkeypatch.setattr(_sgd, "_train_on_cpu", _sgd.train_by_torch)
    by_torch = _sgd.train(points, initial, shots, keys, (2, 18, 19), cosine)
    torch.testing.assert_close(by_torch, by_kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@both_heads
def test_a_gpu_equals_the_cpu(name):
    support, query, keys = tasks(50, 5, 5, 640)
    logits = HEADS[name](support, query, keys=keys)
    on_gpu = HEADS[name](support.cuda(), query.cuda(), keys=keys)
    torch.testing.assert_close(on_gpu.cpu(), logits, rtol=1e-3, atol=1e-3)


@both_heads
@pytest.mark.parametrize(("n_shot", "d"), [(5, 640), (1, 7)])
def test_no_bit_depends_on_the_batch_or_the_threads(name, n_shot, d, monkeypatch):
    support, query, keys = tasks(23, 5, n_shot, d)
    run = shared_among_threads(HEADS[name])
    whole = run(support, query, keys=keys, epochs=3)
    for cuts in ([0, 1, 23], [0, 11, 12, 23], list(range(24))):
        parts = [run(support[i:j], query[i:j], keys=keys[i:j], epochs=3) for i, j in pairwise(cuts)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    assert torch.equal(run(support[order], query[order], keys=keys[order], epochs=3), whole[order])
    monkeypatch.setattr(_sgd, "_FLOATS_AT_ONCE", {"cpu": 3 * support[0].numel()})
    assert torch.equal(run(support, query, keys=keys, epochs=3), whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(run(support, query, keys=keys, epochs=3), whole)
    finally:
        torch.set_num_threads(threads)


@both_heads
def test_queries_have_no_influence_on_each_other(name):
    support, query, keys = tasks(3, 5, 1, 32)
    alone = HEADS[name](support, query[:, :1], keys=keys, epochs=3)
    beside = HEADS[name](support, query, keys=keys, epochs=3)[:, :1]
    torch.testing.assert_close(beside, alone, rtol=1e-6, atol=1e-6)


@both_heads
def test_a_task_depends_only_on_its_key(name):
    support, query, keys = tasks(2, 5, 5, 32)
    same = support[:1].expand(2, -1, -1, -1), query[:1].expand(2, -1, -1)
    with_two_keys = HEADS[name](*same, keys=keys, epochs=3)
    with_one_key = HEADS[name](*same, keys=keys[:1].expand(2), epochs=3)
    assert torch.equal(with_one_key[0], with_one_key[1])
    assert torch.equal(with_one_key[0], with_two_keys[0])
    assert (with_two_keys[0] - with_two_keys[1]).abs().max() > 0.01


def extreme(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    support, query, keys = tasks(2, 5, 5, 64)
    if kind == "zero":
        return 0 * support, 0 * query, keys
    if kind == "one zero":
        support[:, 0, 0] = 0
    if kind == "duplicates":
        support[:] = support[:, :1, :1]
    return (1e4 * support, 1e4 * query, keys) if kind == "huge" else (support, query, keys)


@both_heads
@pytest.mark.parametrize("kind", ["zero", "one zero", "duplicates", "huge"])
def test_extreme_features(name, kind):
    support, query, keys = extreme(kind)
    assert HEADS[name](support, query, keys=keys).isfinite().all()
    if (name, kind) != ("linear-sgd", "huge"):  # there every error is 0 or 1, which depends on rounding
        logits = HEADS[name](support, query, keys=keys, epochs=10)
        expected = by_torch(name, support[0], query[0], keys[0], epochs=10)
        torch.testing.assert_close(logits[0], expected, rtol=1e-5, atol=1e-5)


def test_snapshots_equal_separate_runs():
    support, query, keys = tasks(3, 5, 5, 64)
    snapshots = cosine_sgd_snapshots(support, query, keys=keys)
    assert snapshots.shape == (3, 3, 15, 5)
    for logits, epochs in zip(snapshots, (101, 201, 301), strict=True):
        alone = cosine_sgd(support, query, keys=keys, epochs=epochs)
        torch.testing.assert_close(logits, alone, rtol=1e-6, atol=1e-6)
    assert torch.equal(cosine_sgd(support, query, keys=keys), alone)


@pytest.mark.parametrize("epochs", [(), (0, 1), (2, 1), (1, 1)])
def test_epochs_must_be_positive_and_increasing(epochs):
    support, query, keys = tasks(1, 2, 1, 3)
    with pytest.raises(FsbenchError, match=r"^epochs must be positive and increasing, but are \["):
        cosine_sgd_snapshots(support, query, keys=keys, epochs=epochs)


@pytest.mark.parametrize("head", [cosine_sgd, linear_sgd])
def test_a_head_needs_an_epoch(head):
    support, query, keys = tasks(1, 2, 1, 3)
    with pytest.raises(FsbenchError, match=r"^epochs must be 1 or more, but is -5$"):
        head(support, query, keys=keys, epochs=-5)


MEMORY = """
import sys, torch
from fsbench.heads._cosine_sgd import cosine_sgd_snapshots
from tests.memory import memory
n_tasks, n_query = map(int, sys.argv[1:])
torch.set_num_threads(1)
support, query = torch.rand(n_tasks, 5, 5, 640), torch.rand(n_tasks, n_query, 640)
keys = torch.arange(n_tasks)
cosine_sgd_snapshots(support[:2, ..., :8], query[:2, ..., :8], keys=keys[:2], epochs=(1,))  # compiles
before = memory("VmHWM")
logits = cosine_sgd_snapshots(support, query, keys=keys, epochs=(1, 2, 3))
print((memory("VmHWM") - before - logits.nbytes) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(("n_tasks", "n_query"), [(2000, 75), (120, 5 * 595)])
def test_memory_is_bounded_whatever_the_number_of_tasks(n_tasks, n_query):
    command = [sys.executable, "-c", MEMORY, str(n_tasks), str(n_query)]
    mebibytes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert mebibytes < 256


def splitmix64(state: int, count: int) -> list[int]:
    """The published generator in plain integers."""
    words = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        word = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        words.append(word ^ (word >> 31))
    return words


def test_bits_equal_splitmix64():
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    for key in (0, 1, -1, 2**63 - 1, -(2**63)):
        actual = _random.bits(torch.tensor(key), torch.arange(1, 6))
        assert [word % 2**64 for word in actual.tolist()] == splitmix64(splitmix64(key % 2**64, 1)[0], 5)


def test_permutations_equal_fisher_yates_by_hand():
    key = torch.tensor(42)
    words, order = [word % 2**64 for word in _random.bits(key, torch.arange(9)).tolist()], list(range(9))
    for last in range(8, 0, -1):
        partner = (words[last] >> 32) * (last + 1) >> 32
        order[last], order[partner] = order[partner], order[last]
    assert _random.permutations(key, 9).tolist() == order
    assert _random.permutations(key, 1).tolist() == [0]


@pytest.mark.parametrize("count", [1, 2, 81, 640])
def test_compiled_uniforms_have_the_bits_of_torch(count):
    keys = torch.tensor([[0, 1, -1], [2**63 - 1, -(2**63), 42]])
    compiled, by_torch = (draw(keys, count) for draw in (_random.uniforms, _random.uniforms_by_torch))
    assert torch.equal(compiled, by_torch)
    same_key = keys[:1, :1].expand(2, 3)
    assert torch.equal(_random.uniforms(same_key, count), by_torch[:1, :1].expand(2, 3, count))


def p_of_equal_chances(counts: Tensor) -> float:
    return scipy.stats.chisquare(counts.flatten().numpy()).pvalue


def test_every_permutation_is_equally_likely():
    order = _random.permutations(torch.arange(48_000), 4)
    assert (
        p_of_equal_chances((order * torch.tensor([64, 16, 4, 1])).sum(dim=1).unique(return_counts=True)[1])
        > 1e-3
    )
    assert len(order.unique(dim=0)) == 24
    order = _random.permutations(
        _random.bits(torch.arange(500).unsqueeze(1), torch.arange(1, 41)), 25
    ).flatten(0, 1)
    for places in (order[:, :2], order[:, -2:]):  # pairs of neighbours, 600 of them
        pairs = (places[:, 0] * 25 + places[:, 1]).bincount(minlength=625).view(25, 25)
        assert (pairs.diagonal() == 0).all()
        assert p_of_equal_chances(pairs[~torch.eye(25, dtype=torch.bool)]) > 1e-3


def test_initial_weights_are_uniform_and_apart():
    weights = _sgd.initial_weights(torch.arange(300), 5, 81, 1 / 9)
    assert weights.shape == (300, 5, 81)
    assert -1 / 9 <= weights.min() < -0.1110
    assert 0.1110 < weights.max() < 1 / 9
    assert p_of_equal_chances(weights.flatten().histc(50, -1 / 9, 1 / 9)) > 1e-3
    numbers = weights.flatten(1).double()
    for other in (numbers.roll(1, 0), numbers.roll(1, 1), numbers.roll(2, 1)):  # neighbouring keys and places
        assert abs((numbers * other).mean() / numbers.square().mean()) < 4 / math.sqrt(numbers.numel())
