"""Accuracies that training must reach; changes that reduce accuracy fail here."""

import pytest
import torch

from fsbench._util.session import Session
from fsbench.evaluation.result import Result
from fsbench.evaluation.run import Output, evaluate
from fsbench.report.measured import of_result
from fsbench.stats.all_pairs import compare_pairs
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.overrides import resolve
from fsbench.training.recipe import load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")
TASKS = TaskSpec(n_way=5, n_shot=5, n_tasks=1000)


@pytest.fixture(scope="module")
def few_glyphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """5-way 5-shot results of Conv4 after 60 epochs on 10 images of each of the 64 base classes."""
    folder = tmp_path_factory.mktemp("few-glyphs")
    accuracies = {}
    for name in ("erm", "manifold-mixup"):
        recipe = resolve(load_recipe(name, "fast"), epochs=[60])
        run = train_backbone(
            recipe,
            TrainingSpec("glyphs", per_class=10),
            out=folder / name,
            session=Session(folder, CPU, quiet=True),
        )
        (accuracies[name],) = evaluate(
            run.last, tasks=[TASKS], session=Session(folder, quiet=True), output=Output(None)
        )
    return accuracies


def test_fast_learns_from_few_glyphs(few_glyphs: dict[str, Result]):
    """Seeds 0 and 1 reached 63.9 and 67.0; their difference is the tolerance."""
    assert few_glyphs["erm"].outcome.accuracy > 0.608


def test_manifold_mixup_beats_erm_where_images_are_few(few_glyphs: dict[str, Result]):
    """With seeds 0 and 1, 5.4 and 1.8 points above ERM; after 120 epochs, 10.7 with seed 0."""
    pairs = compare_pairs([of_result(few_glyphs[name]) for name in ("manifold-mixup", "erm")])
    assert pairs.difference[0, 1] > pairs.over["tasks"].half_width[0, 1]
