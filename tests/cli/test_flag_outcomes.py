"""The effect of flags on results, checkpoints and other files. test_flags.py names these tests."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fsbench.cli import _quickstart, main
from fsbench.data.augment import eval_transform
from fsbench.data.label_noise import add_label_noise
from fsbench.data.loading import load
from fsbench.data.preparation import prepare
from fsbench.diagnose import run as diagnose
from fsbench.features import extract, store
from fsbench.features.store import Features, Origin
from fsbench.models import checkpoint
from fsbench.models.classifiers import Network
from fsbench.tasks import pinned, sampler
from fsbench.tasks.spec import TaskSpec
from fsbench.training import loop as training
from fsbench.training.precision import ComputeSettings
from fsbench.training.run import Run

NAMES = tuple(f"c{number}" for number in range(8))
LABELS = np.repeat(np.arange(8, dtype=np.int32), 12)
SPEC = TaskSpec(n_way=5, n_shot=2, n_query=3, n_tasks=20)
Say = Callable[[str], str]
HEAD = """
import torch

def head(support, query, balanced: bool = True, k: int = 0):
    return -torch.cdist(query, support.mean(dim=2)).roll(k + (not balanced), -1)
"""


def clusters(seed: int) -> Features:
    """Features of eight classes that overlap and lie off the origin."""
    rng = np.random.default_rng(seed)
    values = 1 + rng.normal(size=(8, 6))[LABELS] + rng.normal(size=(len(LABELS), 6))
    return Features(values.astype(np.float32), LABELS, NAMES, Origin(dataset="mine", split="novel"))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command in a temporary folder and return its output, or its error if `code` is not 0."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(line.split()) == code, capsys.readouterr().err
        output = capsys.readouterr()
        return output.err if code else output.out

    return run


@pytest.fixture
def best(trained: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose images are in the default cache."""
    monkeypatch.setenv("FSBENCH_CACHE", str(cache))
    return trained / "best.safetensors"


@pytest.fixture
def other(best: Path, cache: Path, tiny_folder: Path) -> str:
    """The name of a data set with the images of tiny."""
    prepare("other", tiny_folder, cache=cache, quiet=True)
    return "other"


class TestEvaluation:
    """`fsbench evaluate`, and commands that use its results."""

    LINE = "evaluate mine.h5 --n-shot 2 --n-query 3 --n-tasks 20 --head nearest-mean --quiet --json "

    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> Path:
        store.write(tmp_path / "mine.h5", clusters(0))
        return tmp_path / "mine.h5"

    @pytest.mark.parametrize(
        ("flags", "changes"),
        [
            ("--n-way 3", {"n_way": 3}),
            ("--n-shot 3", {"n_shot": 3}),
            ("--n-query 4", {"n_query": 4}),
            ("--n-query all", {"n_query": None}),
            ("--n-tasks 30", {"n_tasks": 30}),
            ("--seed 7", {"seed": 7}),
            ("--query-alpha 0.5", {"query_alpha": 0.5}),
            ("--least-shot 1", {"least_shot": 1}),
            ("--classes c1 c2 c3 c5 c7", {"classes": ("c1", "c2", "c3", "c5", "c7")}),
            ("--disjoint --n-way 4", {"disjoint": True, "n_way": 4}),
        ],
    )
    def test_task_settings_are_in_the_result_and_its_tasks(self, say: Say, flags, changes):
        (result,) = json.loads(say(self.LINE + flags))
        spec = replace(SPEC, **changes)
        spec = replace(spec, n_tasks=sampler.count(LABELS, spec, NAMES))
        assert {name: result[name] for name in vars(spec)} == {**vars(spec), "classes": list(spec.classes)}
        assert result["task_digest"] == sampler.digest(LABELS, spec, NAMES) != sampler.digest(LABELS, SPEC)
        assert len(result["correct"]) == spec.n_tasks

    def test_method_and_images_are_in_the_result(self, say: Say, best: Path, cache: Path, other: str):
        default, ridge, plain = (
            json.loads(say(self.LINE + flags))[0] for flags in ("", "--head ridge", "--preprocess none")
        )
        assert [(r["head"], r["preprocess"]) for r in (default, ridge, plain)] == [
            ("nearest-mean", "l2"), ("ridge", "l2"), ("nearest-mean", "none"),
        ]  # fmt: skip
        assert len({tuple(result["correct"]) for result in (default, ridge, plain)}) == 3
        line = self.LINE.replace("mine.h5", str(best))
        for flags, dataset, split in (("--split val", "tiny", "val"), ("--dataset other", other, "novel")):
            (result,) = json.loads(say(line + flags))
            images = load(dataset, split, cache)
            assert (result["dataset"], result["split"]) == (dataset, split)
            assert result["fingerprint"] == images.fingerprint
            assert result["task_digest"] == sampler.digest(images.labels, SPEC)

    def test_settings_of_a_head_are_in_the_result(self, say: Say):
        Path("mine.py").write_text(HEAD, encoding="utf-8")
        heads = "--head ./mine.py:head ./mine.py:head:k=1e0 nearest-mean --query-alpha 2"
        results = json.loads(say(self.LINE + heads))
        assert [(result["head"], result["head_settings"]) for result in results] == [
            ("./mine.py:head", {"balanced": False}),
            ("./mine.py:head", {"balanced": False, "k": 1}),
            ("nearest-mean", {}),
        ]
        assert len({tuple(result["correct"]) for result in results}) == 3
        table = say(self.LINE.replace("--json", heads)).splitlines()
        said = "./mine.py:head: settings for imbalanced queries (balanced=false), since the queries of the"
        assert [line for line in table if "since" in line] == [f"{said} tasks are imbalanced"]
        assert sum("./mine.py:head (none, balanced false, k 1)" in line for line in table) == 1
        named = say(self.LINE.replace("--json", "--head=./mine.py:head:balanced=true --query-alpha 2"))
        assert "balanced" not in named
        assert "head ./mine.py:head has no setting 'l'" in say(f"{self.LINE}--head ./mine.py:head:l=1", 2)

    def test_a_file_of_flags_may_give_settings(self, say: Say):
        Path("flags.toml").write_text('[evaluate]\nhead = ["cosine-sgd:epochs=2"]\n', encoding="utf-8")
        (result,) = json.loads(say(self.LINE.replace("--head nearest-mean", "--config flags.toml")))
        assert (result["head"], result["head_settings"]) == ("cosine-sgd", {"epochs": 2})

    def test_pinned_lists_are_evaluated(self, say: Say, tmp_path: Path):
        spec = TaskSpec(3, 1, 4, 25, seed=4)
        pinned.write_task_list(tmp_path / "mine.toml", pinned.pin("mine", "novel", LABELS, spec))
        (result,) = json.loads(say("evaluate mine.h5 --tasks mine.toml --head nearest-mean --quiet --json"))
        assert (result["n_way"], result["n_tasks"], result["seed"]) == (3, 25, 4)
        assert result["task_digest"] == sampler.digest(LABELS, spec)

    def test_base_features_centre_novel_features(self, say: Say, tmp_path: Path):
        assert "--base" in say(self.LINE + "--preprocess cl2n", code=2)
        correct = []
        for seed in (1, 2):
            base = clusters(seed)
            store.write(tmp_path / "base.h5", replace(base, values=base.values * seed))
            (result,) = json.loads(say(self.LINE + "--preprocess cl2n --base base.h5 --force"))
            correct.append(result["correct"])
        assert correct[0] != correct[1]

    def test_details_are_written_beside_the_result(self, say: Say, tmp_path: Path):
        say(self.LINE + "--out plain")
        say(self.LINE + "--out more --details")
        (plain,), (more,) = ([*(tmp_path / name).rglob("*.json")] for name in ("plain", "more"))
        assert [path.name for path in plain.parent.iterdir()] == [plain.name]
        tables = {f"{more.stem}.{table}.csv" for table in ("classes", "confusion", "hardest")}
        assert {path.name for path in more.parent.iterdir()} == {more.name, *tables}

    def test_force_evaluates_again(self, say: Say, tmp_path: Path):
        (first,) = json.loads(say(self.LINE))
        (path,) = (tmp_path / "results").rglob("*.json")
        path.write_text(path.read_text().replace(first["device"], "another device"))
        assert json.loads(say(self.LINE))[0]["device"] == "another device"
        assert json.loads(say(self.LINE + "--force"))[0]["device"] == first["device"]

    def test_results_are_drawn(self, say: Say, tmp_path: Path):
        say(self.LINE + "--plot of-call.png")
        assert (tmp_path / "of-call.png").read_bytes().startswith(b"\x89PNG")
        (path,) = (tmp_path / "results").rglob("*.json")
        assert say(f"plot task-accuracies {path} --out b.svg") == "b.svg\n"
        assert "<svg" in (tmp_path / "b.svg").read_text()
        assert say(f"plot task-accuracies {path} --out b.svg") == "b.svg\n"  # replaced, as in other commands
        assert say(f"plot task-accuracies {path}") == "task-accuracies.png\n"
        assert (tmp_path / "task-accuracies.png").is_file()

    @pytest.mark.parametrize("against", ["all", "first", "best"])
    def test_only_requested_pairs_are_compared(self, say: Say, against: str):
        say(self.LINE + "--head ridge nearest-mean svm")
        comparison = json.loads(say(f"compare results --against {against} --json"))
        labels = [entry["label"] for entry in comparison["entries"]]
        best = max(comparison["entries"], key=lambda entry: entry["accuracy"])["label"]
        firsts = {"all": {labels[0], labels[1]}, "first": {labels[1], labels[2]}, "best": {best}}
        assert len(comparison["pairs"]) == (3 if against == "all" else 2)
        assert {pair["first"] for pair in comparison["pairs"]} == firsts[against]

    @pytest.mark.parametrize("over", ["classes", "tasks"])
    def test_claims_are_over_the_requested_population(self, say: Say, tmp_path: Path, over: str):
        say(self.LINE + "--head ridge nearest-mean")
        (pair,) = json.loads(say(f"compare results --over {over} --json"))["pairs"]
        assert pair["p_holm"] == pair[f"p_{over}"]
        assert pair["p_classes"] != pair["p_tasks"]
        say(f"leaderboard results --over {over}")
        assert f"claim over {over}" in (tmp_path / "results" / "README.md").read_text()

    def test_head_code_runs_only_when_it_is_named(self, say: Say, best: Path, tmp_path: Path):
        (tmp_path / "h.py").write_text("def f(support, query): return query @ support.mean(2).mT\n")
        say(f"evaluate {best} --n-shot 1 --n-tasks 20 --head ./h.py:f --quiet")
        (path,) = (tmp_path / "results").rglob("*.json")
        line = f"reproduce {path} --checkpoint {best} --out again --quiet"
        assert "--head ./h.py:f" in say(line, code=2)
        assert not (tmp_path / "again").exists()
        assert "every task scores the same" in say(f"{line} --head ./h.py:f")
        assert [*(tmp_path / "again").rglob("*.json")]

    def test_tables_go_into_the_readme_and_are_checked_there(self, say: Say, tmp_path: Path):
        readme = tmp_path / "R.md"
        readme.write_text("<!-- leaderboard:begin --><!-- leaderboard:end -->")
        say(self.LINE)
        assert str(readme.name) in say("leaderboard results --readme R.md")
        assert "nearest-mean (l2)" in readme.read_text()
        say("validate results --readme R.md")
        readme.write_text(readme.read_text().replace("nearest-mean", "another head"))
        say("validate results")
        assert "1 problem\n" in say("validate results --readme R.md", code=2)

    @pytest.mark.parametrize(
        ("flag", "values", "page", "sign", "expected"),
        [
            ("--memory-rows", (None, ""), "published.md", "from memory", [False, True]),
            ("--published", ("same", "all", "none"), "README.md", "S2M2_R", [False, True, False]),
            ("--published", ("same", "all", "none"), "leaderboard.html", "S2M2_R", [True, True, False]),
        ],
    )
    def test_only_requested_published_rows_are_shown(
        self,
        say: Say,
        tmp_path: Path,
        flag: str,
        values: tuple[str | None, ...],
        page: str,
        sign: str,
        expected,
    ):
        origin = Origin(dataset="cifar-fs", split="novel")
        store.write(tmp_path / "mine.h5", replace(clusters(0), origin=origin))
        say(self.LINE.replace("--n-shot 2", "--n-shot 1"))
        shown = []
        for value in values:
            say("leaderboard results" + ("" if value is None else f" {flag} {value}"))
            shown.append(sign in (tmp_path / "results" / page).read_text("utf-8"))
        assert shown == expected


class TestTraining:
    """`fsbench train-backbone`, by default with one epoch of two steps."""

    LINE = "train-backbone erm --dataset tiny --epochs 1 --batch-size 60 --out run --device cpu --quiet "

    @pytest.fixture(autouse=True)
    def images(self, best: Path, other: str) -> None:
        """Prepare the data sets."""

    @pytest.fixture
    def make_run(self, say: Say, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
        """Make a run from flags without training it."""

        def make(flags: str) -> Run:
            runs: list[Run] = []
            with monkeypatch.context() as patch:
                patch.setattr(training, "_train", lambda run, *_: runs.append(run))
                say(self.LINE + flags)
            return runs[0]

        return make

    @pytest.fixture
    def forwards(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, torch.dtype]]:
        """Record the number of images and the precision of each forward pass in training."""
        recorded = []
        forward = Network.forward

        def spy(self, images):
            scores = forward(self, images)
            recorded.append((len(images), scores.dtype))
            return scores

        monkeypatch.setattr(Network, "forward", spy)
        return recorded

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ("--preset linear", {"preset": "linear", "classifier": "linear"}),
            ("--classifier linear", {"preset": "fast", "classifier": "linear"}),
            ("--backbone resnet10", {"backbone": "resnet10"}),
            ("--image-size 20", {"image_size": 20}),
            ("--per-class 3", {"per_class": 3}),
            ("--dataset other", {"source": "other"}),
        ],
    )
    def test_training_settings_are_in_the_checkpoint(self, say: Say, flags: str, expected: dict[str, object]):
        network, about = checkpoint.load_network(Path(say(self.LINE + flags).strip()))
        recorded = {**vars(about), "classifier": about.settings["classifier"]}
        assert {name: recorded[name] for name in expected} == expected
        assert isinstance(network.classifier, nn.Linear) == (about.settings["classifier"] == "linear")

    def test_epochs_and_batch_size_reach_the_loop(self, say: Say, forwards):
        say(self.LINE + "--epochs 2 --batch-size 50")
        assert [count for count, _ in forwards] == [50, 50, 20] * 2
        assert len(pd.read_csv("run/log.csv")) == 2

    def test_patience_ends_a_stage(self, say: Say, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(training, "validate", lambda *_: {"val_accuracy": 0.5})
        say(self.LINE.replace("erm", "s2m2-r --preset paper") + "--epochs 1 5 --batch-size 120 --patience 2")
        assert list(pd.read_csv("run/log.csv")["stage"]) == ["self-supervised", "manifold", "manifold"]

    def test_the_learning_rate_reaches_the_optimiser(self, say: Say, monkeypatch: pytest.MonkeyPatch):
        used = []
        step = torch.optim.Adam.step

        def spy(self, *arguments):
            used.append(self.param_groups[0]["lr"])
            return step(self, *arguments)

        monkeypatch.setattr(torch.optim.Adam, "step", spy)
        say(self.LINE + "--preset cosine --learning-rate 0.25")
        assert used == [0.25] * 2
        assert list(pd.read_csv("run/log.csv")["learning_rate"]) == [0.25]

    def test_dropout_reaches_the_layers(self, make_run):
        run = make_run("--backbone resnet12 --dropout 0.25")
        layers = [module for module in run.network.modules() if isinstance(module, nn.Dropout)]
        assert layers
        assert {layer.p for layer in layers} == {run.provenance.dropout} == {0.25}

    def test_label_noise_replaces_labels(self, make_run, cache: Path):
        labels = load("tiny", "base", cache).labels
        assert make_run("").labels.tolist() == labels.tolist()
        noisy = make_run("--label-noise 0.5 --seed 3").labels.numpy()
        np.testing.assert_array_equal(noisy, add_label_noise(labels, 6, 0.5, seed=3))
        assert 0.2 < np.mean(noisy != labels) < 0.65  # half are redrawn; one in six of these is unchanged

    @pytest.mark.parametrize(("flags", "plain"), [("", False), ("--no-augment", True)])
    def test_without_augmentation_images_are_only_resized(
        self, say: Say, monkeypatch, flags: str, plain: bool
    ):
        alike = []
        augment = training.train_augment

        def spy(pixels, size, rng, how):
            images = augment(pixels, size, rng, how)
            alike.append(torch.allclose(images, eval_transform(pixels, size), atol=1e-4))
            return images

        monkeypatch.setattr(training, "train_augment", spy)
        say(self.LINE + flags)
        assert alike == [plain] * 2

    def test_precision_reaches_the_training_steps(self, say: Say, forwards):
        path = Path(say(self.LINE + "--precision bf16").strip())
        assert {dtype for _, dtype in forwards} == {torch.bfloat16}
        assert checkpoint.load_provenance(path).precision == "bf16"

    def test_no_forward_exceeds_the_micro_batch(self, say: Say, forwards):
        path = Path(say(self.LINE + "--micro-batch 25").strip())
        assert [count for count, _ in forwards] == [20] * 6
        assert checkpoint.load_provenance(path).model.micro_batch == 25

    @pytest.mark.parametrize(("flags", "blocks"), [("", 0), ("--compile off", 0), ("--compile on", 4)])
    def test_blocks_are_compiled_on_request(self, make_run, monkeypatch, flags: str, blocks: int):
        """Compilation itself takes a minute and is tested in test_precision.py."""
        compiled = []
        monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
        run = make_run(flags)
        assert compiled == list(run.network.backbone.blocks)[:blocks]
        assert run.compute == ComputeSettings(compile=blocks > 0)

    def test_the_seed_of_training_reaches_the_weights(self, make_run):
        first, again, other = (make_run(f"--seed {seed}") for seed in (0, 0, 1))
        assert [run.provenance.train_seed for run in (first, again, other)] == [0, 0, 1]
        weights = [run.network.state_dict() for run in (first, again, other)]
        drawn = [name for name in weights[0] if name.endswith("direction") or weights[0][name].ndim == 4]
        assert len(drawn) == 5  # four convolutions and the classifier
        for name in drawn:
            assert torch.equal(weights[0][name], weights[1][name])
            assert not torch.equal(weights[0][name], weights[2][name])

    def test_force_trains_again(self, say: Say, forwards):
        for flags, images in (("", 120), ("", 0), ("--force", 120)):
            say(self.LINE + flags)
            assert sum(count for count, _ in forwards) == images
            forwards.clear()


class TestFeatures:
    def test_features_come_from_the_requested_split(self, say: Say, best: Path, cache: Path, other: str):
        for flags, dataset, split in (
            ("--split base", "tiny", "base"),
            (f"--dataset {other}", other, "novel"),
        ):
            extracted = json.loads(say(f"extract {best} --out {split}.h5 --quiet --json {flags}"))
            images = load(dataset, split, cache)
            assert (extracted["dataset"], extracted["split"], extracted["images"]) == (
                dataset,
                split,
                len(images.labels),
            )
            np.testing.assert_array_equal(store.read(Path(f"{split}.h5")).labels, images.labels)

    def test_force_extracts_again(self, say: Say, best: Path, monkeypatch: pytest.MonkeyPatch):
        calls = []
        embed = extract.embed
        monkeypatch.setattr(
            extract, "embed", lambda *positional, **named: calls.append(1) or embed(*positional, **named)
        )
        for flags, times in (("", 1), ("", 1), ("--force", 2)):
            say(f"extract {best} --out f.h5 --quiet {flags}")
            assert len(calls) == times

    @pytest.mark.parametrize(
        "line",
        [
            "evaluate w.safetensors --dataset tiny --n-shot 1 --n-tasks 20 --head nearest-mean --json",
            "extract w.safetensors --dataset tiny --json",
            "predict w.safetensors --support {novel} --query {novel}/novel-0 --n-shot 1 --json",
        ],
    )
    def test_foreign_weights_need_an_architecture_and_a_size(self, say: Say, best: Path, tiny_folder, line):
        from safetensors.torch import save_file

        network, _ = checkpoint.load_network(best)
        save_file(network.backbone.state_dict(), "w.safetensors")
        line = line.format(novel=tiny_folder / "novel") + " --quiet"
        assert "w.safetensors" in say(line, code=2)
        assert "--image-size is missing" in say(f"{line} --backbone conv4", code=2)
        small, large = (say(f"{line} --backbone conv4 --image-size {size}") for size in (16, 32))
        assert small != large


class TestPredictions:
    @pytest.fixture
    def predict(self, say: Say, best: Path, tiny_folder: Path, tmp_path: Path):
        """Predict ten query images of three classes from support images of the same classes."""
        for folder, items in (("support", range(4)), ("query", range(10, 14)), ("fewer", range(12, 14))):
            for number in range(3):
                (tmp_path / folder / f"novel-{number}").mkdir(parents=True)
                for item in items:
                    path = Path(f"novel-{number}", f"{item:03d}.png")
                    shutil.copy(tiny_folder / "novel" / path, tmp_path / folder / path)

        def run(flags: str):
            line = f"predict {best} --support support --query query --quiet --json "
            prediction = json.loads(say(line + flags))
            scores = [
                value
                for image in prediction["images"]
                for name, value in image.items()
                if name.startswith("probability ")
            ]
            return prediction, scores

        return run

    def test_predictions_use_the_given_folders(self, predict):
        default, few_queries, few_support = (
            predict(flags) for flags in ("", "--query fewer", "--support fewer")
        )
        assert [len(prediction["images"]) for prediction, _ in (default, few_queries, few_support)] == [
            12,
            6,
            12,
        ]
        assert [
            [row["support"] for row in prediction["classes"]] for prediction, _ in (default, few_support)
        ] == [
            [4] * 3,
            [2] * 3,
        ]
        assert default[1] != few_support[1]

    def test_predictions_use_the_given_head_and_preprocess(self, predict):
        default, ridge, plain = (predict(flags) for flags in ("", "--head ridge", "--preprocess none"))
        predictions = [prediction for prediction, _ in (default, ridge, plain)]
        assert [(each["head"], each["preprocess"]) for each in predictions] == [
            ("nearest-mean", "l2"), ("ridge", "l2"), ("nearest-mean", "none"),
        ]  # fmt: skip
        assert default[1] != ridge[1]
        assert default[1] != plain[1]

    def test_predictions_use_the_given_settings(self, predict, say: Say, best: Path):
        """Nobody knows how many query images each class has."""
        Path("mine.py").write_text(HEAD, encoding="utf-8")
        flags = {"": {"balanced": False}, ":k=1": {"balanced": False, "k": 1}, ":balanced=true": {}}
        scores = set()
        for part, settings in flags.items():
            prediction, values = predict(f"--head ./mine.py:head{part}")
            assert (prediction["head"], prediction["settings"]) == ("./mine.py:head", settings)
            scores.add(tuple(values))
        assert len(scores) == 3
        line = (
            f"predict {best} --support support --query query --quiet --sheet sheet.html --head ./mine.py:head"
        )
        shown = " ".join(say(line).split())
        assert "12 query images classified by ./mine.py:head (none, balanced false) on" in shown
        said = "./mine.py:head: settings for imbalanced queries (balanced=false), since the number of images"
        assert shown.count(said) == 1
        assert "Classified by ./mine.py:head (none, balanced false) on" in Path("sheet.html").read_text(
            "utf-8"
        )
        assert "balanced" not in say(f"{line}:balanced=true")

    def test_predictions_use_the_given_number_of_shots(self, predict):
        prediction, _ = predict("--n-shot 2")
        assert [row["support"] for row in prediction["classes"]] == [2, 2, 2]

    def test_the_seed_reaches_heads_that_draw(self, predict):
        first, again, other = (
            predict(f"--head distribution-calibration --seed {seed}")[1] for seed in (0, 0, 1)
        )
        assert first == again != other


class TestDataSets:
    def test_images_are_prepared_at_a_size(self, say: Say, tiny_folder: Path, tmp_path: Path):
        prepared = json.loads(
            say(f"data prepare mine {tiny_folder} --image-size 20 --cache c --quiet --json")
        )
        assert Path(prepared["path"]).name == "mine@20.h5"
        assert load("mine", "novel", Path("c")).pixels.shape[1:] == (20, 20, 3)

    def test_force_prepares_again(self, say: Say, tiny_folder: Path):
        line = f"data prepare mine {tiny_folder} --cache c --quiet --json"
        path = Path(json.loads(say(line))["path"])
        before = path.stat().st_ino
        say(line)
        assert path.stat().st_ino == before
        say(f"{line} --force")
        assert path.stat().st_ino != before

    def test_doctor_examines_the_given_cache(self, say: Say, tiny_folder: Path):
        say(f"data prepare mine {tiny_folder} --cache c --quiet")
        assert "mine@16" in say("doctor --cache c")
        assert "mine@16" not in say("doctor --cache d")


def test_a_report_uses_the_requested_images_and_questions(say: Say, best: Path, other: str, monkeypatch):
    studies = []
    monkeypatch.setitem(diagnose.OF_CHECKPOINTS, "noise", lambda study: studies.append(study))
    monkeypatch.setitem(diagnose.OF_CHECKPOINTS, "hardness", lambda study: pytest.fail("not asked for"))
    assert say(f"diagnose {best} --only noise --out there --dataset other --questions 45 --quiet").startswith(
        "there"
    )
    (study,) = studies
    assert study.novel.dataset == other
    assert sum(len(batch.answers) for batch in study.batches(study.networks[0], "few-shot")) == 45


def test_quickstart_uses_the_given_folders_and_device_quietly(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Training takes minutes, so functions that record their calls replace training and evaluation."""
    calls = []

    def train(recipe, spec, *, out, session):
        calls.append((out.parts[:2], session.cache, session.device.type, session.quiet))
        return type("Run", (), {"best": out / "best.safetensors"})

    def evaluate(subject, *, tasks, heads, images, session, output):
        calls.append((output.folder.parts, session.cache, session.device.type, session.quiet))
        return []

    monkeypatch.setattr(_quickstart, "train_backbone", train)
    monkeypatch.setattr(_quickstart, "evaluate", evaluate)
    monkeypatch.setattr(_quickstart, "_accuracies", lambda _: [])
    monkeypatch.setattr(_quickstart, "finding", lambda _: "")
    (tmp_path / "there" / "results").mkdir(parents=True)
    monkeypatch.setattr(_quickstart.leaderboard, "update", lambda folder, *_, **__: [folder / "README.md"])
    assert "open there/results/leaderboard.html" in say(
        "quickstart --out there --cache c --device cpu --quiet"
    )
    assert set(calls) == {
        (("there", "runs"), Path("c"), "cpu", True),
        (("there", "results"), Path("c"), "cpu", True),
    }


@pytest.mark.parametrize(
    "line",
    [
        "train-backbone erm --dataset glyphs", "evaluate x.h5", "extract {best}", "diagnose {best}",
        "reproduce x.json",
        "predict {best} --support {images} --query {images}",
    ],
)  # fmt: skip
def test_a_missing_device_is_refused(say: Say, best: Path, tiny_folder: Path, line: str):
    line = line.format(best=best, images=tiny_folder / "novel")
    assert "device 'cuda:77' cannot be used here" in say(f"{line} --device cuda:77", code=2)


@pytest.mark.parametrize(
    "line",
    [
        "data show tiny", "train-backbone erm --dataset tiny", "evaluate {best}", "extract {best}",
        "predict {best} --support {images} --query {images} --head distribution-calibration",
        "diagnose {best} --only noise", "reproduce {result} --checkpoint {best}",
    ],
)  # fmt: skip
def test_another_cache_holds_other_data(say: Say, best: Path, tiny_folder: Path, line: str):
    """The images are in the default cache and not in the one that the flag names."""
    if "{result}" in line:
        say(f"evaluate {best} --n-shot 1 --n-tasks 20 --head nearest-mean --quiet")
    (result,) = [*Path("results").rglob("*.json")] or ["none"]
    line = line.format(best=best, images=tiny_folder / "novel", result=result)
    assert "unknown data set 'tiny'" in say(f"{line} --cache elsewhere", code=2)


@pytest.mark.parametrize(
    "line",
    [
        "train-backbone erm --dataset tiny --epochs 1 --batch-size 60 --out run --force",
        "evaluate {best} --n-shot 1 --n-tasks 20 --force",
        "extract {best} --out f.h5 --force",
        "predict {best} --support {images} --query {images} --n-shot 1",
        "diagnose {best} --only hardness",
        "reproduce {result} --out again",
    ],
)
def test_progress_goes_to_a_terminal_unless_quiet(
    say: Say, best: Path, cache: Path, tiny_folder: Path, monkeypatch, capsys, line: str
):
    """The cache has no features, so that there is work to show progress of."""
    if "{result}" in line:
        say(f"evaluate {best} --n-shot 1 --n-tasks 20 --head nearest-mean --quiet")
    (result,) = [*Path("results").rglob("*.json")] or ["none"]
    line = line.format(best=best, images=tiny_folder / "novel", result=result)
    for flags in ("", " --quiet"):
        shutil.copytree(cache / "images", f"fresh{flags}/images")
        monkeypatch.setenv("FSBENCH_CACHE", f"fresh{flags}")
        capsys.readouterr()
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert main((line + flags).split()) == 0
        assert ("\r" in capsys.readouterr().err) == (not flags)
        shutil.rmtree("again", ignore_errors=True)
