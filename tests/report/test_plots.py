"""Plots: the numbers in the figures match the results."""

import re
import shutil
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from scipy.stats import t as student

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.result import Result
from fsbench.features.store import Features, Origin
from fsbench.models import checkpoint
from fsbench.report import plots
from fsbench.report.leaderboard import published
from fsbench.report.plots import budget, marks, page, selection
from tests.changed import changed, with_correct

RESULTS = Path(__file__).parents[2] / "results"
GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard" / "results"
BASE = result_files.read(GOLDEN / "cifar-fs" / "erm-conv4-s0" / "5w1s3q-nearest-mean-l2-20t-s0.json")


def made(*correct: int, **changes) -> Result:
    """A result with these right answers of 15 in each 5-way task."""
    return with_correct(BASE, correct, queries=changes.get("n_way", 5) * 3, **changes)


def sweep() -> list[Result]:
    return [
        made(5 + shot, 7 + shot, 8 + shot, n_way=way, n_shot=shot, task_digest=f"{way} {shot}")
        for way in (5, 10)
        for shot in (1, 5)
    ]


def texts(figure) -> str:
    """All texts of a figure, panel by panel."""
    return "\n".join(text.get_text() for text in figure.findobj(lambda it: hasattr(it, "get_text")))


def cells(axes) -> dict[tuple[str, str], str]:
    """The numbers of a heat map by row and column name."""
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    values = {
        (rows[int(y)], columns[int(x)]): text.get_text()
        for text in axes.texts
        for x, y in [text.get_position()]
    }
    assert len(values) == len(rows) * len(columns)
    return values


def luminance(colour) -> float:
    """Relative luminance of WCAG 2.1."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour[:3]]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def every_axes(figure) -> list:
    return figure.get_axes()


class TestWaysAndShots:
    def test_lines_and_bands_match_the_results(self):
        results = sweep()
        ways, shots = every_axes(plots.ways_and_shots(results))
        one_shot, five_shot = (line.get_ydata() for line in ways.lines)
        by = {(result.spec.n_way, result.spec.n_shot): result for result in results}
        np.testing.assert_allclose(
            one_shot, [100 * by[5, 1].outcome.accuracy, 100 * by[10, 1].outcome.accuracy]
        )
        np.testing.assert_allclose(
            five_shot, [100 * by[5, 5].outcome.accuracy, 100 * by[10, 5].outcome.accuracy]
        )
        np.testing.assert_allclose(
            shots.lines[0].get_ydata(), [100 * by[5, n].outcome.accuracy for n in (1, 5)]
        )
        half = stats.mean_and_half_width(by[5, 1].accuracies)[1]
        top = ways.collections[0].get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx(100 * (by[5, 1].outcome.accuracy + half))
        assert ways.lines[0].get_linestyle() != ways.lines[1].get_linestyle()

    def test_title_and_labels_name_the_settings(self):
        ways, shots = every_axes(figure := plots.ways_and_shots(sweep()))
        assert [text.get_text() for text in ways.texts] == ["1-shot", "5-shot"]
        assert {text.get_text() for text in shots.texts} == {"5-way", "10-way"}
        assert ways.get_ylabel() == "accuracy, %"
        assert "mean over 3 tasks" in texts(figure).replace("\n", " ")
        assert "95 % Student-t interval" in texts(figure).replace("\n", " ")

    def test_a_sweep_of_shots_alone_is_one_panel(self):
        (axes,) = every_axes(plots.ways_and_shots([result for result in sweep() if result.spec.n_way == 5]))
        assert axes.get_ylabel() == "5-way accuracy, %"

    def test_incomparable_results_share_no_panel(self):
        other = [changed(result, image_size=84) for result in sweep()]
        figure = plots.ways_and_shots([*sweep(), *other])
        assert [len(axes.lines) for axes in every_axes(figure)] == [2, 2, 2, 2]

    def test_synthetic_stands_in_the_title(self):
        assert "synthetic images" in texts(
            plots.ways_and_shots([changed(result, synthetic=True) for result in sweep()])
        )

    def test_a_configuration_without_a_line_is_not_in_the_legend(self):
        point = changed(sweep()[0], recipe="rotation", run="rotation", checkpoint="rotation")
        other = [changed(r, recipe="mixup", run="mixup", checkpoint="mixup") for r in sweep()]
        figure = plots.ways_and_shots([*sweep(), *other, point])
        assert "mixup" in texts(figure)
        assert "rotation" not in texts(figure)

    def test_training_seeds_are_one_line_with_their_range(self):
        seeds = [
            [
                made(
                    *(n + seed for n in r.outcome.correct),
                    n_shot=r.spec.n_shot,
                    train_seed=seed,
                    run=f"s{seed}",
                )
            ]
            for seed in range(3)
            for r in sweep()[:2]
        ]
        (axes,) = every_axes(figure := plots.ways_and_shots([r for (r,) in seeds]))
        (line,) = axes.lines
        accuracies = [[100 * r.outcome.accuracy for (r,) in seeds[i::2]] for i in range(2)]
        np.testing.assert_allclose(line.get_ydata(), np.mean(accuracies, axis=1))
        band = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (band.min(), band.max()) == pytest.approx((min(accuracies[0]), max(accuracies[1])))
        assert "mean over 3 training seeds" in texts(figure).replace("\n", " ")

    def test_one_epoch_is_singular(self):
        runs = [changed(r, epochs=n, epoch=n, run=str(n), checkpoint=str(n)) for n in (1, 2) for r in sweep()]
        legend = texts(plots.ways_and_shots(runs))
        assert "1 epoch\n" in legend
        assert "2 epochs" in legend

    def test_one_protocol_is_no_sweep(self):
        with pytest.raises(FsbenchError, match="ways-shots: no checkpoint and head has results for several"):
            plots.ways_and_shots([made(7, 8)])

    def test_too_many_lines_are_refused(self):
        many = [changed(result, recipe=f"r{n}", run=f"r{n}") for n in range(16) for result in sweep()]
        with pytest.raises(FsbenchError, match=r"at most 30 lines .*, but there are 32; choose .* --recipe"):
            plots.ways_and_shots(many)


CLASSES = {"erm": (0.3, 0.4, 0.5, 0.6), "mixup": (0.3, 0.5, 0.5, 0.7)}  # class values


def trained_for(recipe: str, epochs: int, seed: int, *correct: int, **changes) -> Result:
    """A result of one training."""
    values = tuple(value + 0.01 * seed for value in CLASSES[recipe])
    result = made(*correct, recipe=recipe, preset="fast", epochs=epochs, train_seed=seed, class_values=values)
    return changed(result, source=result.data.dataset, **{"precision": "float32", **changes})


class TestMarks:
    """A recipe has the same colour and marker in every panel and every kind."""

    def test_every_shipped_recipe_has_a_mark(self):
        shipped = {path.stem.replace("_", "-") for path in (RESULTS.parent / "baselines").glob("*.py")}
        assert set(marks.SHIPPED) == shipped

    def test_other_names_take_the_remaining_marks(self):
        lines = [
            ("b", "b"),
            ("mixup", "mixup"),
            ("a", "a"),
            ("erm", "erm, 40 epochs"),
            ("erm", "erm, 5 epochs"),
        ]
        assert marks.mark_numbers(lines) == {
            "mixup": 2, "erm, 5 epochs": 0, "a": 1, "b": 3, "erm, 40 epochs": 4,
        }  # fmt: skip

    def drawn(self, figure, panel: int) -> set[str]:
        return {to_hex(line.get_color()) for line in every_axes(figure)[panel].lines}

    def test_kinds_and_panels_agree(self, trained):
        """The better recipe comes first in a panel: mixup in one, ERM in the other."""
        runs = [
            made(right, right + 1, recipe=name, run=name, checkpoint=name, n_shot=shot, train_seed=0,
                 source="cifar-fs", dataset=data, fingerprint=data, class_values=(0.3, 0.4, 0.5, 0.6))
            for shot in (1, 5)
            for data, name, right in (
                ("cifar-fs", "erm", 6), ("cifar-fs", "mixup", 8), ("cub", "erm", 8), ("cub", "rotation", 6)
            )
        ]  # fmt: skip
        colours = {name: page.mark(marks.SHIPPED.index(name))["color"].lower() for name in marks.SHIPPED}
        in_panels = [{colours["erm"], colours["mixup"]}, {colours["erm"], colours["rotation"]}]
        assert [self.drawn(plots.ways_and_shots(runs), panel) for panel in (0, 1)] == in_panels
        assert [self.drawn(plots.task_accuracies(runs), panel) for panel in (0, 2)] == in_panels
        assert all(
            colours <= self.drawn(plots.leaderboard(runs), panel)
            for colours, panel in zip(in_panels, (0, 2), strict=True)
        )
        pair = [trained_for(name, n, 0, 6, 7) for name in ("erm", "mixup") for n in (10, 40)]
        assert self.drawn(plots.budgets(pair), 0) == in_panels[0]
        assert self.drawn(plots.time_curves([trained]), 0) == {colours["erm"]}


class TestBudgets:
    """ERM has 6/15 and 9/15 after 10 and 40 epochs; mixup has one right answer less, then two more."""

    def results(self, seeds: int, **changes) -> list[Result]:
        return [
            trained_for(recipe, epochs, seed, right, right + 2 * seed, **changes)
            for recipe, epochs, right in (("erm", 10, 6), ("erm", 40, 9), ("mixup", 10, 5), ("mixup", 40, 11))
            for seed in range(seeds)
        ]

    def test_points_are_means_and_differences_from_erm(self):
        (points,) = budget.points(self.results(3)).values()
        assert [(p.recipe, p.epochs, p.n_seeds) for p in points] == [
            ("erm", 10, 3), ("erm", 40, 3), ("mixup", 10, 3), ("mixup", 40, 3),
        ]  # fmt: skip
        assert [p.accuracy for p in points] == pytest.approx([7 / 15, 10 / 15, 6 / 15, 12 / 15])
        assert [p.difference for p in points] == [None, None, pytest.approx(-1 / 15), pytest.approx(2 / 15)]

    def test_half_widths_are_those_over_classes_and_seeds(self):
        (points,) = budget.points(self.results(3)).values()
        values = np.subtract(CLASSES["mixup"], CLASSES["erm"])  # two of four classes are better by 0.1
        over_classes = student.ppf(0.975, 3) * values.std(ddof=1) / 2
        assert points[-1].half_width > over_classes  # the spread of seeds, 1/15 each, is added

    def test_nothing_is_claimed_of_fewer_than_three_seeds(self):
        """Neither if both recipes have two seeds, nor if one of them has three."""
        three = [result for result in self.results(3) if result.model.recipe == "erm"]
        fewer = [*three, *(result for result in self.results(2) if result.model.recipe != "erm")]
        for results in (self.results(2), fewer):
            (points,) = budget.points(results).values()
            assert points[-1].difference is not None
            assert points[-1].half_width is None
            (bars,) = every_axes(plots.budgets(results))[1].containers
            assert not any(np.isfinite(bar).all() for bar in bars.lines[2][0].get_segments() if len(bar))

    @pytest.mark.parametrize(
        "other",
        [
            {"overrides": "epochs 6, label_noise 0.5"}, {"precision": "bf16"}, {"n_query": 14},
            {"split": "val"}, {"sampler": "other"}, {"preprocess": "none"}, {"fingerprint": "f" * 64},
        ],
        ids=lambda other: next(iter(other)),
    )  # fmt: skip
    def test_results_that_cannot_be_compared_share_no_point(self, other):
        """The number of epochs is also an override, but does not separate settings."""
        results = self.results(1, overrides="epochs 6")
        assert (
            len(
                budget.points(
                    [*results[:2], *(changed(result, overrides="epochs 7") for result in results[2:])]
                )
            )
            == 1
        )
        assert len(budget.points([*results, *self.results(1, **other)])) == 2

    def test_lines_and_bars_match_the_points(self):
        results = [*self.results(3), *self.results(3, per_class=20)]
        axes = every_axes(figure := plots.budgets(results))
        titles = [panel.get_title() for panel in axes[:2]]
        assert titles == ["20 images per base class", "all images per base class"]
        erm, mixup = axes[0].lines
        np.testing.assert_allclose(erm.get_xydata(), [(10, 700 / 15), (40, 1000 / 15)])
        np.testing.assert_allclose(mixup.get_xydata(), [(10, 600 / 15), (40, 1200 / 15)])
        (bars,) = axes[2].containers
        np.testing.assert_allclose(np.float64(bars.lines[0].get_xdata()), [10, 40], rtol=0.1)  # side by side
        np.testing.assert_allclose(np.float64(bars.lines[0].get_ydata()), [-100 / 15, 200 / 15])
        assert "training seeds: 3." in texts(figure)

    def test_captions_fit_into_the_page(self):
        figure = plots.budgets(self.results(3))
        figure.canvas.draw()
        right = [text.get_window_extent().x1 for part in figure.subfigs for text in part.texts]
        assert right
        assert max(right) <= figure.bbox.x1

    def test_one_budget_is_no_curve(self):
        with pytest.raises(FsbenchError, match="budget: no setting has results of several numbers of epochs"):
            plots.budgets([trained_for("erm", 10, 0, 6, 7)])

    def test_two_results_of_one_seed_are_refused(self):
        with pytest.raises(FsbenchError, match="several results of one training seed and budget"):
            plots.budgets([*self.results(1), *self.results(1)])

    def test_a_result_without_its_training_is_refused(self):
        with pytest.raises(FsbenchError, match="does not state how its backbone was trained"):
            plots.budgets([changed(result, epochs=None) for result in self.results(1)])


class TestRecipeByHead:
    def test_numbers_match_the_results(self):
        results = [
            made(7, 9, 11, recipe="erm", preset=None, run="a", checkpoint="a", head="ridge"),
            made(8, 9, 11, recipe="erm", preset=None, run="a", checkpoint="a", head="svm"),
            made(6, 9, 11, recipe="mixup", preset=None, run="b", checkpoint="b", head="svm"),
        ]
        (axes,) = every_axes(plots.recipe_by_head(results))
        tried = [("erm", "ridge (l2)"), ("erm", "svm (l2)"), ("mixup", "svm (l2)")]
        expected = {("mixup", "ridge (l2)"): "-"}
        for key, result in zip(tried, results, strict=True):
            mean, half = stats.mean_and_half_width(result.accuracies)
            expected[key] = f"{100 * mean:.2f} ± {100 * half:.2f}"
        assert cells(axes) == expected
        assert axes.get_title() == "5-way 1-shot accuracy, %"

    @pytest.mark.parametrize("steps", [(0, 0.1, 0.2, 0.3), (0, 20, 40, 60)])
    def test_numbers_are_easy_to_read_on_their_colours(self, steps):
        """A contrast of 4.5, the level AA of WCAG 2.1, for small and large differences."""
        recipes = [
            changed(made(7, 8, recipe=f"r{n}", run=f"r{n}", checkpoint=f"r{n}"), accuracy=0.4 + n / 100)
            for n in steps
        ]
        (axes,) = every_axes(plots.recipe_by_head(recipes))
        (image,) = axes.images
        for text in axes.texts:
            column, row = map(int, text.get_position())
            dark, light = sorted(
                luminance(colour)
                for colour in (to_rgb(text.get_color()), image.to_rgba(image.get_array()[row, column]))
            )
            assert (light + 0.05) / (dark + 0.05) > 4.5

    def test_two_networks_of_one_architecture_are_two_rows(self):
        about = {"recipe": None, "preset": None, "train_seed": None, "backbone": "timm:x"}
        networks = [made(7, 8 + n, run=f"run-{n}", checkpoint=f"{n}", **about) for n in range(2)]
        (axes,) = every_axes(plots.recipe_by_head(networks))
        assert {row for row, _ in cells(axes)} == {"run-0", "run-1"}

    def test_one_panel_per_protocol(self):
        assert len(every_axes(plots.recipe_by_head(sweep()))) == 4

    def test_training_seeds_share_a_row(self):
        runs = [
            made(6 + seed, 9, 11, train_seed=seed, run=f"s{seed}", checkpoint=f"s{seed}") for seed in range(3)
        ]
        (axes,) = every_axes(plots.recipe_by_head(runs))
        low, middle, high = (100 * run.outcome.accuracy for run in runs)
        assert list(cells(axes).values()) == [f"{middle:.2f}\n{low:.2f}-{high:.2f}"]

    def test_names_of_many_heads_do_not_run_into_each_other(self):
        heads = ["distribution-calibration", "nearest-mean", *(f"head-number-{n}" for n in range(10))]
        (axes,) = every_axes(figure := plots.recipe_by_head([made(7, 8, head=head) for head in heads]))
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {25}
        few = plots.recipe_by_head([made(7, 8, head=head) for head in heads[:3]])
        figure, (axes,) = few, every_axes(few)
        figure.canvas.draw()
        ends = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in pairwise(ends))

    def test_nothing(self):
        with pytest.raises(FsbenchError, match="recipe-head: there are no results"):
            plots.recipe_by_head([])


def domains(**changes) -> list[Result]:
    """A full matrix of two sources and two targets, with changes to all results."""
    return [
        made(
            6 + 2 * s, 7 + t, 8, source=source, source_fingerprint=source, dataset=target, fingerprint=target,
            run=source, checkpoint=source, task_digest=target, **changes,
        )
        for s, source in enumerate(("cifar-fs", "omniglot"))
        for t, target in enumerate(("cifar-fs", "omniglot"))
    ]  # fmt: skip


class TestCrossDomain:
    def test_numbers_match_the_results(self):
        (axes,) = every_axes(plots.cross_domain(results := domains()))
        shown = {"cifar-fs": "CIFAR-FS", "omniglot": "Omniglot"}
        for result in results:
            mean, half = stats.mean_and_half_width(result.accuracies)
            cell = shown[result.model.source], shown[result.data.dataset]
            assert cells(axes)[cell] == f"{100 * mean:.2f} ± {100 * half:.2f}"

    def test_one_source_has_a_row_per_recipe(self):
        one = domains()[:2]
        mixup = [changed(result, recipe="mixup", run="mixup", checkpoint="mixup") for result in one]
        (axes,) = every_axes(figure := plots.cross_domain([*one, *mixup]))
        assert cells(axes).keys() == {
            (recipe, images) for recipe in ("erm", "mixup") for images in ("CIFAR-FS", "CIFAR-FS → Omniglot")
        }
        assert "Trained on CIFAR-FS" in texts(figure)

    def test_seeds_share_a_cell(self):
        second = [
            made(*(n + 1 for n in result.outcome.correct), **about(result, train_seed=1))
            for result in domains()
        ]
        (axes,) = every_axes(figure := plots.cross_domain([*domains(), *second]))
        first = domains()[0].outcome.accuracy, second[0].outcome.accuracy
        low, high = (100 * end for end in sorted(first))
        assert axes.texts[0].get_text() == f"{(low + high) / 2:.2f}\n{low:.2f}-{high:.2f}"
        assert "lowest to highest seed" in texts(figure).replace("\n", " ")

    def test_one_pair_is_no_matrix(self):
        with pytest.raises(FsbenchError, match="need two pairs of source and target, have 1"):
            plots.cross_domain(domains()[:1])

    def test_two_results_for_a_cell_are_refused(self):
        with pytest.raises(FsbenchError, match="would share a cell; pass only one of them"):
            plots.cross_domain([*domains(), *domains(dropout=0.5)])


def about(result: Result, **changes) -> dict:
    names = ("source", "source_fingerprint", "dataset", "fingerprint", "run", "checkpoint", "task_digest")
    return {**{name: flatten(result)[name] for name in names}, **changes}


class TestSelection:
    def both(self) -> list[Result]:
        better = [made(*(n + 1 for n in r.outcome.correct), **about(r, head="logistic")) for r in domains()]
        return [*better, *domains()]

    @pytest.mark.parametrize(
        ("draw", "results"), [(plots.cross_domain, domains()), (plots.ways_and_shots, sweep())],
        ids=["cross-domain", "ways-shots"],
    )  # fmt: skip
    def test_one_head_is_drawn_nearest_mean_first_and_the_title_names_it(self, draw, results):
        others = [changed(result, head="logistic") for result in results]
        for shown, head, left_out in (
            (plots.Selection(), "nearest-mean", "logistic"),
            (plots.Selection(head=("logistic",)), "logistic", "nothing"),
        ):
            text = texts(draw([*others, *results], shown)).replace("\n", " ")
            assert f"head {head} (l2)" in text
            assert (f"Other heads, not drawn: {left_out} (fsbench plot --head)" in text) == (
                left_out == "logistic"
            )

    def test_the_head_that_most_configurations_have_comes_before_nearest_mean(self):
        kept, _ = selection.select(
            [made(7, 8), *(changed(r, head="logistic") for r in domains())], plots.Selection()
        )
        assert {result.head.name for result in kept} == {"logistic"}

    def test_several_selected_heads_are_all_drawn(self):
        kept, note = selection.select(self.both(), plots.Selection(head=("logistic", "nearest-mean")))
        assert (len(kept), note) == (8, "")

    def test_settings_make_another_head(self):
        """Selected by name, the head with default settings comes first; by name and settings, that one."""
        other = {"head_settings": {"k": 3}}
        both = [*(changed(result, **other) for result in domains()), *domains()]
        for head, settings, left_out in (
            ((), {}, "nearest-mean:k=3"),
            (("nearest-mean",), {}, "nearest-mean:k=3"),
            (("nearest-mean (l2)",), {}, ""),
            (("nearest-mean:k=3",), {"k": 3}, ""),
            (("nearest-mean (l2, k 3)",), {"k": 3}, ""),
        ):
            kept, note = selection.select(both, plots.Selection(head=head))
            assert [result.head.settings for result in kept] == [settings] * 4
            assert note == (f"Other heads, not drawn: {left_out} (fsbench plot --head). " if left_out else "")
        drawn = texts(plots.recipe_by_head(both))
        assert "nearest-mean (l2, k 3)" in drawn.replace("\n", " ")

    @pytest.mark.parametrize("n_heads", [3, 10])
    def test_numbers_stay_in_their_cells_whatever_the_number_and_length_of_heads(self, n_heads: int):
        settings = [{"a_long_setting": k} for k in range(n_heads)]
        results = [made(7, 8, 8, head_settings=each, recipe=r) for each in settings for r in ("erm", "mixup")]
        figure = plots.recipe_by_head(results)
        figure.draw_without_rendering()
        for axes in every_axes(figure):
            width, height = axes.transData.transform((1, 0)) - axes.transData.transform((0, 1))
            for text in axes.texts:
                extent = text.get_window_extent()
                assert (extent.width < width, extent.height < height) == (True, True)

    def test_of_equal_questions_the_one_with_most_tasks_is_drawn(self):
        fewer = [made(*r.outcome.correct[:2], **about(r)) for r in domains()]
        assert selection.select([*fewer, *domains()], plots.Selection())[0] == domains()

    def test_filters_keep_what_matches(self):
        results = [*domains(), *sweep()]
        for filters, count in (
            ({"dataset": ("omniglot",)}, 2),
            ({"n_shot": (5,)}, 2),
            ({"recipe": ("erm",)}, 8),
        ):
            assert len(selection.select(results, plots.Selection(**filters))[0]) == count

    def test_a_filter_without_a_match_names_what_there_is(self):
        with pytest.raises(FsbenchError, match=r"--dataset cub: .*; choose cifar-fs, omniglot"):
            plots.cross_domain(domains(), plots.Selection(dataset=("cub",)))

    def test_filters_without_effect_are_refused(self, trained):
        for kind, paths in (("training", [trained]), ("features", [])):
            with pytest.raises(FsbenchError, match=f"--head has no effect on plot {kind}"):
                plots.plot(kind, paths, plots.Selection(head=("svm",)))

    def test_a_figure_that_is_too_high_is_refused_with_the_filters_that_help(self):
        many = [
            changed(r, recipe=f"r{n}", run=f"r{n}", checkpoint=f"r{n}", image_size=20 + size)
            for n in range(9) for size in range(9) for r in sweep()
        ]  # fmt: skip
        with pytest.raises(FsbenchError, match=r"at most 40 inches of height .* --dataset, --recipe"):
            plots.recipe_by_head(many)


class TestLeaderboard:
    def results(self) -> list[Result]:
        values = {"class_values": (0.3, 0.4, 0.5, 0.6)}
        return [
            made(right, right + seed, n_shot=shot, train_seed=seed, recipe=recipe, run=f"{recipe}{seed}",
                 checkpoint=f"{recipe}{seed}", source="cifar-fs", dataset="cifar-fs", **values)
            for recipe, right in (("erm", 7), ("mixup", 9)) for seed in range(3) for shot in (1, 5)
        ]  # fmt: skip

    def test_dots_are_means_and_lines_are_intervals(self):
        one, five = every_axes(plots.leaderboard(self.results()))[:2]
        assert [axes.get_xlabel() for axes in (one, five)] == ["5-way 1-shot", "5-way 5-shot"]
        names = [label.get_text() for label in one.get_yticklabels()]
        assert names[:2] == ["mixup", "erm"]
        assert names[2:] == ["median of 3 published"]
        percents = [55.14, 69.3, 64.17]  # conv4 on CIFAR-FS in published.csv
        np.testing.assert_allclose(one.lines[-1].get_xdata(), [min(percents), 64.17, max(percents)])
        over_classes, over_tasks, seeds, mean = one.lines[:4]
        np.testing.assert_allclose(mean.get_xdata(), 950 / 15)
        np.testing.assert_allclose(sorted(seeds.get_xdata()), [900 / 15, 950 / 15, 1000 / 15])
        half = 100 * stats.mean_and_half_width([0.3, 0.4, 0.5, 0.6])[1]
        np.testing.assert_allclose(np.ptp(over_classes.get_xdata()), 2 * half)
        half = 100 * stats.mean_and_half_width([9 / 15, 10 / 15])[1]
        np.testing.assert_allclose(np.ptp(over_tasks.get_xdata()), 2 * half)

    def test_numbers_stand_beside_the_panels(self):
        figure = plots.leaderboard(self.results())
        figure.canvas.draw()
        for axes in every_axes(figure):
            assert {text.get_text() for text in axes.texts} >= {"63.3", "50.0"}
            assert all(text.get_window_extent().x0 >= axes.bbox.x1 for text in axes.texts)

    def test_published_numbers_are_numbers(self):
        rows = [row for quoted in published.quotations() for row in quoted.rows]
        for row in rows:
            assert all(0 < row.percent(protocol) < 100 for protocol in row.accuracies)

    def test_networks_that_fsbench_did_not_train_are_drawn_if_there_are_no_others(self):
        other = made(7, 8, recipe=None, preset=None, backbone="timm:other", run="other", checkpoint="other")
        assert "did not train" in texts(plots.leaderboard([*self.results(), other]))
        assert "timm:other" in texts(plots.leaderboard([other]))

    def test_nothing(self):
        with pytest.raises(FsbenchError, match="leaderboard: there are no results"):
            plots.leaderboard([])


class TestPretrained:
    def test_networks_that_fsbench_did_not_train_are_left_out_but_not_from_an_evaluation(self):
        about = {"recipe": None, "preset": None, "backbone": "timm:x", "run": "x", "checkpoint": "x"}
        both = [*sweep(), *(changed(result, **about) for result in sweep())]
        for draw in (plots.ways_and_shots, plots.task_accuracies):
            text = texts(draw(both)).replace("\n", " ")
            assert "Not drawn: networks that fsbench did not train" in text
            assert "timm:x" not in text
            assert "timm:x" in texts(draw(both, plots.Selection(recipe=("erm", "timm:x"))))
            assert every_axes(draw(both[4:]))
        assert "timm:x" in texts(plots.of_call(both))


class TestTaskAccuracies:
    def test_shares_are_counted(self):
        figure = plots.task_accuracies([made(3, 6, 6, 12)])
        (line,) = every_axes(figure)[0].lines
        np.testing.assert_allclose(line.get_xdata(), [20, 40, 80])
        np.testing.assert_allclose(line.get_ydata(), [25, 75, 100])
        assert every_axes(figure)[0].get_xlabel() == "5-way 1-shot accuracy of a task, %"

    def test_training_seeds_are_one_line_with_their_range(self):
        seeds = [made(3, 6, 6, 12), made(6, 6, 9, 12, train_seed=1, run="other", checkpoint="other")]
        axes = every_axes(plots.task_accuracies(seeds))[0]
        (line,) = axes.lines
        np.testing.assert_allclose(line.get_xdata(), [20, 40, 60, 80])
        np.testing.assert_allclose(line.get_ydata(), [12.5, 62.5, 75, 100])
        assert axes.collections[0].get_paths()[0].vertices[:, 1].min() == 0

    def test_the_legend_says_which_panel_a_mean_belongs_to(self):
        runs = [
            changed(r, recipe=name, run=name, checkpoint=name) for name in ("erm", "mixup") for r in sweep()
        ]
        means = [f"5w{r.spec.n_shot}s {100 * r.outcome.accuracy:.2f} ±" for r in sweep()[:2]]
        text = texts(plots.task_accuracies(runs))
        assert all(mean in text for mean in means)

    def test_nothing(self):
        with pytest.raises(FsbenchError, match="there are no results"):
            plots.task_accuracies([])


@pytest.fixture
def features() -> Features:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12, dtype=np.int32), 8)
    values = (rng.normal(size=(12, 5))[labels] + 0.1 * rng.normal(size=(96, 5))).astype(np.float32)
    names = tuple(f"class-{n}" for n in range(12))
    return Features(values, labels, names, Origin(dataset="mine", split="novel", run="r", synthetic=1))


class TestFeatures:
    def test_ten_classes_where_they_lie_together(self, features):
        (axes,) = every_axes(figure := plots.novel_features([features]))
        places = [np.asarray(points.get_offsets()) for points in axes.collections]
        assert [len(points) for points in places] == [8] * 10
        middles = np.array([points.mean(axis=0) for points in places])
        within = np.mean([np.linalg.norm(p - m, axis=1).mean() for p, m in zip(places, middles, strict=True)])
        assert within < 0.5 * np.linalg.norm(middles[:, None] - middles, axis=-1).mean()
        assert "features, mine (novel), 10 of 12 classes, synthetic images" in texts(figure)
        assert "drawn at random" in texts(figure)

    def test_a_legend_names_the_classes_of_all_panels(self, features):
        """A class has the same colour and marker in each panel."""
        figure = plots.novel_features([features, features])
        (part,) = figure.subfigs[1::2]
        (legend,) = part.legends
        names = [text.get_text() for text in legend.get_texts()]
        assert len(names) == 10
        assert set(names) < set(features.class_names)
        colours = [handle.get_markerfacecolor() for handle in legend.legend_handles]
        for axes in every_axes(figure):
            assert not axes.texts
            assert [to_hex(points.get_facecolor()[0]) for points in axes.collections] == [
                to_hex(colour) for colour in colours
            ]

    @pytest.mark.parametrize(
        ("method", "module", "package"),
        [("tsne", "sklearn.manifold", "scikit-learn"), ("umap", "umap", "umap-learn")],
    )
    def test_says_how_to_install_matplotlib(self, features, monkeypatch, method, module, package):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(FsbenchError, match=f"pip install {package}$"):
            plots.novel_features([features], method=method)

    def test_a_folder_is_refused(self, tmp_path):
        with pytest.raises(FsbenchError, match=r"is a folder; pass files of features, .* fsbench extract"):
            plots.plot("features", [tmp_path])


class TestTime:
    def test_curves_match_the_log_over_minutes(self, trained):
        (axes,) = every_axes(figure := plots.time_curves([trained]))
        log = pd.read_csv(trained / "log.csv")
        np.testing.assert_allclose(axes.lines[0].get_xdata(), [log.seconds.sum() / 60])
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [100 * log.val_accuracy[1]])
        assert axes.get_xlabel() == "minutes of training"
        assert "without validation" in texts(figure)

    def test_a_checkpoint_beside_its_log_is_a_run(self, trained, tmp_path: Path):
        for name, copy in (("best.safetensors", "one.safetensors"), ("log.csv", "one.csv")):
            shutil.copy(trained / name, tmp_path / copy)
        (axes,) = every_axes(plots.time_curves([tmp_path / "one.safetensors"]))
        assert len(axes.lines[0].get_xdata()) == 1

    @pytest.mark.parametrize("folders", [("a-noise0.5-s0", "a-noise0.5-s1"), ("one/run", "two/run")])
    def test_every_run_has_a_curve_and_a_name(self, trained, tmp_path: Path, folders):
        for folder in folders:
            shutil.copytree(trained, tmp_path / folder)
        (axes,) = every_axes(figure := plots.time_curves([tmp_path / folder for folder in folders]))
        assert len(axes.lines) == 2
        assert all(Path(folder).name in texts(figure) for folder in folders)

    def test_no_runs_are_refused(self):
        with pytest.raises(FsbenchError, match="time: there are no run folders"):
            plots.time_curves([])


class TestTraining:
    def test_curves_match_the_log(self, trained):
        accuracy, loss = every_axes(figure := plots.training_curves([trained]))
        log = pd.read_csv(trained / "log.csv")
        line = accuracy.lines[0]
        assert list(log.val_accuracy.notna()) == [False, True]  # only the last of two epochs is validated
        np.testing.assert_allclose(line.get_ydata(), 100 * log.val_accuracy[1:])
        np.testing.assert_allclose(line.get_xdata(), [2])
        np.testing.assert_allclose(loss.lines[0].get_xdata(), [1, 2])
        assert accuracy.get_xlabel() == loss.get_xlabel() == "epoch"
        top = accuracy.collections[0].get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx(100 * (log.val_accuracy + log.val_half_width).max())
        np.testing.assert_allclose(loss.lines[0].get_ydata(), log.loss_class)
        assert [text.get_text() for text in loss.texts] == ["class"]
        assert "Training on tiny" in texts(figure)

    def test_a_stage_begins_at_a_dotted_line(self, trained, tmp_path):
        (tmp_path / "last.safetensors").write_bytes((trained / "last.safetensors").read_bytes())
        rows = ["a,1,4,,10,12", "a,2,3,,10,12", "b,3,,2,10,12"]
        (tmp_path / "log.csv").write_text(
            "\n".join(["stage,epoch,loss_class,loss_mixed,seconds,images_per_second", *rows]) + "\n"
        )
        _, loss = every_axes(plots.training_curves([tmp_path]))
        assert [list(line.get_xdata()) for line in loss.lines if line.get_linestyle() == ":"] == [[2, 2]]
        assert {text.get_text() for text in loss.texts} == {"class", "mixed"}

    def test_training_seeds_are_one_line_with_their_range(self, trained, tmp_path):
        """A folder of checkpoints stands for all of those that have a log beside them."""
        tensors, about = checkpoint.read(trained / "last.safetensors")
        provenance = checkpoint.as_provenance(about)
        for seed in range(2):
            other = replace(provenance, train_seed=seed, run=f"s{seed}")
            checkpoint.write(tmp_path / f"s{seed}.safetensors", tensors, other)
            (tmp_path / f"s{seed}.csv").write_text(
                "stage,epoch,seconds,images_per_second,loss_class,val_accuracy,val_half_width\n"
                f"a,1,60,9,4,0.2,0.1\na,2,60,9,{3 + seed},0.{3 + seed},0.1\n"
            )
        accuracy, loss = every_axes(figure := plots.plot("training", [tmp_path]))
        (line,) = accuracy.lines
        np.testing.assert_allclose(line.get_ydata(), [20, 35])
        band = accuracy.collections[0].get_paths()[0].vertices[:, 1]
        assert (band.min(), band.max()) == pytest.approx((20, 40))
        np.testing.assert_allclose(loss.lines[0].get_ydata(), [4, 3.5])
        assert "means over 2 training seeds" in texts(figure).replace("\n", " ")

    HEADER = "stage,epoch,seconds,images_per_second,"

    def test_minutes_and_stages_are_those_of_the_fastest_seed(self, trained, tmp_path):
        """The other seed was trained on a busy machine."""
        tensors, about = checkpoint.read(trained / "last.safetensors")
        for seed, seconds in enumerate((600, 60)):
            other = replace(checkpoint.as_provenance(about), train_seed=seed, run=f"s{seed}")
            checkpoint.write(tmp_path / f"s{seed}.safetensors", tensors, other)
            (tmp_path / f"s{seed}.csv").write_text(
                f"{self.HEADER}val_accuracy,val_half_width\n"
                f"a,1,{seconds},9,0.2,0.1\nb,2,{seconds},9,0.3,0.1\n"
            )
        (axes,) = every_axes(figure := plots.plot("time", [tmp_path]))
        line, stage = axes.lines
        np.testing.assert_allclose(line.get_xdata(), [1, 2])
        np.testing.assert_allclose(stage.get_xdata(), [1, 1])
        assert "of the seed that took the least time" in texts(figure).replace("\n", " ")

    def test_logs_without_half_widths_or_without_values_of_a_loss_are_drawn(self, trained, tmp_path):
        (tmp_path / "last.safetensors").write_bytes((trained / "last.safetensors").read_bytes())
        rows = ["a,1,10,12,0.2,4,", "a,2,10,12,0.3,3,"]
        (tmp_path / "log.csv").write_text(
            "\n".join([f"{self.HEADER}val_accuracy,loss_class,loss_mixed", *rows]) + "\n"
        )
        accuracy, loss = every_axes(figure := plots.training_curves([tmp_path]))
        np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [20, 30])
        assert [text.get_text() for text in loss.texts] == ["class"]
        assert "Bands" not in texts(figure)

    @pytest.mark.parametrize("kind", ["training", "time"])
    def test_paths_without_a_training_are_refused(self, tmp_path, kind):
        for path in (tmp_path, tmp_path / "result.json"):
            with pytest.raises(FsbenchError, match=f"{kind}: .* holds no training; pass a run folder"):
                plots.plot(kind, [path])

    def test_filters(self, trained):
        assert every_axes(plots.plot("training", [trained], plots.Selection(dataset=("tiny",))))
        with pytest.raises(FsbenchError, match=r"--recipe mixup: .*; choose erm"):
            plots.plot("time", [trained], plots.Selection(recipe=("mixup",)))

    def test_no_log(self, trained, tmp_path):
        (tmp_path / "last.safetensors").write_bytes((trained / "last.safetensors").read_bytes())
        with pytest.raises(FsbenchError, match=r"cannot read .*log\.csv"):
            plots.training_curves([tmp_path])
        (tmp_path / "log.csv").write_text("a,b\n1,2\n")
        with pytest.raises(FsbenchError, match="not the log of a run"):
            plots.training_curves([tmp_path])


class TestFiles:
    def test_equal_figures_are_equal_files(self, tmp_path):
        jpeg = b"\xff\xd8\xff"
        for suffix, begin in {
            "svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "jpg": jpeg, "jpeg": jpeg
        }.items():  # fmt: skip
            first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
            for path in (first, second):
                plots.save(plots.task_accuracies([made(3, 6, 12)]), path)
            assert first.read_bytes() == second.read_bytes()
            assert first.read_bytes().startswith(begin)
        assert not re.search(rb"<dc:date>", (tmp_path / "a.svg").read_bytes())

    def test_another_suffix(self, tmp_path):
        with pytest.raises(FsbenchError, match=r"must end in \.png, .*\.jpg or \.jpeg, but ends in \.gif"):
            plots.save(plots.task_accuracies([made(3, 6)]), tmp_path / "a.gif")
        assert not list(tmp_path.iterdir())


class TestKinds:
    def test_folders_and_files(self, tmp_path):
        paths = [result_files.write(tmp_path, result) for result in sweep()]
        from_folder, from_files = (
            plots.plot("ways-shots", [tmp_path]),
            plots.plot("ways-shots", [*paths, paths[0]]),
        )
        assert texts(from_folder) == texts(from_files)

    def test_a_results_folder_stands_for_its_budgets(self, tmp_path):
        for epochs in (10, 40):
            result_files.write(tmp_path / "budget", trained_for("erm", epochs, 0, 6, 7, run=f"e{epochs}"))
        assert every_axes(plots.plot("budget", [tmp_path]))

    def test_titles_keep_away_from_the_edge_and_the_panels(self, tmp_path):
        figure = plots.recipe_by_head([made(3, 6, 12)])  # the lowest section
        plots.save(figure, tmp_path / "a.png")
        title = figure.subfigs[1]._suptitle.get_window_extent()
        assert title.y1 < figure.bbox.y1 - 0.08 * figure.dpi
        assert all(axes.get_tightbbox().y1 <= title.y0 for axes in every_axes(figure))

    def test_the_results_of_this_project_are_drawn(self):
        """Every kind of results takes the whole folder, without a filter."""
        kinds = list(plots.OF_RESULTS)
        results = [result_files.read(path) for path in result_files.paths(RESULTS)]
        for kind in kinds:
            if kind != "budget":
                assert every_axes(plots.OF_RESULTS[kind](results, plots.Selection()))
        assert every_axes(plots.plot("budget", [RESULTS]))

    def test_unknown(self):
        with pytest.raises(FsbenchError, match="did you mean 'ways-shots'"):
            plots.plot("ways-shot", [])

    def test_an_evaluation_selects_its_plot(self):
        heads = [made(7, 8), made(8, 9, head="svm")]
        for results, right in (
            (domains(), plots.cross_domain),
            (sweep(), plots.ways_and_shots),
            (heads, plots.recipe_by_head),
            ([*sweep(), *(changed(r, head="svm") for r in sweep())], plots.recipe_by_head),
            (heads[:1], plots.task_accuracies),
        ):
            assert texts(plots.of_call(results)) == texts(right(results))
