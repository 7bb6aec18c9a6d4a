"""The page of training budgets: its tables follow from the result files and are up to date."""

from pathlib import Path

import pytest

from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.report.check import file_problems
from fsbench.report.grouping import group_by
from fsbench.report.measured import of_seeds
from fsbench.report.plots.budget import Point, points
from fsbench.stats import holm
from fsbench.stats.all_pairs import compare_pairs
from results.budgets import BEGIN, END, FOLDER, is_significant, pays_from, tables, with_tables
from tests.changed import changed

GOLDEN = (
    Path(__file__).parents[1]
    / "golden/leaderboard/results/cifar-fs/erm-conv4-s0/5w1s3q-nearest-mean-l2-20t-s0.json"
)


def point(epochs: int, difference: float | None, half_width: float | None) -> Point:
    """A point that is significant where its interval excludes 0."""
    p = None if half_width is None or difference is None else 0.01 if abs(difference) > half_width else 0.3
    return Point(None, "mixup", epochs, 3, 0.5, difference, half_width, p)


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ([point(10, -0.02, 0.01), point(40, 0.02, 0.01), point(160, 0.03, 0.01)], "40 epochs"),
        ([point(10, 0.02, 0.01), point(40, 0.01, 0.02), point(160, 0.03, 0.01)], "160 epochs"),
        ([point(160, 0.01, 0.02), point(10, 0.03, 0.01)], "never here"),  # in any order
        ([point(10, 0.03, None)], "too few seeds"),
        ([point(10, 0.03, 0.01), point(40, 0.03, None)], "too few seeds"),
        ([point(10, None, None)], ""),
    ],
)
def test_a_recipe_pays_from_the_budget_after_which_it_is_always_better(group, text):
    assert pays_from(group) == text


def test_an_interval_without_0_is_not_significant_if_the_corrected_p_is_not():
    uncorrected = Point(None, "mixup", 40, 3, 0.5, 0.03, 0.02, p=0.08)
    assert pays_from([uncorrected]) == "never here"
    assert not is_significant(uncorrected)


def test_p_values_are_corrected_over_the_recipes_of_a_budget():
    """Against statistics computed here, from the committed results after 400 epochs."""
    every = [r for r in result_files.read_all(FOLDER) if r.model.epochs == 400 and r.spec.n_shot == 5]
    seeds = group_by(every, lambda result: result.model.recipe)
    means = {recipe: of_seeds(results) for recipe, results in seeds.items()}
    raw = {
        recipe: compare_pairs([mean, means["erm"]]).over["classes"].p[0, 1]
        for recipe, mean in means.items()
        if recipe != "erm"
    }
    (group,) = points(every).values()
    corrected = {point.recipe: point.p for point in group if point.recipe != "erm"}
    assert corrected == pytest.approx(dict(zip(raw, holm(list(raw.values())), strict=True)))
    assert max(corrected[recipe] / raw[recipe] for recipe in raw) == pytest.approx(len(raw))


def test_the_page_matches_the_results():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert with_tables(page, list(result_files.read_all(FOLDER))) == page
    assert list(file_problems(FOLDER)) == []


def test_a_page_without_markers_is_refused():
    with pytest.raises(FsbenchError, match=r"must have the markers .*budgets:begin"):
        with_tables("# Budgets", [])
    assert with_tables(f"a {BEGIN} old {END} b", []).startswith(f"a {BEGIN}")


def test_an_accuracy_stands_with_its_difference_from_erm():
    """With one seed each, the difference has no half width and there is no claim."""
    base = result_files.read(GOLDEN)
    base = changed(base, recipe="erm", preset="fast", precision="bf16", train_seed=0, per_class=20)
    other = changed(base, recipe="mixup", correct=tuple(right + 1 for right in base.outcome.correct))
    other = changed(
        other,
        accuracy=float(other.accuracies.mean()),
        class_values=tuple(value + 0.1 for value in base.outcome.class_values),
    )
    erm, mixup = (f"{100 * result.outcome.accuracy:.1f}" for result in (base, other))
    gain = 100 * (other.outcome.accuracy - base.outcome.accuracy)
    text = tables([other, base])
    assert text.startswith("### cifar-fs, 32 px, conv4, preset fast, bf16")
    assert "5-way 1-shot, nearest-mean, 20 tasks\n\n20 images of each base class, training seeds: 1." in text
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[-2:]] == [
        ["erm", erm, ""],
        ["mixup", f"{mixup} ({gain:+.1f})", "too few seeds"],
    ]
