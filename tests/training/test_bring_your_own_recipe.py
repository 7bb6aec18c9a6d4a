"""A recipe in a user's file, trained from the command line."""

from pathlib import Path

import pytest

from fsbench.cli import main
from fsbench.models import checkpoint

MINE = '''"""Two terms, of which the second draws from the step's generator."""
from __future__ import annotations

from dataclasses import dataclass

from torch.nn import functional as F

from fsbench.training import Recipe, Stage


@dataclass(frozen=True)
class Setting:
    weight: float = 0.01


def step(model, images, labels, rng):
    features = model.backbone(images)
    shrink = Setting().weight * float(rng.uniform()) * features.square().mean()
    return {"class": F.cross_entropy(model.classifier(features), labels), "shrink": shrink}


PRESETS = {
    "own": Recipe(
        name="mine", preset="own", paper="none", stages=(Stage("only", step, epochs=2),), batch_size=16
    )
}
'''


@pytest.fixture
def train(cache, tmp_path, monkeypatch):
    """Write `./mine.py` and train with it; return the exit code."""
    monkeypatch.setenv("FSBENCH_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)

    def run(code: str, *flags: str) -> int:
        Path("mine.py").write_text(code, encoding="utf-8")
        return main(["train-backbone", "./mine.py", "--dataset", "tiny", "--quiet", *flags])

    return run


def test_it_trains_and_is_evaluated(train, capsys):
    assert train(MINE) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.parts[:2] == ("runs", "mine-own-conv4-tiny-16px-2ep-s0")
    about = checkpoint.load_provenance(path)
    assert (about.recipe, about.preset, about.epochs) == ("mine", "own", 2)
    log = (path.parent / "log.csv").read_text().splitlines()
    assert log[0].startswith("stage,epoch,loss_class,loss_shrink")
    assert len(log) == 3
    assert main(["evaluate", str(path), "--n-shot", "1", "--n-tasks", "50", "--quiet"]) == 0


def test_another_file_of_the_same_name_is_another_run(train, capsys):
    assert train(MINE) == 0
    assert train(MINE.replace("0.01", "0.02")) == 2
    assert "holds a run with a recipe file of SHA-256 " in capsys.readouterr().err
    assert train(MINE.replace("0.01", "0.02"), "--force") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("return {", "return 3, {"), "stage only: must return loss terms, name -> scalar tensor"),
        (("features.square().mean()", "features"), "must return loss terms, name -> scalar tensor"),
        (("float(rng.uniform())", "rng.no_such_draw()"), "only: AttributeError.*no_such_draw.*line 18"),
        (("labels), ", "labels[1:]), "), "ValueError: Expected input batch_size .*mine.py, line 19"),
        (("import Recipe", "import Recipy"), "ImportError: cannot import name 'Recipy'"),
        (("PRESETS", "PRESET"), "PRESETS must map preset names to fsbench.training.Recipe"),
    ],
)  # fmt: skip
def test_errors_in_a_recipe_give_one_line(train, change, message, capsys):
    assert train(MINE.replace(*change)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert all(part in line for part in message.split(".*"))
    assert "mine.py" in line


def test_an_unknown_preset_is_named(train, capsys):
    assert train(MINE, "--preset", "won") == 2
    assert "recipe 'mine' has no preset 'won'; did you mean 'own'" in capsys.readouterr().err
