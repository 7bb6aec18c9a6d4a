"""Transductive heads against plain per-task code, written from the definitions of their papers."""

import importlib
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch.nn import functional as F

from fsbench._util.errors import FsbenchError
from fsbench.heads import _bd_cspn, _laplacian_shot, _pt_map, _soft_kmeans, find_head
from fsbench.heads._pt_map import transport
from fsbench.heads.preprocess import find_preprocess

NAMES = ("bd-cspn", "laplacian-shot", "tim", "alpha-tim", "pt-map", "soft-kmeans", "soft-kmeans-prior")
TIM = importlib.import_module("fsbench.heads._tim")
Array = NDArray[np.float64]
Support = Sequence[Array]  # of each class its rows (shots, d)


def distances(points: Array, means: Array) -> Array:
    """Squared Euclidean distances (points, means)."""
    return ((points[:, None] - means[None]) ** 2).sum(-1)


def class_means(support: Support) -> Array:
    return np.stack([rows.mean(0) for rows in support])


def one_hot(support: Support) -> Array:
    """One-hot labels (points, n_way) in the support's precision: bench_heads.py uses single precision."""
    return np.repeat(np.eye(len(support), dtype=support[0].dtype), [len(rows) for rows in support], axis=0)


def mean_shots(support: Support) -> float:
    return sum(len(rows) for rows in support) / len(support)


def unit(points: Array) -> Array:
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def softmax(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def plain_rectified(support: Support, query: Array) -> Array:
    means = class_means(support)
    points = np.concatenate([*support, query + np.concatenate(support).mean(0) - query.mean(0)])
    cosine = (points[:, None] * means[None]).sum(-1)
    cosine /= np.linalg.norm(points, axis=1)[:, None] * np.linalg.norm(means, axis=1)[None]
    actual = means.copy()
    for c in range(len(means)):
        members = cosine.argmax(1) == c
        if members.any():
            actual[c] = (softmax(10 * cosine)[members, c, None] * points[members]).mean(0)
    return actual


def plain_bd_cspn(support: Support, query: Array) -> Array:
    return -distances(query, plain_rectified(support, query))


def plain_laplacian_shot(
    support: Support,
    query: Array,
    balanced: bool = True,
    shifted_queries: bool = False,
    weight_one_shot: float = 0.7,
    weight: float = 0.3,
) -> Array:
    smoothing = weight_one_shot if mean_shots(support) == 1 else weight
    means = plain_rectified(support, query) if balanced else class_means(support)
    if balanced and shifted_queries:
        query = query + np.concatenate(support).mean(0) - query.mean(0)
    unary = distances(query, means)
    kernel = np.zeros((len(query), len(query)))
    between = distances(query, query)
    for q in range(len(query)):
        neighbours = [p for p in np.argsort(between[q]) if p != q]
        kernel[q, neighbours[:2]] = 1
    labels, energy = softmax(-unary), math.inf
    for i in range(20):
        logits = -unary + smoothing * kernel @ labels
        labels, before = softmax(logits), energy
        energy = (labels * (np.log(np.maximum(labels, 1e-20)) + unary - smoothing * kernel @ labels)).sum()
        if i > 1 and abs(energy - before) <= 1e-6 * abs(before):
            break
    return logits


def plain_tim(
    support: Support, query: Array, weights: tuple[float, ...] = (0.1, 1.0, 0.1), alpha: float = 1
) -> Array:
    def entropy(p: torch.Tensor) -> torch.Tensor:
        return -(p * p.log()).sum(-1) if alpha == 1 else (1 - p.pow(alpha).sum(-1)) / (alpha - 1)

    def logits(points: torch.Tensor) -> torch.Tensor:
        return -7.5 * (points[:, None] - means[None]).square().sum(-1)

    with torch.inference_mode(mode=False), torch.enable_grad():
        shots, queries = torch.tensor(np.concatenate(support)), torch.tensor(query)
        labels = torch.tensor(one_hot(support))
        means = torch.tensor(class_means(support)).requires_grad_()
        adam = torch.optim.Adam([means], lr=1e-4)
        for _ in range(TIM.STEPS):
            p = logits(queries).softmax(-1)
            ce = F.cross_entropy(logits(shots), labels)
            loss = weights[0] * ce - weights[1] * entropy(p.mean(0)) + weights[2] * entropy(p).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return logits(queries).detach().numpy()


def plain_alpha_tim(support: Support, query: Array) -> Array:
    shots = mean_shots(support)
    alpha = 2 if shots == 1 else 5 if shots < 5 else 7
    return plain_tim(support, query, (1, 1, 1), alpha)


def plain_plan(score: Array, class_sum: float) -> Array:
    """Transport plan by its convex dual, whose gradient is the error of the class sums."""

    def dual(column: Array) -> tuple[float, Array]:
        value = logsumexp(score + column, axis=1).sum() - class_sum * column.sum()
        return value, softmax(score + column).sum(0) - class_sum

    start = np.zeros(score.shape[1])
    return softmax(score + minimize(dual, start, jac=True, method="BFGS", options={"gtol": 1e-9}).x)


def plain_pt_map(support: Support, query: Array) -> Array:
    n_way, shots = len(support), np.concatenate(support)
    shots = shots - shots.mean(0)
    queries = query - query.mean(0)
    points = np.concatenate([shots, queries])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = np.linalg.qr(points.T, mode="r").T
    shots, queries = points[: len(shots)], points[len(shots) :]
    labels = one_hot(support)
    means = labels.T @ shots / labels.sum(0)[:, None]
    for update in range(21):
        plan = plain_plan(-10 * distances(queries, means), len(query) / n_way)
        if update < 20:
            members = np.concatenate([labels, plan])
            means = means + 0.2 * (members.T @ points / members.sum(0)[:, None] - means)
    return np.log(plan)


def plain_soft_kmeans(support: Support, query: Array, centred: bool = True) -> Array:
    if centred:
        centre = np.concatenate([*support, query]).mean(0)
        support, query = [unit(rows - centre) for rows in support], unit(query - centre)
    sums = np.stack([rows.sum(0) for rows in support])
    shots = one_hot(support).sum(0)[:, None]
    means = sums / shots
    for _ in range(30):
        away = distances(query, means)
        share = softmax(-5 * away)
        means = (sums + share.T @ query) / (shots + share.sum(0)[:, None])
    return -5 * away


def plain_soft_kmeans_prior(support: Support, query: Array) -> Array:
    per_class = len(query) / len(support)
    sums = np.stack([rows.sum(0) for rows in support])
    shots = one_hot(support).sum(0)[:, None]
    means = sums / shots
    for _ in range(30):
        away = distances(query, means)
        share = softmax(-5 * away)
        share = share / share.sum(0)
        means = (sums + share.T @ query * per_class) / (shots + per_class)
    return -5 * away


PLAIN: dict[str, Callable[..., Array]] = {
    "bd-cspn": plain_bd_cspn,
    "laplacian-shot": plain_laplacian_shot,
    "tim": plain_tim,
    "alpha-tim": plain_alpha_tim,
    "pt-map": plain_pt_map,
    "soft-kmeans": plain_soft_kmeans,
    "soft-kmeans-prior": plain_soft_kmeans_prior,
}


def draw(
    seed: int, n_tasks: int, n_shot: int, n_query: int = 5, n_way: int = 3, d: int = 12, noise: float = 0.3
) -> tuple[torch.Tensor, torch.Tensor]:
    """Non-negative features around class centres: support (t, n, k, d), query (t, n * n_query, d)."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.rand(n_tasks, n_way, 1, d, generator=rng)
    values = centres + noise * torch.randn(n_tasks, n_way, n_shot + n_query, d, generator=rng)
    return values[:, :, :n_shot].clamp_min(0), values[:, :, n_shot:].clamp_min(0).flatten(1, 2)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch):
    """test_tim_kernel.py and test_parity.py train to the end."""
    monkeypatch.setattr(TIM, "STEPS", 100)
    monkeypatch.setattr(_pt_map, "MOST_ROUNDS", 200)
    with torch.inference_mode():
        yield


def check(
    name: str, support: torch.Tensor, query: torch.Tensor, shots: torch.Tensor | None, **settings: float
) -> None:
    """In double precision, because Adam divides by the size of gradients and amplifies rounding errors."""
    support, query = support.double(), query.double()
    counts = torch.full(support.shape[:2], support.shape[2]) if shots is None else shots
    expected = [
        PLAIN[name]([rows[:n] for rows, n in zip(task, n_shots, strict=True)], queries, **settings)
        for task, queries, n_shots in zip(support.numpy(), query.numpy(), counts.tolist(), strict=True)
    ]
    actual = find_head(name).classify(support, query, shots, **settings)
    # Sinkhorn stops short of the plan, and the published laplacian-shot short of its last iterations.
    atol = {"pt-map": 5e-4, "laplacian-shot": 1e-5}.get(name, 1e-8)
    torch.testing.assert_close(
        actual.softmax(-1), torch.from_numpy(softmax(np.stack(expected))), atol=atol, rtol=0
    )


@pytest.mark.parametrize("n_shot", [1, 3, 5])
@pytest.mark.parametrize("name", NAMES)
def test_equals_plain_code(name, n_shot):
    check(name, *draw(seed=n_shot, n_tasks=1 if "tim" in name else 2, n_shot=n_shot), shots=None)


@pytest.mark.parametrize("shots", [None, [5, 1, 3], [1, 1, 1]], ids=str)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("laplacian-shot", {"balanced": False}),
        ("laplacian-shot", {"balanced": False, "shifted_queries": True}),
        ("laplacian-shot", {"shifted_queries": True}),
        ("laplacian-shot", {"weight_one_shot": 1.0, "weight": 0.5}),
        ("soft-kmeans", {"centred": False}),
    ],
    ids=str,
)
def test_settings_equal_plain_code(name, settings, shots):
    support, query = draw(seed=12, n_tasks=2, n_shot=6)
    counts = None if shots is None else torch.tensor([shots, [4, 2, 1]])
    check(name, support, query, counts, **settings)
    assert not torch.allclose(
        *(find_head(name).classify(support, query, counts, **s) for s in ({}, settings))
    )


def test_tim_for_imbalanced_queries_equals_plain_code():
    """All terms have weight 1. Few queries of one class, so that the weights matter."""
    support, query = (x.double() for x in draw(seed=5, n_tasks=1, n_shot=2))
    query = query[:, :8]
    expected = torch.from_numpy(softmax(plain_tim(support[0].numpy(), query[0].numpy(), (1, 1, 1))))
    actual = TIM.tim(support, query, balanced=False).softmax(-1)[0]
    torch.testing.assert_close(actual, expected, atol=1e-8, rtol=0)
    assert (TIM.tim(support, query).softmax(-1)[0] - expected).abs().max() > 1e-3


@pytest.mark.parametrize("queries", [1, 2, 3])
def test_laplacian_shot_uses_at_most_the_available_neighbours(queries):
    support, query = draw(seed=4, n_tasks=3, n_shot=2)
    check("laplacian-shot", support, query[:, :queries], shots=None)


@pytest.mark.parametrize("name", ["weight", "weight_one_shot"])
def test_negative_weights_of_laplacian_shot_are_refused(name):
    support, query = draw(seed=4, n_tasks=3, n_shot=2)
    with pytest.raises(FsbenchError, match=rf"^{name} must be from 0 to 1e\+30, but is -0\.5$"):
        find_head("laplacian-shot").classify(support, query, **{name: -0.5})


@pytest.mark.parametrize("shots", [[5, 1, 3], [1, 1, 1], [5, 6, 5]], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_uneven_shots_equal_plain_code(name, shots):
    """Two tasks whose settings by shots differ."""
    support, query = draw(seed=9, n_tasks=1 if "tim" in name else 2, n_shot=6)
    check(name, support, query, torch.tensor([shots, [4, 2, 1]])[: len(support)])


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_enough(name):
    support, query = draw(seed=8, n_tasks=4, n_shot=2)
    single = find_head(name).classify(support, query)
    double = find_head(name).classify(support.double(), query.double())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.softmax(-1).double(), double.softmax(-1), atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_queries_help_with_the_default_preprocessing(name, monkeypatch):
    """With clear clusters and one shot, transductive heads are better than nearest mean."""
    monkeypatch.setattr(TIM, "STEPS", 1000)
    support, query = draw(seed=7, n_tasks=40, n_shot=1, n_query=15, n_way=5, d=16, noise=0.3)
    preprocess, base_mean = find_preprocess(find_head(name).preprocess), query.mean((0, 1))
    inputs = preprocess(support, base_mean), preprocess(query, base_mean)
    answers = torch.arange(5).repeat_interleave(15)

    def accuracy(head: str) -> float:
        return (find_head(head).classify(*inputs).argmax(-1) == answers).float().mean().item()

    assert accuracy(name) > accuracy("nearest-mean") + 0.05


@pytest.mark.parametrize("name", NAMES)
class TestEveryHead:
    @pytest.fixture(autouse=True)
    def few_steps(self, monkeypatch):
        monkeypatch.setattr(TIM, "STEPS", 50)
        monkeypatch.setattr(_pt_map, "MOST_ROUNDS", 100)

    def test_permuting_queries_and_classes_permutes_logits(self, name):
        support, query = draw(seed=2, n_tasks=3, n_shot=2)
        classify = find_head(name).classify
        queries = torch.randperm(15, generator=torch.Generator().manual_seed(0))
        classes = torch.tensor([2, 0, 1])
        actual = classify(support[:, classes], query[:, queries])
        expected = classify(support, query)[:, queries][..., classes]
        torch.testing.assert_close(actual.softmax(-1), expected.softmax(-1), atol=2e-3, rtol=0)

    @pytest.mark.parametrize("n_query", [1, 2, 7])
    def test_takes_any_number_of_queries(self, name, n_query):
        support, query = draw(seed=4, n_tasks=2, n_shot=2)
        actual = find_head(name).classify(support, query[:, :n_query])
        assert actual.shape == (2, n_query, 3)
        assert actual.isfinite().all()


class TestRectifiedMeans:
    def test_class_without_points_keeps_its_place(self):
        """Class 0 has supports on both axes: each lies nearer to the mean of class 1 or 2 than to its own."""
        x, y = [1.0, 0.0], [0.0, 1.0]
        support = torch.tensor([[[x, y], [x, x], [y, y]]])
        query = torch.tensor([[x, y, x, y]])
        torch.testing.assert_close(_bd_cspn.rectified(support, query, None)[0, 0], torch.tensor([0.5, 0.5]))
        for name in "bd-cspn", "laplacian-shot":
            assert find_head(name).classify(support, query).argmax(-1).tolist() == [[1, 2, 1, 2]]


COMPILED = {
    "bd-cspn": _bd_cspn.by_torch,
    "laplacian-shot": partial(_laplacian_shot.by_torch, **find_head("laplacian-shot").defaults),
    "pt-map": _pt_map.by_torch,
    "soft-kmeans": partial(_soft_kmeans.by_torch, centred=True, class_prior=False),
    "soft-kmeans-prior": partial(_soft_kmeans.by_torch, centred=False, class_prior=True),
}


@pytest.mark.parametrize("name", COMPILED)
class TestCompiledCode:
    @pytest.fixture(autouse=True)
    def few_rounds(self, monkeypatch):
        monkeypatch.setattr(_pt_map, "MOST_ROUNDS", 100)

    @pytest.mark.parametrize(("n_way", "n_shot", "d"), [(5, 1, 640), (2, 3, 12), (7, 2, 13), (12, 5, 64)])
    @pytest.mark.parametrize("uneven", [False, True])
    def test_equals_torch(self, name, n_way, n_shot, d, uneven):
        rng = torch.Generator().manual_seed(7)
        centres = torch.randn(3, n_way, 1, d, generator=rng)
        values = F.normalize(centres + torch.randn(3, n_way, n_shot + 4, d, generator=rng), dim=-1)
        values *= 0.8 + 0.4 * torch.rand(
            3, n_way, n_shot + 4, 1, generator=rng
        )  # else all are as near to zero
        support, query = values[:, :, :n_shot], values[:, :, n_shot:].flatten(1, 2)
        query[0, 0] = 0
        shots = torch.randint(1, n_shot + 1, (3, n_way), generator=rng) if uneven else None
        actual, expected = (
            find_head(name).classify(support, query, shots),
            COMPILED[name](support, query, shots),
        )
        torch.testing.assert_close(actual.softmax(-1), expected.softmax(-1), rtol=1e-3, atol=1e-5)
        assert torch.equal(actual.argmax(-1), expected.argmax(-1))

    @pytest.mark.parametrize("far", [1e-3, 1.0, 30.0])
    def test_equals_torch_where_shares_underflow_or_are_alike(self, name, far):
        """Points are close to each other, or so far apart that a class receives no query."""
        support, query = (far * x for x in draw(seed=3, n_tasks=3, n_shot=2, d=32))
        support[0, 0] += 10 * far
        actual, expected = find_head(name).classify(support, query), COMPILED[name](support, query, None)
        torch.testing.assert_close(actual.softmax(-1), expected.softmax(-1), rtol=1e-2, atol=1e-3)

    def test_gradients_flow_as_on_other_devices(self, name):
        support, query = draw(seed=8, n_tasks=2, n_shot=2)
        with torch.inference_mode(mode=False):
            support, query = support.clone().requires_grad_(), query.clone()
            logits = find_head(name).classify(support, query)
            logits.sum().backward()
        assert support.grad.any()
        without = find_head(name).classify(support.detach(), query)
        torch.testing.assert_close(logits.detach().softmax(-1), without.softmax(-1), rtol=1e-3, atol=1e-4)

    def test_a_feature_that_is_not_a_number_is_not_hidden(self, name):
        support, query = draw(seed=8, n_tasks=2, n_shot=2)
        query[0, 3, 1] = torch.nan
        logits = find_head(name).classify(support, query)
        assert logits[0].isnan().any()
        assert logits[1].isfinite().all()


class TestTransport:
    @pytest.fixture(autouse=True)
    def many_rounds(self, monkeypatch):
        monkeypatch.setattr(_pt_map, "MOST_ROUNDS", 1000)

    def test_marginals(self):
        score = 20 * torch.randn(8, 5, 30, generator=torch.Generator().manual_seed(0))
        plan, _ = transport(score, torch.zeros(8, 5, 1))
        torch.testing.assert_close(plan.sum(1), torch.ones(8, 30), atol=1e-5, rtol=0)
        torch.testing.assert_close(plan.sum(2), torch.full((8, 5), 6.0), atol=1e-4, rtol=0)

    def test_the_guess_changes_nothing(self):
        rng = torch.Generator().manual_seed(1)
        score = 3 * torch.randn(8, 5, 30, generator=rng)
        plan, scale = transport(score, torch.zeros(8, 5, 1))
        again, _ = transport(score, 2 * torch.randn(8, 5, 1, generator=rng))
        torch.testing.assert_close(again, plan, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close((score + scale).softmax(1), plan, atol=1e-6, rtol=1e-4)


def test_tim_in_chunks_equals_tim_at_once(monkeypatch):
    monkeypatch.setattr(TIM, "STEPS", 50)
    support, query = draw(seed=6, n_tasks=5, n_shot=1)
    at_once = TIM.tim(support, query)
    monkeypatch.setattr(TIM, "_FLOATS_AT_ONCE", 2 * 18 * 12)
    torch.testing.assert_close(TIM.tim(support, query), at_once, atol=1e-4, rtol=1e-4)
