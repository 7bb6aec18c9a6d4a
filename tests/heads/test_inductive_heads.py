"""Inductive heads against slow plain code or scikit-learn, task by task."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from fsbench._util.errors import FsbenchError
from fsbench.heads import HEADS, find_head, nearest_mean
from fsbench.heads._distribution_calibration import DRAWS, SPREAD, calibrated_draws, normals
from fsbench.heads._logistic import _error_and_curvature, fit
from fsbench.heads._random import bits
from fsbench.heads._svm import _loss as svm_loss
from fsbench.heads.base import BaseStatistics, base_statistics
from fsbench.heads.by_rows import BY_ROWS, Rows
from fsbench.heads.preprocess import find_preprocess

Array = NDArray[np.float64]


def features(seed: int, n_tasks: int, n_shot: int, n_query: int = 4, n_way: int = 3, d: int = 16):
    """Features that are not negative: support (tasks, n_way, n_shot, d), query (tasks, queries, d)."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.rand(n_tasks, n_way, 1, d, generator=rng)
    values = (centres + 0.4 * torch.randn(n_tasks, n_way, n_shot + n_query, d, generator=rng)).relu()
    return values[:, :, :n_shot].contiguous(), values[:, :, n_shot:].flatten(1, 2)


def up_to_a_constant(logits: Array) -> Array:
    """Logits shifted to mean zero over classes, which does not change their softmax."""
    return logits - logits.mean(-1, keepdims=True)


def plain_nearest_mean(support: Array, query: Array) -> Array:
    return np.array([[-(((q - shots.mean(0)) ** 2).sum()) + q @ q for shots in support] for q in query])


def plain_ridge(support: Array, query: Array, constant: float = 1) -> Array:
    """Ridge regression by normal equations with an unpenalised constant feature."""
    points = np.concatenate(support)
    points = np.concatenate([points, np.full((len(points), 1), constant)], axis=1)
    penalty = np.eye(points.shape[1])
    penalty[-1, -1] = 0
    classes = np.repeat(np.eye(len(support)), [len(shots) for shots in support], axis=0)
    weights = np.linalg.lstsq(points.T @ points + penalty, points.T @ classes, rcond=None)[0]
    return np.concatenate([query, np.full((len(query), 1), constant)], axis=1) @ weights


def plain_logistic(support: Array, query: Array) -> Array:
    answers = np.repeat(np.arange(len(support)), [len(shots) for shots in support])
    model = LogisticRegression(C=1, tol=1e-10, max_iter=10_000, solver="newton-cg")
    return up_to_a_constant(model.fit(np.concatenate(support), answers).decision_function(query))


def plain_svm(support: Array, query: Array) -> Array:
    answers = np.repeat(np.arange(len(support)), [len(shots) for shots in support])
    model = LinearSVC(C=1, dual=False, tol=1e-10, max_iter=10_000)
    return model.fit(np.concatenate(support), answers).decision_function(query)


PLAIN = {
    "nearest-mean": plain_nearest_mean,
    "ridge": plain_ridge,
    "logistic": plain_logistic,
    "svm": plain_svm,
}


@pytest.mark.parametrize(
    ("n_shot", "d"), [(1, 40), (5, 40), (8, 3)], ids=["1-shot", "5-shot", "few dimensions"]
)
@pytest.mark.parametrize("preprocess", ["none", "l2", "cl2n", "tukey"])
@pytest.mark.parametrize("name", PLAIN)
def test_equals_plain_code(name, preprocess, n_shot, d):
    prepare = find_preprocess(preprocess)
    support, query = (prepare(x, torch.full((d,), 0.4)) for x in features(n_shot, 3, n_shot, d=d))
    actual = find_head(name).classify(support, query)
    if name == "logistic":
        actual = actual - actual.mean(-1, keepdim=True)
    expected = [
        PLAIN[name](*task) for task in zip(support.double().numpy(), query.double().numpy(), strict=True)
    ]
    torch.testing.assert_close(actual, torch.tensor(np.stack(expected)).float(), atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("shots", [None, [[5, 1, 3], [2, 2, 5]]], ids=str)
def test_ridge_without_intercepts_equals_plain_code(shots):
    support, query = features(2, 2, n_shot=5, d=20)
    counts = None if shots is None else torch.tensor(shots)
    actual = find_head("ridge").classify(support, query, counts, intercept=False)
    for task in range(2):
        rows = [5] * 3 if shots is None else shots[task]
        classes = [support[task, c, :n].double().numpy() for c, n in enumerate(rows)]
        expected = plain_ridge(classes, query[task].double().numpy(), constant=0)
        np.testing.assert_allclose(actual[task].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
@pytest.mark.parametrize("name", ["ridge", "logistic"])
def test_is_exact_at_any_scale(name, scale):
    """With many points and nearly no penalty, single precision would not be sufficient."""
    support, query = (scale * x for x in features(0, 2, n_shot=8, d=3))
    actual = find_head(name).classify(support, query)
    if name == "logistic":
        actual = actual - actual.mean(-1, keepdim=True)
    expected = [
        PLAIN[name](*task) for task in zip(support.double().numpy(), query.double().numpy(), strict=True)
    ]
    torch.testing.assert_close(actual, torch.tensor(np.stack(expected)).float(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["nearest-mean", "ridge", "logistic", "svm"])
def test_uneven_shots_equal_plain_code(name):
    support, query = features(1, 3, n_shot=5, d=20)
    shots = torch.tensor([[5, 1, 3], [2, 2, 5], [1, 4, 1]])
    actual = find_head(name).classify(support, query, shots=shots)
    if name == "logistic":
        actual = actual - actual.mean(-1, keepdim=True)
    expected = []
    for task, queries, counts in zip(
        support.double().numpy(), query.double().numpy(), shots.tolist(), strict=True
    ):
        expected.append(PLAIN[name]([rows[:n] for rows, n in zip(task, counts, strict=True)], queries))
    torch.testing.assert_close(actual, torch.tensor(np.stack(expected)).float(), atol=2e-4, rtol=1e-5)


class TestLogisticFit:
    def test_many_points(self):
        """Far more points than dimensions, as in distribution calibration."""
        rng = torch.Generator().manual_seed(3)
        answers = torch.arange(3).repeat_interleave(200)
        points = torch.randn(600, 10, generator=rng) + torch.randn(3, 10, generator=rng)[answers]
        points = points.double()
        points -= points.mean(dim=0)
        labels = torch.nn.functional.one_hot(answers).double().mT.unsqueeze(0)
        weights, intercepts = fit(points.unsqueeze(0), labels)
        model = LogisticRegression(C=1, tol=1e-10, max_iter=10_000, solver="newton-cg")
        model.fit(points.numpy(), answers.numpy())
        free = intercepts[0, :, 0] - intercepts[0].mean()
        torch.testing.assert_close(weights[0], torch.tensor(model.coef_), atol=1e-4, rtol=0)
        expected = torch.tensor(model.intercept_ - model.intercept_.mean())
        torch.testing.assert_close(free, expected, atol=1e-4, rtol=0)

    def test_a_step_that_increases_the_loss_is_halved(self):
        """Barely separable, distant classes, for which plain Newton steps diverge."""
        rng = torch.Generator().manual_seed(1)
        support, query = (100 * torch.randn(1, *shape, 12, generator=rng) for shape in ((3, 8), (5,)))
        actual = up_to_a_constant(find_head("logistic").classify(support, query)[0].double().numpy())
        expected = plain_logistic(support[0].double().numpy(), query[0].double().numpy())
        np.testing.assert_allclose(actual, expected, atol=1e-3)

    def test_an_immediately_solved_task_does_not_affect_the_batch(self):
        support, query = features(2, 2, n_shot=8, d=3)
        support[0] = 0
        actual = find_head("logistic").classify(support, query)
        assert (actual[0] - actual[0].mean()).abs().max() < 1e-6
        torch.testing.assert_close(actual[1:], find_head("logistic").classify(support[1:], query[1:]))


class TestBaseStatistics:
    @pytest.mark.parametrize(
        "sizes", [(6, 3, 5), (30, 2, 9)], ids=["fewer images than d", "more images than d"]
    )
    def test_equal_numpy(self, sizes):
        rng = np.random.default_rng(0)
        labels = np.repeat([4, 7, 9], sizes)
        values = rng.normal(size=(sum(sizes), 8))
        order = rng.permutation(len(labels))
        actual = base_statistics(torch.tensor(values[order]), torch.tensor(labels[order]))
        covariances = (actual.factors.mT @ actual.factors).numpy()
        for c, label in enumerate([4, 7, 9]):
            np.testing.assert_allclose(actual.means[c], values[labels == label].mean(0), atol=1e-12)
            np.testing.assert_allclose(covariances[c], np.cov(values[labels == label].T), atol=1e-12)

    def test_refuses_too_few_classes(self):
        with pytest.raises(FsbenchError, match="must have at least 2 classes, but have 1"):
            base_statistics(torch.ones(3, 2), torch.zeros(3))


class TestNormals:
    def test_are_normal(self):
        """Kolmogorov-Smirnov at a million: true normals fail one time in ten thousand; the seed is fixed."""
        values = normals(torch.tensor([5]), 1_000_000)[0].double().numpy()
        assert stats.kstest(values, "norm").pvalue > 1e-4
        assert abs(np.corrcoef(values[0::2], values[1::2])[0, 1]) < 4e-3 * np.sqrt(2)  # 4 standard errors

    def test_depend_only_on_key_and_position(self):
        keys = torch.tensor([3, 2**62, -1])
        actual = normals(keys, 101)
        assert torch.equal(normals(keys[1:2], 50)[0], actual[1, :50])
        assert actual.unique().numel() == actual.numel()


def calibrated(support: Array, base: BaseStatistics) -> tuple[Array, Array]:
    """Mean and covariance of the normal distribution of one support image, as in the paper."""
    means = base.means.double().numpy()
    covariances = (base.factors.mT @ base.factors).double().numpy()
    nearest = np.argsort(np.linalg.norm(means - support, axis=1))[:2]
    mean = np.concatenate([means[nearest], support[None]]).mean(0)
    return mean, covariances[nearest].mean(0) + SPREAD


@pytest.fixture
def base() -> BaseStatistics:
    rng = torch.Generator().manual_seed(0)
    values = (torch.randn(6, 1, 5, generator=rng) + 0.5 * torch.randn(6, 40, 5, generator=rng)).relu()
    return base_statistics(values.flatten(0, 1), torch.arange(6).repeat_interleave(40))


class TestDistributionCalibration:
    def test_draws_have_the_calibrated_mean_and_covariance(self, base):
        """Within 5 standard errors: covariance / n for means, (S_ii S_jj + S_ij^2) / n for covariances."""
        support, count = features(5, 2, n_shot=2, d=5)[0][:, 0], 40_000  # (tasks, n_shot, d)
        actual = (
            calibrated_draws(support, base, torch.tensor([1, 2]), count).view(2, 2, count, 5).double().numpy()
        )
        for task in range(2):
            for shot in range(2):
                mean, covariance = calibrated(support[task, shot].double().numpy(), base)
                variance = covariance.diagonal()
                error = actual[task, shot].mean(0) - mean
                assert (abs(error) < 5 * np.sqrt(variance / count)).all()
                error = np.cov(actual[task, shot].T) - covariance
                spread = np.outer(variance, variance) + covariance**2
                assert (abs(error) < 5 * np.sqrt(spread / count)).all()

    @pytest.mark.parametrize("counts", [[[1] * 3] * 2, [[5] * 3] * 2, [[5, 1, 3], [2, 4, 1]]], ids=str)
    def test_equals_scikit_learn_on_the_same_draws(self, base, counts):
        support, query = features(6, 2, max(map(max, counts)), d=5)
        keys, even = torch.tensor([11, 12]), len({n for task in counts for n in task}) == 1
        shots = None if even else torch.tensor(counts)
        actual = find_head("distribution-calibration").classify(support, query, shots, base=base, keys=keys)
        for task in range(2):
            points = []
            for c, key in enumerate(bits(keys[task], torch.arange(3))):
                shots = support[task, c, : counts[task][c]]
                drawn = calibrated_draws(shots.unsqueeze(0), base, key.unsqueeze(0), DRAWS // len(shots))[0]
                points.append(torch.cat([shots, drawn]).double().numpy())
            assert [len(rows) for rows in points] == [n + DRAWS // n * n for n in counts[task]]
            expected = plain_logistic(points, query[task].double().numpy())
            logits = up_to_a_constant(actual[task].double().numpy())
            np.testing.assert_allclose(logits, expected, atol=3e-4)


def test_error_and_curvature_of_logistic_regression_by_hand():
    """Two classes, one point of class 0 with the chances 3/4 and 1/4: both have 3/16, and errors of 1/4."""
    chances, labels = torch.tensor([[[0.75], [0.25]]]), torch.tensor([[[1.0], [0.0]]])
    error, curvature = _error_and_curvature(chances.double(), labels.double())
    assert error.flatten().tolist() == [0.25, -0.25]
    assert curvature.flatten().tolist() == [3 / 16, 3 / 16]


def test_objective_of_support_vector_machines_by_hand():
    """Half of mixture times scores, and squares of 1 - side * score where above 0; padding adds nothing."""
    mixture = torch.tensor([[2.0, -1.0, 5.0], [0.0, 0.0, 0.0]])
    scores = torch.tensor([[0.5, 3.0, 0.0], [0.0, 0.0, 7.0]])
    sides = torch.tensor([[1.0, -1.0, 0.0], [1.0, -1.0, 0.0]])
    # 2 * 0.5 / 2 - 1 * 3 / 2 + 0.5^2 + 4^2 = 15.25; 1 + 1 = 2
    torch.testing.assert_close(svm_loss(mixture, scores, sides), torch.tensor([[15.25], [2.0]]))


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if head.classify in BY_ROWS])
@pytest.mark.parametrize("shots", [None, [1, 3, 2]], ids=str)
def test_rows_give_the_bits_of_gathered_features(name, shots):
    """Rows are in any order and can be shared by tasks."""
    rng = torch.Generator().manual_seed(1)
    values = torch.rand(60, 21, generator=rng)
    support = torch.randint(60, (7, 3, 3), generator=rng)
    query = torch.randint(60, (7, 11), generator=rng)
    counts = torch.tensor(shots or [3, 3, 3]).expand(7, 3)
    head = find_head(name)
    expected = head.classify(values[support], values[query], None if shots is None else counts)
    rows = Rows(values, support, counts.contiguous(), values, query)
    actual = BY_ROWS[head.classify](rows, **head.defaults)
    assert torch.equal(actual, expected)
    assert not torch.equal(actual[0], actual[1])


def test_nearest_mean_has_gradients():
    support, query = torch.rand(2, 3, 2, 5, requires_grad=True), torch.rand(2, 4, 5)
    (gradient,) = torch.autograd.grad(nearest_mean(support, query).sum(), support)
    expected = 2 * (query.sum(dim=1)[:, None] - 4 * support.mean(dim=2))[:, :, None].expand_as(support) / 2
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("head", [head for head in HEADS.values() if head.classify in BY_ROWS])
class TestArgumentsOfCompiledHeads:
    """Compiled code would read other memory."""

    def test_tasks_and_widths_must_agree(self, head):
        support = torch.rand(2, 3, 2, 8)
        for query in (torch.rand(3, 4, 8), torch.rand(2, 4, 16)):
            with pytest.raises(FsbenchError, match="must be of the same tasks and width, but are"):
                head.classify(support, query)
        with pytest.raises(FsbenchError, match="must be of the same tasks and width, but are"):
            head.classify(support, torch.rand(2, 4, 8), torch.ones(1, 3, dtype=torch.int64))

    @pytest.mark.parametrize("shots", [[1, 2, 3], [0, 1, 2]])
    def test_shots_must_be_rows_of_the_support(self, head, shots):
        with pytest.raises(FsbenchError, match=r"^shots must be 1 to 2 for each class$"):
            head.classify(torch.rand(2, 3, 2, 8), torch.rand(2, 4, 8), torch.tensor([shots, [1, 1, 1]]))

    def test_no_query_has_no_logits(self, head):
        assert head.classify(torch.rand(2, 3, 2, 8), torch.rand(2, 0, 8)).shape == (2, 0, 3)
