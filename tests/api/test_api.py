"""`fsbench.evaluate` and the other public functions, as a notebook calls them."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fsbench
from fsbench import api
from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.data.loading import load
from fsbench.data.preparation import prepare
from fsbench.evaluation.result import Result
from fsbench.evaluation.run import Output
from fsbench.evaluation.run import evaluate as evaluate_file
from fsbench.features import store as features
from fsbench.models.pretrained.transform import standard_transform
from fsbench.report.leaderboard import update
from fsbench.tasks.spec import TaskSpec
from fsbench.training.recipe import load_recipe

CPU = torch.device("cpu")
FEW = {"n_way": 5, "n_shot": 1, "n_query": 3, "n_tasks": 20, "quiet": True}


class MeanColour(nn.Module):
    """A user's model: features (b, 3) of images (b, 3, s, s)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.drop = nn.Dropout(0.9)  # would ruin the features outside of evaluation mode

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.drop(self.scale * images.mean(dim=(2, 3)))


@pytest.fixture(scope="session")
def store(trained: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature file of the novel classes of tiny."""
    from fsbench.cli import main

    path = tmp_path_factory.mktemp("features") / "novel.h5"
    arguments = [
        "extract",
        trained / "best.safetensors",
        "--cache",
        cache,
        "--out",
        path,
        "--device",
        "cpu",
        "--quiet",
    ]
    assert main([str(part) for part in arguments]) == 0
    return path


@pytest.fixture
def expected(store: Path) -> Result:
    """The result of the command for that file."""
    spec = TaskSpec(n_way=5, n_shot=1, n_query=3, n_tasks=20)
    (result,) = evaluate_file(store, tasks=[spec], session=Session(quiet=True), output=Output(None))
    return result


PUBLIC = [
    "Head", "Recipe", "Stage", "TaskSpec", "compare", "data", "evaluate", "heads", "load_backbone",
    "load_results", "losses", "predict", "stats", "tasks", "train",
]  # fmt: skip


class TestPublicNames:
    def test_import_is_light_and_shows_only_public_names(self):
        code = """if True:
            import sys, fsbench
            print([name for name in ("torch", "pandas", "numpy") if name in sys.modules])
            print([name for name in dir(fsbench) if not name.startswith("__")])"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == f"[]\n{PUBLIC}\n"
        assert fsbench.__all__ == PUBLIC

    def test_no_module_hides_a_public_name(self):
        """Importing a module of the same name would replace a public function."""
        modules = {module.name for module in pkgutil.iter_modules(fsbench.__path__)}
        for name in modules - {"__main__"}:
            importlib.import_module(f"fsbench.{name}")
        assert {name for name in fsbench.__all__ if name in modules} == {"data", "heads", "stats", "tasks"}
        assert (fsbench.evaluate, fsbench.TaskSpec) == (api.evaluate, TaskSpec)
        assert fsbench.heads.HEADS["ridge"].classify is fsbench.heads.ridge
        assert fsbench.losses.manifold_mixup.__module__ == "fsbench.training.losses.mixing"
        assert issubclass(fsbench.FsbenchError, Exception)

    @pytest.mark.parametrize("name", PUBLIC)
    def test_every_name_is_documented(self, name: str):
        assert inspect.getdoc(getattr(fsbench, name))

    def test_a_missing_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match=r"fsbench.*attribute.*evaluat"):
            fsbench.evaluat  # noqa: B018


class TestArrays:
    def test_rows_match_the_csv(self, tmp_path: Path, store: Path):
        out = tmp_path / "results"
        frame = fsbench.evaluate(
            store, out=out, n_shot=[1, 3], head=["nearest-mean", "logistic"], n_query=3, n_tasks=20
        )
        update(out, None)
        import pandas as pd

        listed = pd.read_csv(out / "leaderboard.csv")
        assert {*listed.columns, "task_accuracies_percent"} == {*frame.columns}
        assert sorted(listed["file"]) == sorted(frame["file"])
        both = listed.merge(frame, on="file")
        assert len(both) == 4
        for column in ("accuracy_percent", "half_width_percent"):
            np.testing.assert_allclose(both[f"{column}_x"], both[f"{column}_y"], atol=5e-5)

    def test_a_printed_frame_shows_the_accuracy(self, store: Path):
        import pandas as pd

        frame = fsbench.evaluate(store, **FEW)
        for width, n_columns, names in (
            (80, 0, ["dataset", "run"]),  # a terminal
            (1000, 20, ["dataset", "run", "head", "n_way", "n_shot"]),  # a notebook
        ):
            with pd.option_context("display.width", width, "display.max_columns", n_columns):
                shown = repr(frame)
            for name in (*names, "accuracy_percent", "half_width_percent"):
                assert f" {name}" in shown

    def test_features_and_labels_score_like_their_file(self, store: Path, expected: Result):
        held = features.read(store)
        frame = fsbench.evaluate(held.values, held.labels, **FEW)
        (row,) = frame.itertuples()
        assert row.accuracy_percent == 100 * expected.outcome.accuracy
        assert row.half_width_percent == 100 * expected.outcome.half_width
        np.testing.assert_array_equal(row.task_accuracies_percent, 100 * expected.accuracies)
        assert (row.dataset, row.run, row.n_way, row.n_shot) == ("unnamed", "features", 5, 1)

    def test_order_type_and_names_of_labels_do_not_change_scores(self, store: Path, expected: Result):
        held = features.read(store)
        names = np.array([f"class-{label:02d}" for label in held.labels])
        by_class = np.random.default_rng(0).permutation(len(held.class_names))
        order = np.concatenate([np.flatnonzero(held.labels == label) for label in by_class])
        frame = fsbench.evaluate(torch.from_numpy(held.values[order]), names[order].tolist(), **FEW)
        np.testing.assert_array_equal(frame.task_accuracies_percent[0], 100 * expected.accuracies)

    def test_any_task_spec_is_accepted(self, store: Path):
        spec = TaskSpec(n_way=3, n_shot=2, n_query=4, n_tasks=30, disjoint=True)
        held = features.read(store)
        (row,) = fsbench.evaluate(held.values, held.labels, tasks=spec).itertuples()
        assert (row.n_way, row.n_shot, row.n_query, row.disjoint) == (3, 2, 4, True)
        assert len(row.task_accuracies_percent) == row.n_tasks
        with pytest.raises(FsbenchError, match="unknown task list 'tiny'"):
            fsbench.evaluate(held.values, held.labels, tasks="tiny")
        with pytest.raises(FsbenchError, match="all names of pinned lists or all TaskSpecs, but are both"):
            fsbench.evaluate(held.values, held.labels, tasks=[spec, "tiny"])

    @pytest.mark.usefixtures("few_draws")
    def test_base_features_reach_the_heads_that_need_them(self, store: Path):
        held = features.read(store)
        options = {**FEW, "head": "distribution-calibration"}
        with pytest.raises(FsbenchError, match="needs base features"):
            fsbench.evaluate(np.abs(held.values), held.labels, **options)
        base = (np.abs(held.values[::-1]), held.labels[::-1].copy())
        frame = fsbench.evaluate(np.abs(held.values), held.labels, base=base, **options)
        assert frame.accuracy_percent[0] > 20

    def test_nothing_is_written_by_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        fsbench.evaluate(np.eye(20, dtype=np.float32), np.repeat(range(5), 4), **FEW)
        assert not list(tmp_path.iterdir())


class TestModules:
    def test_a_user_model_on_a_prepared_data_set(self, cache: Path):
        model = MeanColour().train()
        frame = fsbench.evaluate(model, dataset="tiny", image_size=16, cache=cache, **FEW)
        assert model.training
        (row,) = frame.itertuples()
        assert row.accuracy_percent > 50  # classes differ in colour
        assert (row.dataset, row.split, row.run) == ("tiny", "novel", "MeanColour")
        assert row.fingerprint == load("tiny", "novel", cache).fingerprint

    def test_images_in_memory_score_like_their_data_set(self, cache: Path):
        images = load("tiny", "novel", cache)
        model = MeanColour()
        expected = fsbench.evaluate(model, dataset="tiny", image_size=16, cache=cache, **FEW)
        transformed = standard_transform(16).apply(torch.from_numpy(images.pixels))
        for arguments in (
            {"images": images.pixels, "image_size": 16},
            {"images": images.pixels, "transform": standard_transform(16).apply},
            {"images": transformed},
        ):
            frame = fsbench.evaluate(model, images.labels, **arguments, **FEW)
            assert list(frame.task_accuracies_percent[0]) == list(expected.task_accuracies_percent[0])

    def test_each_data_set_has_a_row(self, tiny_folder: Path, tmp_path: Path):
        for name in ("one", "two"):
            prepare(name, tiny_folder, cache=tmp_path, quiet=True)
        frame = fsbench.evaluate(
            MeanColour(),
            dataset=["one", "two"],
            split="val",
            image_size=16,
            cache=tmp_path,
            name="mine",
            **FEW,
        )
        assert frame.accuracy_percent[0] == frame.accuracy_percent[1]
        assert set(frame.run) == {"mine"}
        assert set(frame.split) == {"val"}

    def test_repeated_values_count_once(self, cache: Path):
        frame = fsbench.evaluate(
            MeanColour(), dataset=["tiny"] * 2, head=["nearest-mean"] * 2, preprocess=["l2"] * 2,
            image_size=16, cache=cache, **{**FEW, "n_shot": [1, 1], "n_way": [5, 5]},
        )  # fmt: skip
        assert len(frame) == 1
        spec = TaskSpec(n_way=2, n_query=1, n_tasks=5)
        assert len(fsbench.evaluate(ROWS, LABELS, tasks=[spec, spec], quiet=True)) == 1

    def test_a_checkpoint_by_its_path(self, trained: Path, cache: Path, expected: Result):
        for path in (trained / "best.safetensors", str(trained / "best.safetensors")):
            frame = fsbench.evaluate(path, cache=cache, device="cpu", **FEW)
            np.testing.assert_array_equal(frame.task_accuracies_percent[0], 100 * expected.accuracies)
            assert frame.recipe[0] == "erm"


ROWS, LABELS = np.ones((8, 3), dtype=np.float32), np.arange(8) % 2
PIXELS = np.zeros((8, 4, 4, 3), dtype=np.uint8)
BAD = [  # arguments, part of the error
    ((ROWS,), {}, "labels are missing"),
    ((ROWS, LABELS[:7]), {}, r"labels must have shape \(8,\), but have \(7,\)"),
    ((ROWS[0], LABELS), {}, r"features must be numbers of shape \(n, d\), but are float32 \(3,\)"),
    ((ROWS + np.nan, LABELS), {}, "features must be finite, but 8 of 8 are not; the first is number 0"),
    ((ROWS * np.float64(1e300), LABELS), {}, "features must be finite, but 8 of 8 are not"),
    (
        (ROWS * 1e18, LABELS),
        {},
        r"features must have a largest magnitude of 1e-10 to 1e\+15, but it is 1e\+18",
    ),
    ((ROWS * 0, LABELS), {}, "features must have a largest magnitude of .*, but it is 0"),
    ((ROWS, LABELS + 0.5), {}, "labels must be integers or names, but are float64"),
    ((ROWS, LABELS), {"split": "nvel"}, "unknown split 'nvel'; did you mean 'novel'"),
    ((ROWS, LABELS), {"hed": "ridge"}, r"evaluate\(\) has no option 'hed'; did you mean 'head'"),
    ((ROWS, LABELS), {"out": 5}, "a path must be text or a Path, but is 5 of type int"),
    (([[1.0], [1.0, 2.0]], [0, 1]), {}, "features must form an array, but do not"),
    ((ROWS, LABELS), {"dataset": ["a", "b"]}, "dataset must be one name for images or features, but is a, b"),
    ((ROWS, LABELS), {"n_way": 3, "n_query": 1}, "n_way = 3, but the split has only 2 classes"),
    ((ROWS, LABELS), {"head": "nearst-mean"}, "did you mean 'nearest-mean'"),
    ((ROWS, LABELS), {"head": []}, "^head must have at least one value, but is empty$"),
    ((ROWS, LABELS), {"n_shot": []}, "^n_shot must have at least one value, but is empty$"),
    ((ROWS, LABELS), {"n_way": []}, "^n_way must have at least one value, but is empty$"),
    (
        (ROWS, LABELS),
        {"head": fsbench.heads.HEADS["ridge"]},
        r"head must be one value or a list of values, but is Head\(",
    ),
    ((MeanColour(),), {}, "images are missing"),
    ((MeanColour(), LABELS), {"images": PIXELS}, "image_size is missing"),
    ((MeanColour(), LABELS), {"images": PIXELS[0]}, r"images must be uint8 \(n, h, w, 3\) or float"),
    ((MeanColour(), LABELS), {"images": PIXELS.transpose(0, 3, 1, 2)}, r"but are uint8 \(8, 3, 4, 4\)"),
    ((nn.Identity(), LABELS), {"images": PIXELS / 255}, r"must return features \(8, d\)"),
    (("a.h5", LABELS), {}, "a.h5: takes images, labels and base from files"),
    (("absent.h5",), {}, "absent.h5: no such file"),
]


@pytest.mark.parametrize(("positional", "named", "message"), BAD, ids=[message for *_, message in BAD])
def test_wrong_arguments_give_one_line(positional: tuple, named: dict, message: str):
    with pytest.raises(FsbenchError, match=message) as raised:
        fsbench.evaluate(*positional, **named)
    assert "\n" not in str(raised.value)


class TestMainJob:
    def test_train_evaluate_and_read_back(self, cache: Path, tmp_path: Path):
        run = fsbench.train(
            "erm", "tiny", epochs=1, out=tmp_path / "run", cache=cache, device="cpu", quiet=True
        )
        frame = fsbench.evaluate(
            run.best, n_shot=1, n_query=3, n_tasks=20, out=tmp_path / "results", cache=cache, quiet=True
        )
        (result,) = fsbench.load_results(tmp_path / "results")
        assert result.model.run == "run"
        assert 100 * result.outcome.accuracy == pytest.approx(frame["accuracy_percent"][0])
        assert result.model.overrides == "epochs 1"

    def test_a_recipe_in_memory_trains_like_its_name(self, trained: Path, cache: Path, tmp_path: Path):
        recipe = load_recipe("erm")
        run = fsbench.train(
            recipe, "tiny", epochs=[2], batch_size=16, out=tmp_path / "tiny-erm", cache=cache, device="cpu",
            quiet=True,
        )  # fmt: skip
        assert run.best.read_bytes() == (trained / "best.safetensors").read_bytes()

    def test_predict_takes_a_path_or_a_loaded_backbone(self, trained: Path, tiny_folder: Path):
        folders = tiny_folder / "novel", tiny_folder / "novel"
        path = trained / "best.safetensors"
        by_path, by_backbone = (
            fsbench.predict(backbone, *folders, n_shot=2, device="cpu", quiet=True)
            for backbone in (path, fsbench.load_backbone(path))
        )
        assert by_path.accuracy == by_backbone.accuracy
        assert by_path.accuracy > 0.5

    def test_one_folder_is_compared_like_a_list(self, store: Path, tmp_path: Path):
        heads = ["nearest-mean", "ridge"]
        fsbench.evaluate(store, head=heads, n_shot=1, n_query=3, n_tasks=20, out=tmp_path, quiet=True)
        assert fsbench.compare(str(tmp_path)) == fsbench.compare([tmp_path])

    def test_options_that_do_not_exist_are_named(self):
        with pytest.raises(FsbenchError, match=r"train\(\) has no option 'epoch'; did you mean 'epochs'"):
            fsbench.train("erm", "tiny", epoch=[1])  # type: ignore[call-arg]
