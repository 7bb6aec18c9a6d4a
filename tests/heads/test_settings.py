"""Settings of heads: of every shipped head, of a user's, and what they do."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fsbench._util.errors import FsbenchError
from fsbench._util.settings import Setting, as_text
from fsbench.evaluation import result_files
from fsbench.evaluation.methods import find_methods
from fsbench.evaluation.result import Result
from fsbench.heads import HEADS, BaseStatistics, Head, cosine_sgd, find_head
from fsbench.heads.head import for_imbalanced_queries
from fsbench.tasks.spec import TaskSpec

RESULT = result_files.read(Path(__file__).parents[1] / "golden" / "results" / "schema-2.json")
SETTINGS = [(name, key) for name, head in HEADS.items() for key in head.defaults]
MINE = '''
from __future__ import annotations

import torch
from fsbench.heads import Head


def head(support, query, *, balanced: bool = True, k: int = 1, scale: float = 1):
    """Minus the distance to class means, times a scale."""
    return -scale * torch.cdist(query, support.mean(dim=2))


HEAD = Head(head, paper="mine", preprocess="l2", settings={"scale": "2", "k": 1})
WRONG = Head(head, paper="mine", preprocess="l2", settings={"k": 0.5})
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return "./mine.py:head"


def another(name: str, key: str) -> Setting:
    """A value of the setting of a shipped head that is not its default."""
    kind, default = HEADS[name]._parameters[key].kind, HEADS[name].defaults[key]
    if isinstance(kind, tuple):
        return next(choice for choice in kind if choice != default)
    return not default if kind is bool else kind(default + 1)


def evaluated(text: str, spec: TaskSpec = RESULT.spec) -> Result:
    """The result with this head in place of its own."""
    (method,) = find_methods([text], ["l2"])
    method = method.for_tasks(spec)
    return replace(RESULT, head=replace(RESULT.head, name=method.name, settings=method.head.settings))


def task(d: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, 2, d, generator=generator), torch.rand(1, 6, d, generator=generator)


@pytest.mark.parametrize("name", HEADS)
class TestEveryHead:
    def test_each_parameter_with_a_default_is_an_option_or_a_setting(self, name):
        """A parameter of another type could not be given, and nobody would notice."""
        parameters = list(inspect.signature(HEADS[name].classify).parameters.values())[2:]
        optional = {part.name for part in parameters if part.default is not part.empty}
        assert optional <= HEADS[name].options | HEADS[name].defaults.keys()
        assert not HEADS[name].options & HEADS[name].defaults.keys()

    def test_it_has_its_defaults(self, name):
        assert HEADS[name].settings == {}
        assert evaluated(name).head.settings == {}

    def test_only_a_transductive_head_assumes_something_about_its_queries(self, name):
        if "balanced" in HEADS[name].defaults:
            assert HEADS[name].transductive
            assert HEADS[name].defaults["balanced"] is True


@pytest.mark.parametrize(("name", "key"), SETTINGS)
class TestEverySetting:
    def test_it_is_given_as_text_and_recorded(self, name, key):
        value = another(name, key)
        result = evaluated(f"{name}:{key}={as_text(value)}")
        assert result.head.settings == {key: value}
        assert type(result.head.settings[key]) is type(value)
        assert result.head.text == f"{name}:{key}={as_text(value)}"
        assert result.path != evaluated(name).path
        assert f"-{name}-{key}_{as_text(value)}-l2-" in result.path.name

    def test_its_default_is_the_same_question(self, name, key):
        default = as_text(HEADS[name].defaults[key])
        assert evaluated(f"{name}:{key}={default}") == evaluated(name)
        assert evaluated(f"{name}:{key}={default}").path == evaluated(name).path

    def test_it_reaches_the_function(self, name, key):
        support, query = task()
        base = (
            BaseStatistics(torch.rand(4, 8), torch.eye(8).expand(4, 8, 8)) if HEADS[name].needs_base else None
        )
        seen = {}

        def classify(*tensors: Tensor, **options: object) -> Tensor:
            seen.update(options)
            return HEADS[name].classify(*tensors, **options)

        value = another(name, key)
        head = replace(find_head(f"{name}:{key}={as_text(value)}"), classify=classify)
        head.__dict__["options"] = HEADS[name].options
        assert head(support, query, base=base).isfinite().all()
        assert seen[key] == value


def test_there_are_settings_to_test():
    assert ("cosine-sgd", "epochs") in SETTINGS


class TestValues:
    def test_a_head_with_settings_is_its_function_with_arguments(self):
        support, query = task()
        expected = cosine_sgd(support, query, keys=torch.arange(1), epochs=7)
        assert torch.equal(find_head("cosine-sgd:epochs=7")(support, query), expected)
        assert not torch.equal(HEADS["cosine-sgd"](support, query), expected)

    def test_defaults_and_values_of_a_user(self, mine):
        head = find_head(f"{mine}:scale=2e0,k=1")
        assert head.defaults == {"balanced": True, "k": 1, "scale": 1.0}
        assert head.settings == {"scale": 2.0}
        support, query = task()
        torch.testing.assert_close(head(support, query), 2 * find_head(mine)(support, query))

    def test_a_user_may_declare_a_head_with_values(self, mine):
        assert find_head("./mine.py:HEAD").settings == {"scale": 2.0}
        assert find_head("./mine.py:HEAD:k=3").settings == {"k": 3, "scale": 2.0}
        assert find_head("./mine.py:HEAD:scale=1").settings == {}
        with pytest.raises(FsbenchError, match=r"^head \./mine\.py:WRONG: k must be a whole number"):
            find_head("./mine.py:WRONG")

    def test_an_option_is_no_setting(self):
        def classify(support: Tensor, query: Tensor, *, keys: int = 3, base: bool = True) -> Tensor:
            return query

        assert Head(classify, "mine", "none").defaults == {}

    def test_equal_questions_have_one_path(self, mine):
        spellings = [f"{mine}:k=3,scale=2", f"{mine}:scale=2.0,k=3e0", f"{mine}:balanced=true,k=3,scale=2"]
        results = [evaluated(text) for text in spellings]
        assert len({result.path for result in results}) == 1
        assert results[0] == results[1] == results[2]


class TestBalanced:
    IMBALANCED = TaskSpec(query_alpha=2.0)

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            (TaskSpec(), True),
            (TaskSpec(least_shot=1, n_shot=5), True),
            (TaskSpec(disjoint=True), True),
            (TaskSpec(query_alpha=2.0), False),
            (TaskSpec(n_query=None), False),
        ],
    )
    def test_it_follows_from_the_specification(self, mine, spec, expected):
        assert spec.balanced is expected
        assert evaluated(mine, spec).head.settings == ({} if expected else {"balanced": False})

    def test_it_is_what_the_user_says(self, mine):
        assert evaluated(f"{mine}:balanced=true", self.IMBALANCED).head.settings == {}
        assert evaluated(f"{mine}:balanced=false").head.settings == {"balanced": False}
        both = {"balanced": False, "k": 3}
        assert evaluated(f"{mine}:k=3", self.IMBALANCED).head.settings == both

    def test_heads_without_it_are_unchanged(self):
        assert for_imbalanced_queries(HEADS["nearest-mean"], "nearest-mean") is HEADS["nearest-mean"]
        other = Head(lambda support, query, balanced=3: query, "mine", "none")
        assert for_imbalanced_queries(other, "mine") is other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosine-sgd:epohcs=9", "head cosine-sgd has no setting 'epohcs'; did you mean 'epochs'? "
         "(its settings: epochs=301)"),
        ("cosine-sgd:epochs=many", "head cosine-sgd: epochs must be a whole number, but is 'many'"),
        ("cosine-sgd:epochs", "head cosine-sgd: setting epochs needs a value, as in cosine-sgd:epochs=VALUE"),
        ("./mine.py:head:k", "head ./mine.py:head: setting k needs a value, as in ./mine.py:head:k=VALUE"),
        ("nearest-mean:k=1", "head nearest-mean has no settings, but k is given"),
        ("nearest-maen:k=1", "unknown head 'nearest-maen'; did you mean 'nearest-mean'?"),
        ("cosine-sgd:epochs=1,epochs=2",
         "settings of cosine-sgd must name each setting once, but epochs is given twice"),
    ],
)  # fmt: skip
def test_wrong_settings_give_one_line(text, message):
    with pytest.raises(FsbenchError) as raised:
        find_head(text)
    assert str(raised.value) == message
