"""Contract tests of every registered head."""

import importlib

import pytest
import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench.heads import _OTHER_NAMES as OTHER_NAMES
from fsbench.heads import HEADS, Head, find_head
from fsbench.heads.base import base_statistics
from fsbench.heads.preprocess import PREPROCESS, find_preprocess

N_WAY, N_SHOT, N_QUERY, D = 3, 2, 4, 12
TIM, PT_MAP, CALIBRATION = (
    importlib.import_module(f"fsbench.heads._{name}")
    for name in ("tim", "pt_map", "distribution_calibration")
)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Few iterations suffice here; values are tested elsewhere."""
    monkeypatch.setattr(TIM, "STEPS", 50)
    monkeypatch.setattr(PT_MAP, "MOST_ROUNDS", 100)
    monkeypatch.setattr(CALIBRATION, "DRAWS", 60)
    with torch.inference_mode():
        yield


def draw(seed: int, n_tasks: int = 3, d: int = D, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    """Features that are not negative: support (tasks, n_way, n_shot, d), query (tasks, queries, d)."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.rand(n_tasks, N_WAY, 1, d, generator=rng)
    values = (centres + noise * torch.randn(n_tasks, N_WAY, N_SHOT + N_QUERY, d, generator=rng)).relu()
    return values[:, :, :N_SHOT].contiguous(), values[:, :, N_SHOT:].flatten(1, 2)


def classify(
    head: Head, support: Tensor, query: Tensor, keys: Tensor | None = None, **more: Tensor
) -> Tensor:
    """Logits of a head called with the arguments it declares; task t has key t by default."""
    options: dict[str, object] = dict(more)
    if head.random:
        options["keys"] = torch.arange(len(support)) if keys is None else keys
    if head.needs_base:
        rng = torch.Generator().manual_seed(99)
        labels = torch.arange(4).repeat_interleave(5)
        options["base"] = base_statistics(torch.rand(20, support.shape[-1], generator=rng), labels)
    return head.classify(support, query, **options)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
class TestEveryHead:
    def test_solves_separable_tasks(self, head):
        """Each class lies along its own axis with little noise, after the head's own preprocessing."""
        rng = torch.Generator().manual_seed(0)
        centres = 3 * torch.eye(N_WAY, D).unsqueeze(1)
        values = (centres + 0.05 * torch.rand(2, N_WAY, N_SHOT + N_QUERY, D, generator=rng)).contiguous()
        prepare, mean = find_preprocess(head.preprocess), values.mean((0, 1, 2))
        support, query = (
            prepare(values[:, :, :N_SHOT], mean),
            prepare(values[:, :, N_SHOT:].flatten(1, 2), mean),
        )
        answers = torch.arange(N_WAY).repeat_interleave(N_QUERY)
        assert (classify(head, support, query).argmax(-1) == answers).all()

    def test_gives_single_precision_of_the_right_shape(self, head):
        support, query = draw(seed=1)
        logits = classify(head, support, query)
        assert logits.dtype == torch.float32
        assert logits.device == query.device
        assert logits.shape == (3, N_WAY * N_QUERY, N_WAY)

    def test_leaves_its_input_as_it_was(self, head):
        """This includes inputs that need no conversion, and so no copy."""
        for dtype in (torch.float32,) if head.needs_base else (torch.float32, torch.float64):
            support, query = (x.to(dtype) for x in draw(seed=3, d=16))
            before = support.clone(), query.clone()
            classify(head, support, query)
            assert torch.equal(support, before[0])
            assert torch.equal(query, before[1])

    def test_permuting_classes_permutes_logits(self, head):
        """Over many keys, a random head treats classes equally: means are within 5 standard errors."""
        n = 100 if head.random else 1
        support, query = (x.expand(n, *x.shape[1:]) for x in draw(seed=2, n_tasks=1))
        order = torch.tensor([2, 0, 1])
        actual = classify(head, support[:, order], query).softmax(-1)
        expected = classify(head, support, query, keys=torch.arange(n, 2 * n))[..., order].softmax(-1)
        error = ((actual.var(0, correction=0) + expected.var(0, correction=0)) / n).sqrt()
        assert ((actual.mean(0) - expected.mean(0)).abs() < 5 * error + 1e-4).all()

    def test_permuting_tasks_permutes_tasks(self, head):
        support, query = draw(seed=3)
        order = torch.tensor([1, 2, 0])
        actual = classify(head, support[order], query[order], keys=order)
        torch.testing.assert_close(actual, classify(head, support, query)[order], atol=1e-5, rtol=1e-5)

    def test_batching_changes_nothing(self, head):
        support, query = draw(seed=4)
        each = [
            classify(head, support[t : t + 1], query[t : t + 1], keys=torch.tensor([t])) for t in range(3)
        ]
        torch.testing.assert_close(torch.cat(each), classify(head, support, query), atol=1e-5, rtol=1e-5)

    def test_sees_other_queries_only_if_it_is_marked_transductive(self, head):
        support, query = draw(seed=5)
        changed = torch.cat([query[:, :6], query[:, 6:].flip(-1)], dim=1)
        actual = classify(head, support, query)[:, :6]
        fewer, other = classify(head, support, query[:, :6]), classify(head, support, changed)[:, :6]
        if head.transductive:
            assert not torch.allclose(actual.softmax(-1), other.softmax(-1), atol=1e-5)
        else:
            torch.testing.assert_close(actual, fewer, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(actual, other, atol=1e-5, rtol=1e-5)

    def test_leaves_its_inputs_alone(self, head):
        support, query = draw(seed=6)
        copies = support.clone(), query.clone()
        classify(head, support, query)
        assert torch.equal(support, copies[0])
        assert torch.equal(query, copies[1])

    @pytest.mark.parametrize("case", ["constant", "duplicate", "zero", "huge", "tiny", "one-dimensional"])
    def test_is_finite_on_odd_features(self, head, case):
        """In one batch with a normal task, whose answer does not change."""
        change = {
            "constant": torch.ones_like,
            "duplicate": lambda values: values.select(1, 0).unsqueeze(1).expand_as(values),
            "zero": torch.zeros_like,
            "huge": lambda values: values * 1e4,
            "tiny": lambda values: values * 1e-6,
        }.get(case, lambda values: values)
        support, query = draw(seed=7, n_tasks=2, d=1 if case == "one-dimensional" else D)
        support[:1], query[:1] = change(support[:1]), change(query[:1])
        actual = classify(head, support, query)
        assert actual.isfinite().all()
        alone = classify(head, support[1:], query[1:], keys=torch.tensor([1]))
        torch.testing.assert_close(actual[1:], alone, atol=1e-4, rtol=1e-4)

    def test_is_random_only_by_its_key(self, head):
        support, query = (x[:1].expand(3, *x.shape[1:]) for x in draw(seed=8))
        state = torch.get_rng_state()
        first, second, again = classify(head, support, query, keys=torch.tensor([5, 6, 5]))
        assert torch.equal(state, torch.get_rng_state())
        torch.testing.assert_close(first, again, atol=1e-5, rtol=1e-5)
        if head.random:
            assert (first - second).abs().max() > 1e-3
        else:
            torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)

    def test_has_a_known_preprocessing(self, head):
        assert head.preprocess in PREPROCESS


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
class TestUnevenShots:
    def test_are_accepted(self, head):
        assert head.uneven

    def test_full_shots_equal_no_shots_argument(self, head):
        support, query = draw(seed=9)
        actual = classify(head, support, query, shots=torch.full((3, N_WAY), N_SHOT))
        torch.testing.assert_close(actual, classify(head, support, query), atol=1e-5, rtol=1e-5)

    def test_padding_has_no_influence(self, head):
        support, query = draw(seed=10)
        shots = torch.tensor([[1, 2, 2], [2, 1, 1], [1, 1, 2]])
        other = support.clone()
        other[:, :, 1][shots == 1] = 7.0
        actual = classify(head, support, query, shots=shots)
        torch.testing.assert_close(classify(head, other, query, shots=shots), actual, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(actual, classify(head, support, query), atol=1e-3)

    def test_one_shot_in_every_class_equals_a_one_shot_task(self, head):
        support, query = draw(seed=11)
        actual = classify(head, support, query, shots=torch.ones(3, N_WAY, dtype=torch.int64))
        torch.testing.assert_close(actual, classify(head, support[:, :, :1], query), atol=1e-5, rtol=1e-5)


def test_marks():
    """Marks of heads in tables, for every registered head."""
    assert [name for name, head in HEADS.items() if head.class_prior] == ["pt-map", "soft-kmeans-prior"]
    assert all(head.transductive for head in HEADS.values() if head.class_prior)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("nearest-means", "nearest-mean"),
        ("nearest_mean", "nearest-mean"),
        ("protonet", "nearest-mean"),
        ("Prototypical Networks", "nearest-mean"),
        ("SimpleShot", "nearest-mean"),
        ("ncm", "nearest-mean"),
        ("Baseline++", "cosine-sgd"),
        ("LogisticRegression", "logistic"),
        ("RIDGE", "ridge"),
        ("ptmap", "pt-map"),
    ],
)
def test_an_unknown_head_is_refused_with_the_nearest_name(name, suggestion):
    with pytest.raises(FsbenchError) as raised:
        find_head(name)
    assert str(raised.value) == f"unknown head {name!r}; did you mean {suggestion!r}?"


def test_suggestions_for_names_of_papers_are_heads():
    assert set(OTHER_NAMES.values()) <= set(HEADS)
    assert not set(OTHER_NAMES) & set(HEADS)


class TestOptionsOfAHead:
    """The arguments of a head besides support and query are read from its signature."""

    def test_shipped_heads(self):
        assert all("shots" in head.options for head in HEADS.values())
        assert [name for name, head in HEADS.items() if head.random] == [
            "cosine-sgd",
            "linear-sgd",
            "distribution-calibration",
        ]
        assert [name for name, head in HEADS.items() if head.needs_base] == ["distribution-calibration"]

    @pytest.mark.parametrize(
        ("function", "options"),
        [
            (lambda support, query: query, set()),
            (lambda support, query, shots=None, *, keys: query, {"shots", "keys"}),
            (lambda keys, base, shots: base, {"shots"}),  # the first two are support and query
            (lambda support, query, **more: query, set()),
            (torch.cdist, set()),
            (torch.bmm, set()),  # has no signature
        ],
    )
    def test_of_functions_are_read_from_the_signature(self, function, options):
        assert Head(function, "mine", "none").options == options

    def test_a_head_receives_only_its_arguments(self):
        seen = {}

        def classify(support, query, *, keys, base, shots=None):
            seen.update(keys=keys, base=base, shots=shots)
            return query @ support.mean(dim=2).mT

        support, query = draw(seed=0)
        head = Head(classify, "mine", "none", code="a user's")
        head(support, query)
        assert (seen["keys"].tolist(), seen["base"], seen["shots"]) == ([0, 1, 2], None, None)
        shots, keys = torch.ones(3, N_WAY, dtype=torch.int64), torch.tensor([7, 8, 9])
        head(support, query, keys=keys, base="statistics", shots=shots)
        assert seen == {"keys": keys, "base": "statistics", "shots": shots}

    def test_shots_are_never_left_out(self):
        """A head that cannot take them would treat padding as images."""
        head = Head(lambda support, query: query @ support.mean(dim=2).mT, "mine", "none", code="a user's")
        with pytest.raises(TypeError, match="shots"):
            head(*draw(seed=0), shots=torch.ones(3, N_WAY, dtype=torch.int64))


class TestPreprocess:
    VALUES = torch.tensor([[9.0, 16.0, 0.0]])

    def test_none(self):
        assert torch.equal(find_preprocess("none")(self.VALUES, None), self.VALUES)

    def test_l2(self):
        actual = find_preprocess("l2")(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), None)
        torch.testing.assert_close(actual, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))

    def test_cl2n(self):
        actual = find_preprocess("cl2n")(torch.tensor([[4.0, 3.0]]), torch.tensor([1.0, -1.0]))
        torch.testing.assert_close(actual, torch.tensor([[0.6, 0.8]]))

    def test_cl2n_needs_the_base_mean(self):
        with pytest.raises(FsbenchError, match=r"^preprocess cl2n needs base_mean, .* but it is None$"):
            find_preprocess("cl2n")(self.VALUES, None)

    def test_tukey(self):
        actual = find_preprocess("tukey")(self.VALUES, None)
        torch.testing.assert_close(actual, torch.tensor([[3.0, 4.0, 0.0]]))

    def test_pt(self):
        actual = find_preprocess("pt")(self.VALUES, None)
        torch.testing.assert_close(actual, torch.tensor([[0.6, 0.8, 2e-4]]), atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize("name", ["tukey", "pt"])
    def test_roots_refuse_negative_features(self, name):
        with pytest.raises(
            FsbenchError,
            match=rf"^preprocess {name} takes square roots, but a feature is -0\.5; choose none, l2 or cl2n$",
        ):
            find_preprocess(name)(torch.tensor([[1.0, -0.5]]), None)

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(FsbenchError, match="unknown preprocess 'tuckey'; did you mean 'tukey'"):
            find_preprocess("tuckey")
