"""`reproduce`: a result is computed again and compared."""

import re
from pathlib import Path

import pytest
import torch

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.evaluation import result_files
from fsbench.evaluation.run import Output, evaluate
from fsbench.report.reproduce import recipe_of, reproduce
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec
from tests.changed import changed

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def result_file(trained: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (result,) = evaluate(
        trained / "best.safetensors",
        tasks=[TaskSpec(5, 1, 3, 20)],
        session=Session(cache, quiet=True),
        output=Output(folder),
    )
    return folder / result.path


def test_training_and_evaluation_give_the_same_scores_again(result_file: Path, cache: Path, tmp_path: Path):
    reproduction = reproduce(result_file, out=tmp_path, session=Session(cache, quiet=True))
    assert reproduction.same_tasks
    assert reproduction.same_answers
    assert (reproduction.difference, reproduction.half_width) == (0, 0)
    assert reproduction.now.model.checkpoint == reproduction.before.model.checkpoint
    assert "every task scores the same" in reproduction.line()


def test_images_per_class_precision_and_micro_batch_come_from_the_result(cache: Path, tmp_path: Path):
    recipe = resolve(load_recipe("erm"), epochs=[1], batch_size=16)
    run = train_backbone(
        recipe,
        TrainingSpec("tiny", per_class=4),
        out=tmp_path / "run",
        compute=ComputeSettings("bf16", micro_batch=8),
        session=Session(cache, CPU, quiet=True),
    )
    spec, output = TaskSpec(5, 1, 3, 20), Output(tmp_path / "results")
    (result,) = evaluate(run.best, tasks=[spec], session=Session(cache), output=output)
    model = result.model
    assert (model.per_class, model.precision, model.micro_batch) == (4, "bf16", 8)
    path = tmp_path / "results" / result.path
    reproduction = reproduce(path, out=tmp_path / "again", session=Session(cache, quiet=True))
    assert reproduction.now.model.checkpoint == reproduction.before.model.checkpoint


def test_evaluation_alone(result_file: Path, trained: Path, cache: Path, tmp_path: Path):
    options = {"out": tmp_path, "session": Session(cache, quiet=True)}
    reproduction = reproduce(result_file, checkpoint=trained / "best.safetensors", **options)
    assert reproduction.same_answers
    other = tmp_path / "other.safetensors"
    other.write_bytes((trained / "best.safetensors").read_bytes() + b" ")
    with pytest.raises(FsbenchError, match="is not the checkpoint of"):
        reproduce(result_file, checkpoint=other, **options)


HEAD = """
import torch

def head(support, query, balanced: bool = True, k: int = 1):
    scores = -torch.cdist(query, support.mean(dim=2))
    return scores if balanced and k == 1 else scores.roll(k, -1)
"""


@pytest.mark.parametrize(
    "name", ["./mine.py:head", "./mine.py:head:balanced=true,k=2", "cosine-sgd:epochs=5"]
)
@pytest.mark.parametrize("query_alpha", [None, 2.0])
def test_a_head_has_the_settings_of_the_result(
    trained: Path, cache: Path, tmp_path: Path, name: str, query_alpha: float | None, monkeypatch
):
    """This includes results with imbalanced queries and balanced settings, which older versions wrote."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(HEAD, encoding="utf-8")
    subject, session = trained / "best.safetensors", Session(cache, quiet=True)
    (result,) = evaluate(
        subject, [TaskSpec(5, 1, 3, 20, query_alpha=query_alpha)], [name],
        session=session, output=Output(tmp_path / "results"),
    )  # fmt: skip
    plain = name if name.startswith("cosine") else "./mine.py:head"
    options = {"checkpoint": subject, "session": session, "head": plain}
    again = reproduce(tmp_path / "results" / result.path, out=tmp_path / "again", **options)
    assert again.same_answers
    assert again.now.question == result.question
    assert again.now.head.settings == result.head.settings
    if query_alpha and name == "./mine.py:head":
        assert result.head.settings == {"balanced": False}
        (balanced,) = evaluate(
            subject, [result.spec], [f"{name}:balanced=true"],
            session=session, output=Output(tmp_path / "results"),
        )  # fmt: skip
        again = reproduce(tmp_path / "results" / balanced.path, out=tmp_path / "again", **options)
        assert again.same_answers
        assert again.now.head.settings == balanced.head.settings == {}


def test_code_of_a_head_with_settings_runs_only_if_it_is_named(
    result_file: Path, trained: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(f"{HEAD}\nopen('ran', 'w')", encoding="utf-8")
    result = changed(
        result_files.read(result_file), head="./mine.py:head", head_code="a" * 64, head_settings={"k": 2}
    )
    path = result_files.write(tmp_path, result)
    for head in (None, "nearest-mean", "./mine.py:head:k=3", "./other.py:head"):
        with pytest.raises(FsbenchError, match=r"runs only if you name it: --head \./mine\.py:head$"):
            reproduce(
                path,
                checkpoint=trained / "best.safetensors",
                head=head,
                out=tmp_path,
                session=Session(device=CPU),
            )
    assert not Path("ran").exists()


def test_another_head_is_refused(result_file: Path, trained: Path, tmp_path: Path):
    options = {"checkpoint": trained / "best.safetensors", "out": tmp_path, "session": Session(device=CPU)}
    for head in ("ridge", "nearest-mean:k=3", "./mine.py:head"):
        with pytest.raises(
            FsbenchError, match=rf"^--head {head}: is not the head of .*, which is nearest-mean$"
        ):
            reproduce(result_file, head=head, **options)


def test_scores_that_were_changed_are_noticed(result_file: Path, trained: Path, cache: Path, tmp_path: Path):
    before = result_files.read(result_file)
    better = tuple(min(15, count + 2) for count in before.outcome.correct)
    claim = changed(before, correct=better, accuracy=sum(better) / 15 / 20)
    path = result_files.write(tmp_path, claim)
    options = {"checkpoint": trained / "best.safetensors", "session": Session(cache, quiet=True)}
    reproduction = reproduce(path, out=tmp_path / "again", **options)
    assert reproduction.same_tasks
    assert not reproduction.same_answers
    assert reproduction.difference == pytest.approx(before.outcome.accuracy - claim.outcome.accuracy)
    assert "tasks score differently" in reproduction.line()


@pytest.mark.parametrize(
    ("name", "preset", "changes"),
    [
        ("erm", "linear", {"epochs": [3], "batch_size": 8, "learning_rate": 0.5, "augment": False}),
        ("s2m2-r", "paper", {"epochs": [4, 2], "patience": 2, "classifier": "linear", "dropout": 0.25}),
        ("mixup", "official-code", {}),
        ("mixup", "paper", {"label_noise": 0.2}),
    ],
)
def test_the_recipe_is_rebuilt_from_a_result(result_file: Path, name, preset, changes):
    expected = resolve(load_recipe(name, preset), **changes)
    result = changed(
        result_files.read(result_file), recipe=name, preset=preset, overrides=", ".join(expected.overrides)
    )
    assert recipe_of(result).settings() == expected.settings()


def test_a_result_without_training_settings_is_refused(result_file: Path, tmp_path: Path):
    path = result_files.write(tmp_path, changed(result_files.read(result_file), recipe=None))
    with pytest.raises(FsbenchError, match="does not state how its backbone was trained"):
        reproduce(path, out=tmp_path, session=Session(device=CPU))


@pytest.mark.parametrize("part", ["epochs", "epochs 3 + x", "batch_size null", "dropout 0.x", "depth 3"])
def test_overrides_that_no_recipe_has_are_refused(result_file: Path, part: str):
    result = changed(result_files.read(result_file), recipe="erm", preset="fast", overrides=part)
    with pytest.raises(FsbenchError, match=re.escape(f"overrides contain {part!r}, which no recipe has")):
        recipe_of(result)
