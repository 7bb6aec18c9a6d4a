"""The table of results that `evaluate` prints."""

from pathlib import Path

import pytest

from fsbench._util.terminal import as_text, shortened
from fsbench.cli._results import result_table
from fsbench.evaluation import result_files
from fsbench.evaluation.result import Result
from tests.changed import changed

BASE = result_files.read(Path(__file__).parents[1] / "golden" / "results" / "schema-1.json")
NAME = "{}-fast-conv4-cifar-fs-32px-40ep-precisionbf16-s{}"


def made(recipe: str, seed: int, **changes) -> Result:
    return changed(BASE, run=NAME.format(recipe, seed), accuracy=0.5, half_width=0.01, **changes)


def test_the_table_says_once_what_results_share():
    heads = [("nearest-mean", "l2", False), ("pt-map", "pt", True)]
    results = [
        made(recipe, 0, head=head, preprocess=preprocess, transductive=marked, class_prior=marked)
        for recipe in ("erm", "manifold-mixup")
        for head, preprocess, marked in heads
    ]
    n_tasks = BASE.spec.n_tasks
    assert as_text(result_table(results, [True, True, False, False]), None, 80) == (
        f"cifar-fs novel, 5-way 1-shot, {n_tasks} tasks, 2 queries per class\n"
        "run               head               accuracy in %  state\n"
        "erm-…             nearest-mean (l2)   50.00 ± 1.00  new\n"
        "erm-…             pt-map (pt) †‡      50.00 ± 1.00  new\n"
        "manifold-mixup-…  nearest-mean (l2)   50.00 ± 1.00  existing\n"
        "manifold-mixup-…  pt-map (pt) †‡      50.00 ± 1.00  existing\n"
        "… stands for fast-conv4-cifar-fs-32px-40ep-precisionbf16-s0\n"
        "† transductive: uses all query images of a task together\n"
        "‡ is given the number of query images per class"
    )


def test_everything_that_differs_is_a_column_within_80_characters():
    results = [
        made(recipe, seed, dataset=dataset, n_shot=n_shot, n_query=n_query, head=head)
        for recipe, seed, dataset, n_shot, n_query, head in (
            ("erm", 0, "cifar-fs", 1, 2, "nearest-mean"),
            ("manifold-mixup", 1, "mini-imagenet", 5, None, "logistic"),
        )
    ]
    text = as_text(result_table(results), None, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "state" not in text
    for part in ("manifold-", "mixup-…-s1", "imagenet", "5-shot", "logistic", "50.00 ± 1.00", "all"):
        assert part in text


def test_one_result_is_one_row():
    lines = as_text(result_table([made("erm", 0)]), None, 100).splitlines()
    assert lines[0].startswith(NAME.format("erm", 0))
    assert lines[2].startswith("5-way 1-shot  nearest-mean (l2)")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["erm", "mixup"], ["erm", "mixup"]),
        (["a-shared-by-both-of-us", "b-shared-by-both-of-us"], ["a-…", "b-…"]),
        (["a-shared-by-both-of-us", "b-shared-by-both-of-them"], ["a-…-us", "b-…-them"]),
        (["a-shared-by-both", "a-shared-by-both"], ["a-shared-by-both"] * 2),
        (["shared-by-both", "shared-by-both-2"], ["shared-by-both", "shared-by-both-2"]),
        ([], []),
    ],
)
def test_only_what_distinguishes_names_is_kept(names: list[str], short: list[str]):
    assert shortened(names)[0] == short


def test_digests_of_runs_are_shown_only_where_they_distinguish():
    def runs(*names: str) -> str:
        results = [made("", 0, head=head) for head in ("a", "b")]
        results = [changed(result, run=name) for result, name in zip(results, names, strict=True)]
        return as_text(result_table(results), None, 100)

    assert "-1c1c5321" not in runs("pretrained.a-c86e8edf", "pretrained.b-1c1c5321")
    assert "-1c1c5321" in runs("pretrained.a-c86e8edf", "pretrained.a-1c1c5321")
