import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fsbench._util.content import content_folder
from fsbench._util.errors import FsbenchError
from fsbench.data.augment import Augment
from fsbench.evaluation.result_files import read
from fsbench.models.backbones import build
from fsbench.models.classifiers import CosineClassifier, Network
from fsbench.training import fast
from fsbench.training.optim import Optimiser
from fsbench.training.overrides import resolve
from fsbench.training.recipe import Recipe, Stage, _presets, load_recipe, recipe_names
from fsbench.training.run import TrainingSpec


@pytest.mark.parametrize("name", recipe_names())
class TestEveryRecipe:
    def test_is_named_as_its_file_and_its_presets(self, name):
        path = content_folder("baselines") / f"{name.replace('-', '_')}.py"
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert "arXiv:" in text
        assert f"fsbench train-backbone {name}" in text
        assert load_recipe(str(path)).name == name

    def test_every_step_reaches_every_parameter(self, name):
        """This includes parameters before a mixing point of manifold mixup."""
        for recipe in presets(name):
            for stage in recipe.stages:
                network = _network(recipe)
                terms = stage.step(network, *_batch(stage), np.random.default_rng(0))
                sum(terms.values()).backward()
                assert all(term.ndim == 0 for term in terms.values())
                missing = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
                if (name, recipe.settings_for, stage.name) == ("s2m2-r", "cifar-fs", "manifold"):
                    missing -= {"extra_heads.rotation.weight", "extra_heads.rotation.bias"}
                assert missing == set(), (recipe.preset, stage.name)

    def test_a_step_depends_only_on_its_rng(self, name):
        for recipe in presets(name):
            for stage in recipe.stages:
                first, second = (
                    stage.step(_network(recipe), *_batch(stage), np.random.default_rng(3)) for _ in range(2)
                )
                assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}

    def test_presets_name_themselves(self, name):
        by_preset, variants = _presets(content_folder("baselines") / f"{name.replace('-', '_')}.py")
        for preset, recipe in by_preset.items():
            assert {(each.name, each.preset) for each in (recipe, *variants.get(preset, {}).values())} == {
                (name, preset)
            }


@pytest.mark.parametrize("name", recipe_names())
def test_the_accuracies_in_its_header_match_the_committed_results(name):
    text = (content_folder("baselines") / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    results = Path(__file__).parents[2] / "results" / "cifar-fs"
    measured = []
    for shots in ("5w1s15q", "5w5s15q"):
        for path in results.glob(
            f"{name}-fast-conv4-cifar-fs-32px-40ep-*-s0-*/{shots}-nearest-mean-l2-*.json"
        ):
            outcome = read(path).outcome
            measured.append(f"{100 * outcome.accuracy:.2f} ± {100 * outcome.half_width:.2f} %")
    assert re.findall(r"\d+\.\d+ ± \d+\.\d+ %", text) == measured
    assert ("Not measured yet." in text) == (not measured)


def presets(name: str) -> list[Recipe]:
    """All presets of a recipe, and their variants for single data sets."""
    by_preset, variants = _presets(content_folder("baselines") / f"{name.replace('-', '_')}.py")
    return [*by_preset.values(), *(recipe for group in variants.values() for recipe in group.values())]


def _batch(stage: Stage) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(8 * stage.views, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(8) % 4


def _network(recipe) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(
            build("conv4", 16, seed=0), 4, recipe.classifier, recipe.scale, recipe.auxiliary_classifiers
        )


def test_names_may_be_written_either_way():
    first, second = load_recipe("s2m2-r"), load_recipe("s2m2_r")
    assert first.settings() == second.settings()


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("emr", None, "unknown recipe 'emr'; did you mean 'erm'"),
        (
            "ProtoNet",
            None,
            "recipe ProtoNet: episodic training is not included; the classifier of ProtoNet is --head "
            "nearest-mean; see docs/faq.md",
        ),
        ("relation-net", None, "recipe relation-net: episodic training is not included; see docs/faq.md"),
        ("erm", "cosin", "recipe 'erm' has no preset 'cosin'; did you mean 'cosine'"),
        ("./absent.py", None, "file does not exist"),
    ],
)
def test_unknown_recipes_are_named(name, preset, message):
    with pytest.raises(FsbenchError, match=message):
        load_recipe(name, preset)


MINIMAL = """
from fsbench.training import Recipe, Stage
stage = Stage("one", lambda network, images, labels, rng: {}, epochs=1)
PRESETS = {"a": Recipe("mine", "a", "", (stage,), 2, auxiliary_classifiers={"rotation": 4})}
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("x =", "SyntaxError"),
        ("", "PRESETS must map"),
        ("PRESETS = {'a': 1}", "PRESETS must map"),
        (f"{MINIMAL}\nVARIANTS = 3", "VARIANTS must map names of PRESETS to data sets to"),
        (f"{MINIMAL}\nVARIANTS = {{'b': {{}}}}", "VARIANTS must map names of PRESETS to data sets to"),
        (f"{MINIMAL}\nVARIANTS = {{'a': {{'cub': 3}}}}", "VARIANTS must map names of PRESETS"),
        (
            MINIMAL.replace("epochs=1", "epochs=1, fresh_classifiers=('rotatoin',)"),
            "stage 'one' has no fresh classifier 'rotatoin'; did you mean 'rotation'",
        ),
    ],
)
def test_a_broken_recipe_file_gives_one_line(tmp_path: Path, code, message):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(FsbenchError, match=message):
        load_recipe(str(tmp_path / "mine.py"))


def test_a_file_of_the_user_is_a_recipe(tmp_path: Path):
    shipped = (content_folder("baselines") / "erm.py").read_text()
    (tmp_path / "mine.py").write_text(shipped.replace('name="erm"', 'name="mine"'))
    assert load_recipe(str(tmp_path / "mine.py")).name == "mine"


def test_a_variant_replaces_the_preset_on_its_data_set(tmp_path: Path):
    """A store of one size, NAME@SIZE, is that data set, too."""
    code = f"""{MINIMAL}
from dataclasses import replace
VARIANTS = {{"a": {{"cub": replace(PRESETS["a"], batch_size=3)}}}}
"""
    (tmp_path / "mine.py").write_text(code)
    names = (None, "cub", "cub@84", "tiny")
    recipes = [load_recipe(str(tmp_path / "mine.py"), dataset=dataset) for dataset in names]
    assert [recipe.batch_size for recipe in recipes] == [2, 3, 3, 2]


class TestOfficialCode:
    """Settings of the published code, read in its repositories."""

    @pytest.mark.parametrize(
        ("dataset", "rotation", "s2m2", "outputs", "dropout", "settings_for"),
        [
            (None, 400, (400, 100), 200, 0.5, "mini-imagenet"),
            ("mini-imagenet", 400, (400, 100), 200, 0.5, "mini-imagenet"),
            ("glyphs", 400, (400, 100), 200, 0.5, "mini-imagenet"),
            ("cub", 200, (200, 100), 200, 0.5, "cub"),
            ("tiered-imagenet", 100, (100, 50), 200, 0.5, "tiered-imagenet"),
            ("cifar-fs", 400, (400, 100), 64, 0.9, "cifar-fs"),
            ("fc100", 400, (400, 100), 64, 0.9, "cifar-fs"),
        ],
    )
    def test_of_s2m2_depends_on_the_data_set(self, dataset, rotation, s2m2, outputs, dropout, settings_for):
        for name, epochs in (("rotation", (rotation,)), ("s2m2-r", s2m2)):
            recipe = load_recipe(name, "official-code", dataset)
            assert tuple(stage.epochs for stage in recipe.stages) == epochs
            assert (recipe.classifier_width, recipe.settings_for) == (outputs, settings_for)
            assert recipe.dropout == {"wrn28-10": dropout}
            assert (recipe.batch_size, recipe.optimiser, recipe.augment) == (64, Optimiser(), Augment())

    def test_of_s2m2_rotates_in_the_second_stage_except_on_cifar_fs(self):
        terms = {}
        for dataset in ("cub", "cifar-fs"):
            recipe = load_recipe("s2m2-r", "official-code", dataset)
            stage = recipe.stages[1]
            terms[dataset] = stage.step(_network(recipe), *_batch(stage), np.random.default_rng(0))
        assert set(terms["cub"]) == {"mixed", "class", "rotation"}
        assert set(terms["cifar-fs"]) == {"mixed"}
        assert terms["cub"]["mixed"] == terms["cifar-fs"]["mixed"]

    def test_of_mixup(self):
        recipe = load_recipe("mixup", "official-code", "cifar-fs")
        assert recipe.optimiser == Optimiser(
            "sgd", learning_rate=0.1, weight_decay=1e-4, momentum=0.9, milestones=(0.505, 0.755)
        )
        assert recipe.augment == Augment(scale=None, flip=0.5, jitter=0.0, padding=4)
        assert (recipe.batch_size, recipe.epochs, recipe.classifier) == (128, 200, "linear")

    def test_of_manifold_mixup(self):
        recipe = load_recipe("manifold-mixup", "official-code", "cifar-fs")
        assert recipe.optimiser == Optimiser(
            "sgd", learning_rate=0.1, weight_decay=1e-4, momentum=0.9, nesterov=True, milestones=(0.5, 0.75)
        )
        assert recipe.augment == Augment(scale=None, flip=0.5, jitter=0.0, padding=2)
        assert (recipe.batch_size, recipe.epochs, recipe.classifier) == (100, 400, "linear")
        assert recipe.dropout == {"wrn28-10": 0.0}

    @pytest.mark.parametrize(
        ("name", "cuts"), [("mixup", {101: 0.01, 151: 0.001}), ("manifold-mixup", {200: 0.01, 300: 0.001})]
    )
    @pytest.mark.parametrize("steps", [1, 300, 384])
    def test_cuts_the_rate_exactly_after_whole_epochs(self, name, cuts, steps):
        """The loop asks for the rate in the middle of each step; keys are finished epochs."""
        recipe = load_recipe(name, "official-code")
        rate, changes = 0.1, {}
        for step in range(recipe.epochs * steps):
            now = recipe.optimiser.rate((step // steps + (step % steps + 0.5) / steps) / recipe.epochs)
            if now != rate:
                changes[step / steps] = round(now, 9)
            rate = now
        assert changes == cuts


def test_settings_of_new_versions_are_stored_only_where_they_change_something():
    """Checkpoints of older versions have none of them, and their runs must still be recognised."""
    old, new = load_recipe("s2m2-r", "paper").settings(), load_recipe("mixup", "official-code").settings()
    assert not {"settings_for", "code"} & old.keys()
    assert [stage["fresh_heads"] for stage in old["stages"]] == [False, False]
    assert "padding" not in old["augment"]
    assert new["augment"]["padding"] == 4
    stored = load_recipe("s2m2-r", "official-code", "cub").settings()
    assert [stage["fresh_heads"] for stage in stored["stages"]] == [False, ("rotation",)]
    assert (stored["settings_for"], stored["dropout"]) == ("cub", {"wrn28-10": 0.5})


def test_overrides_replace_numbers_and_are_named():
    recipe = resolve(
        load_recipe("erm"), epochs=[3], batch_size=32, learning_rate=0.1, dropout=0.2, augment=False
    )
    assert (recipe.epochs, recipe.batch_size, recipe.optimiser.learning_rate) == (3, 32, 0.1)
    assert recipe.overrides == (
        "epochs 3",
        "batch_size 32",
        "learning_rate 0.1",
        "dropout 0.2",
        "augment off",
    )
    assert resolve(load_recipe("erm")).settings() == load_recipe("erm").settings()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"epochs": [1, 2]}, "one number, or one for each stage of erm .class., but has 2"),
        ({"patience": 2}, "--patience has no effect: no stage of recipe 'erm' uses early stopping"),
        ({"epochs": [0]}, "epochs must be at least 1, but is 0"),
        ({"batch_size": 1}, "batch_size must be at least 2, but is 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, but is nan"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), but is 1.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), but is -0.1"),
    ],
)
def test_numbers_out_of_range_are_refused(override, message):
    with pytest.raises(FsbenchError, match=message):
        resolve(load_recipe("erm"), **override)


@pytest.mark.parametrize(("epochs", "shared"), [(500, (400, 100)), (6, (5, 1)), (3, (2, 1)), (2, (1, 1))])
def test_one_number_of_epochs_is_shared_among_stages(epochs, shared):
    recipe = resolve(load_recipe("s2m2-r", "paper"), epochs=[epochs])
    assert tuple(stage.epochs for stage in recipe.stages) == shared
    assert recipe.overrides == (f"epochs {shared[0]} + {shared[1]}",)


@pytest.mark.parametrize(("epochs", "shared"), [(40, (10, 30)), (4, (1, 3)), (3, (1, 2)), (2, (1, 1))])
def test_every_stage_gets_an_epoch(epochs, shared):
    recipe = resolve(load_recipe("s2m2-r", "fast"), epochs=[epochs])
    assert tuple(stage.epochs for stage in recipe.stages) == shared


def test_fewer_epochs_than_stages_are_refused():
    with pytest.raises(FsbenchError, match=r"--epochs must be at least 2 for s2m2-r, .* but is 1"):
        resolve(load_recipe("s2m2-r"), epochs=[1])


def test_patience_is_given_to_the_stages_that_have_one():
    recipe = resolve(load_recipe("s2m2-r", "paper"), epochs=[2, 9], patience=3)
    assert [(stage.epochs, stage.patience) for stage in recipe.stages] == [(2, None), (9, 3)]
    with pytest.raises(FsbenchError, match="patience must be at least 1, but is 0"):
        resolve(load_recipe("s2m2-r", "paper"), patience=0)


def test_probabilities_of_dropout_by_backbone_are_checked_and_replaced():
    recipe = load_recipe("rotation", "official-code", "cifar-fs")
    assert resolve(recipe, dropout=0.2).dropout == 0.2
    with pytest.raises(FsbenchError, match=r"dropout must be in \[0, 1\), but is {'wrn28-10': 1.5}"):
        resolve(replace(recipe, dropout={"wrn28-10": 1.5}))


def test_the_recipe_is_shown_whole():
    """One setting per line, with all its values."""
    assert resolve(load_recipe("s2m2-r", "paper"), epochs=[4, 2], batch_size=32).text() == SHOWN


SHOWN = """\
name          s2m2-r
preset        paper
paper         arXiv:1907.12087
stages        self-supervised: epochs 4, rate_factor 1, views 1; \
manifold: epochs 2, rate_factor 1, views 1, patience 1
batch_size    32
optimiser     adam: learning_rate 0.001, momentum 0.9, cut 0.1
classifier    cosine
augment       scale (0.08, 1), ratio (0.75, 1.33333), flip 0.5, jitter 0.4
auxiliary_classifiers rotation 4
overrides     epochs 4 + 2; batch_size 32"""


def test_a_variant_is_shown_with_its_data_set():
    lines = load_recipe("s2m2-r", "official-code", "fc100").text().splitlines()
    assert "dropout       wrn28-10 0.9" in lines
    assert "settings_for  cifar-fs" in lines
    assert "dropout       wrn28-10 0" in load_recipe("mixup", "official-code").text().splitlines()


def test_settings_that_are_switched_off_are_not_shown():
    lines = resolve(load_recipe("erm"), augment=False).text().splitlines()
    assert "augment       off" in lines
    assert not any(line.startswith(("auxiliary_classifiers", "dropout", "label_noise")) for line in lines)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"epochs": "1"}, r"epochs must be .*, but is '1' of type str"),
        ({"epochs": 1.5}, r"epochs must be .*, but is 1.5 of type float"),
        ({"batch_size": "64"}, r"batch_size must be int \| None, but is '64' of type str"),
        ({"learning_rate": "0.1"}, r"learning_rate must be float \| None, but is '0.1' of type str"),
    ],
)
def test_overrides_of_other_types_are_refused(override, message):
    with pytest.raises(FsbenchError, match=message):
        resolve(load_recipe("erm"), **override)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": "x"}, r"per_class must be int \| None, but is 'x' of type str"),
        ({"image_size": "32"}, r"image_size must be int \| None, but is '32' of type str"),
        ({"seed": "a"}, "seed must be int, but is 'a' of type str"),
        ({"seed": -1}, "seed must be at least 0, but is -1"),
    ],
)
def test_trainings_of_other_types_are_refused(options, message):
    with pytest.raises(FsbenchError, match=message):
        TrainingSpec("tiny", **options)


def test_a_rate_rises_to_the_warm_up_and_falls_along_a_cosine():
    """After the warm-up of a fifth, half of the rest is 0.6, where a cosine is at half its height."""
    optimiser = Optimiser("sgd", learning_rate=0.4, warm_up=0.2, cosine=True)
    rates = [optimiser.rate(progress) for progress in (0, 0.1, 0.2, 0.4, 0.6, 1)]
    assert rates == pytest.approx([0, 0.2, 0.4, 0.2 * (1 + 0.5**0.5), 0.2, 0])


def test_nesterov_reaches_the_optimiser():
    (group,) = Optimiser("sgd", nesterov=True).build([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (group["nesterov"], group["momentum"]) == (True, 0.9)


@pytest.mark.parametrize("name", recipe_names())
def test_the_first_preset_is_fast(name: str):
    recipe = load_recipe(name)
    assert recipe.preset == "fast"
    assert (recipe.optimiser, recipe.batch_size) == (fast.OPTIMISER, fast.BATCH_SIZE)
    assert recipe.epochs == fast.EPOCHS


def test_cosine_classifier_equals_weight_normalised_linear():
    """The authors' layer is torch's weight norm of a linear layer without bias."""
    torch.manual_seed(0)
    ours = CosineClassifier(7, 3)
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(7, 3, bias=False))
    theirs.parametrizations.weight.original0.data = ours.norm.detach().clone()
    theirs.parametrizations.weight.original1.data = ours.direction.detach().clone()
    features = torch.randn(5, 7)
    expected = 2 * theirs(features / (features.norm(dim=1, keepdim=True) + 1e-5))
    torch.testing.assert_close(ours(features), expected)


def test_scale_of_the_cosine_classifier_follows_the_number_of_classes():
    assert CosineClassifier(4, 200).scale == 2
    assert CosineClassifier(4, 201).scale == 10
    assert CosineClassifier(4, 201, 30).scale == 30


def test_milestones_cut_the_rate():
    optimiser = Optimiser("sgd", learning_rate=0.1, milestones=(0.5, 0.75))
    assert [round(optimiser.rate(p), 6) for p in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [
        0.1,
        0.1,
        0.01,
        0.01,
        1e-3,
        1e-3,
    ]


def test_unknown_optimiser_and_classifier_are_named():
    with pytest.raises(FsbenchError, match="unknown optimiser 'sdg'; did you mean 'sgd'"):
        Optimiser("sdg").build([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(FsbenchError, match="unknown classifier 'cosin'; did you mean 'cosine'"):
        Network(build("conv4", 16), 4, "cosin", None, {})


def test_the_log_of_the_search_has_a_row_for_every_trial():
    """The search uses val classes only."""
    folder = Path(__file__).parents[2] / "results" / "tuning"
    log = pd.read_csv(folder / "trials.csv")
    assert set(log["trial"]) == set(_presets(folder / "trials.py")[0])
    assert [name for name in log if "%" in name] == ["val 1-shot %", "val 5-shot %"]
