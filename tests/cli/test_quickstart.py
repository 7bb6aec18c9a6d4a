"""The quickstart says what its results show; its training takes minutes, so `evaluate` is replaced."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fsbench._util.session import Session
from fsbench.cli import _quickstart, main
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from tests.changed import changed, with_correct

RESULT = result_files.read(Path(__file__).parents[1] / "golden" / "results" / "schema-1.json")
CORRECT = {"erm": [4, 5, 6], "mixup": [5, 6, 7], "manifold-mixup": [6, 7, 8], "s2m2-r": [3, 5, 4]}  # of 10


def results_of(recipe: str) -> list[Result]:
    """One result per data set and number of shots; at 5 shots, each task has one correct answer more."""
    return [
        changed(
            with_correct(RESULT, [count + (n_shot == 5) for count in CORRECT[recipe]], n_shot=n_shot),
            dataset=dataset,
            recipe=recipe,
            class_values=(0.4, 0.6, 0.2),
        )
        for dataset in _quickstart.TARGETS
        for n_shot in _quickstart.SHOTS
    ]


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch):
    """Record the recipes that are trained, and return the results above."""
    trained = []

    def train(recipe, spec, *, out, session):
        trained.append((recipe.name, recipe.epochs, spec.per_class, out.as_posix(), session))
        return SimpleNamespace(best=recipe.name)

    monkeypatch.setattr(_quickstart, "train_backbone", train)
    monkeypatch.setattr(_quickstart, "evaluate", lambda best, **_: results_of(best))
    monkeypatch.setattr(_quickstart.leaderboard, "update", lambda folder, *_, **__: [folder / "README.md"])
    return trained


def test_every_recipe_sees_as_many_images(without_training):
    _quickstart.quickstart(Path("out"), Session(quiet=True))
    assert [(name, epochs, per_class) for name, epochs, per_class, *_ in without_training] == [
        (name, 120, 10) for name in ("erm", "mixup", "manifold-mixup", "s2m2-r")
    ]


def test_the_answer_fits_80_columns_and_ends_with_commands(without_training, capsys):
    assert main(["quickstart", "--out", "there", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert max(map(len, printed.out.splitlines())) <= 80
    assert (
        "erm             50.0 ± 25.0  60.0 ± 25.0" in printed.out
    )  # the half width is that of the golden file
    finding = " ".join(printed.out.split())
    assert "manifold-mixup is 20.0 points ahead of erm at 5 shots (± 0.0 over tasks, " in finding
    assert "open there/results/leaderboard.html" in printed.out
    assert printed.out.count("\n  fsbench ") == 3
    assert printed.err.splitlines()[0].startswith("fsbench quickstart: erm, mixup, manifold-mixup, s2m2-r")
    assert "[4/4] s2m2-r" in printed.err
    assert all(session.quiet for *_, session in without_training)  # stderr is no terminal


def test_quiet_prints_no_progress(without_training, capsys):
    assert main(["quickstart", "--quiet", "--device", "cpu"]) == 0
    assert capsys.readouterr().err == ""


def test_it_says_so_if_no_recipe_is_ahead():
    results = [result for recipe in CORRECT for result in results_of(recipe)]
    best_is_erm = [
        with_correct(result, [9, 9, 9], n_shot=5) if result.model.recipe == "erm" else result
        for result in results
    ]
    assert _quickstart.finding(best_is_erm).startswith(
        "With 10 images per class, no recipe is ahead of erm at 5 shots."
    )


def test_it_says_that_s2m2_r_needs_more_epochs_only_if_it_is_behind():
    results = [result for recipe in CORRECT for result in results_of(recipe)]
    ahead = [
        with_correct(result, [9, 9, 9], n_shot=5) if result.model.recipe == "s2m2-r" else result
        for result in results
    ]
    assert _quickstart.finding(results).endswith("ahead after 400.")
    assert _quickstart.finding(ahead).endswith("one training seed on this machine).")
