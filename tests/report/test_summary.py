"""The short table of a README: training seeds folded, one head, at most eight rows."""

import pytest

from fsbench.report.leaderboard.summary import summary
from fsbench.report.leaderboard.tables import tables
from tests.changed import changed, with_correct
from tests.report.test_leaderboard import BASE


def made(*correct: int, **changes):
    """A result of two tasks or more with these right answers of 15 in each."""
    return with_correct(BASE, [*correct, *correct], **changes)


def rows(text: str) -> list[list[str]]:
    """The cells of the table, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def seeds(*correct: int, **changes):
    """A result per training seed, each with two tasks."""
    return [
        made(n, train_seed=seed, run=f"s{seed}", checkpoint=f"{seed}{changes.get('recipe')}", **changes)
        for seed, n in enumerate(correct)
    ]


def test_seeds_are_folded_and_shots_share_a_cell():
    """9 and 12 of 15 are 60 and 80 %, so their mean is 70 %."""
    results = [*seeds(9, 12, n_shot=1), *seeds(12, 15, n_shot=5), *seeds(3, 6, dataset="omniglot")]
    assert rows(summary(tables(results))) == [
        ["trained on", "recipe", "epochs", "seeds", "5-way 1/5-shot", "→ omniglot 5-way 1-shot"],
        ["cifar-fs", "erm cosine", "20", "2", "70.0 / 90.0", "30.0"],
    ]


def test_the_most_common_head_is_shown_and_named():
    results = [
        made(15, recipe="mixup", head="logistic"),
        *(made(9, recipe=recipe, head=head) for recipe in ("a", "b") for head in ("tim", "nearest-mean")),
    ]
    text = summary(tables(results))
    assert text.startswith("Accuracy in % of the head nearest-mean (l2);")
    assert [row[1] for row in rows(text)[1:]] == ["a cosine", "b cosine"]


def test_heads_with_class_counts_come_last():
    """Although there are more of them."""
    counted = [made(15, head="pt-map", class_prior=True, recipe=recipe) for recipe in ("a", "b")]
    assert [row[1] for row in rows(summary(tables([made(9), *counted])))[1:]] == ["erm cosine"]
    assert [row[1] for row in rows(summary(tables(counted)))[1:]] == ["a cosine", "b cosine"]


def test_other_backbones_are_shown_only_where_there_is_no_recipe():
    other = made(15, recipe=None, preset=None, run="features")
    assert [row[1] for row in rows(summary(tables([made(9), other])))[1:]] == ["erm cosine"]
    assert [row[1] for row in rows(summary(tables([other])))[1:]] == ["features"]
    assert summary([], "out/").startswith("There are no results yet. All results: [out/README.md]")


@pytest.mark.parametrize("number", [8, 11])
def test_at_most_eight_rows_are_shown_the_best_first(number: int):
    results = [made(n, recipe=f"r{n}", run=f"r{n}", checkpoint=f"{n}") for n in range(number)]
    text = summary(tables(results), "results/")
    assert [row[1] for row in rows(text)[1:]] == [f"r{n} cosine" for n in range(number)][:-9:-1]
    more = "3 more rows and all heads" if number == 11 else "All heads"
    assert text.endswith(f"\n\n{more} and intervals: [results/README.md](results/README.md).\n")


def test_half_widths_are_a_range():
    results = [
        changed(made(9, recipe=recipe), class_half_width=width)
        for recipe, width in (("a", 0.07), ("b", 0.02))
    ]
    assert "2.0 to 7.0 over new classes and their images." in summary(tables(results))
