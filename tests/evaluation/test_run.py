"""Evaluation of feature files and checkpoints; scores against a plain loop over tasks."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fsbench import stats
from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.data.preparation import prepare
from fsbench.evaluation import inference, result_files
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.features import store
from fsbench.features.store import Features, Origin
from fsbench.heads import HEADS, find_head
from fsbench.heads.base import base_statistics
from fsbench.models import checkpoint
from fsbench.tasks import pinned, sampler
from fsbench.tasks.spec import TaskSpec

CPU = torch.device("cpu")
SMALL = {"session": Session(quiet=True)}


def specs(n_way=(5,), n_shot=(1,), n_query=3, n_tasks=20) -> list[TaskSpec]:
    return [TaskSpec(way, shot, n_query, n_tasks) for way in n_way for shot in n_shot]


def clusters(n_classes: int = 6, per_class: int = 8, dim: int = 10, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes, dtype=np.int32), per_class)
    values = (rng.normal(size=(n_classes, dim))[labels] + rng.normal(size=(len(labels), dim))).astype(
        np.float32
    )
    origin = Origin(dataset="mine", split="novel", checkpoint="c" * 64)
    return Features(values, labels, tuple(f"c{i}" for i in range(n_classes)), origin)


@pytest.fixture
def feature_file(tmp_path: Path) -> Path:
    store.write(tmp_path / "mine.h5", clusters())
    return tmp_path / "mine.h5"


def plain_accuracies(values: np.ndarray, labels: np.ndarray, spec: TaskSpec) -> list[float]:
    """Nearest mean, one task and one query at a time."""
    accuracies = []
    tasks = sampler.sample(labels, spec)
    for support, query, answers in zip(tasks.support, tasks.query, tasks.answers, strict=True):
        means = [values[items[items >= 0]].mean(axis=0) for items in support]
        right = [
            int(np.argmin([((values[item] - mean) ** 2).sum() for mean in means]) == answer)
            for item, answer in zip(query, answers, strict=True)
            if item >= 0
        ]
        accuracies.append(np.mean(right))
    return accuracies


@pytest.mark.parametrize("n_shot", [1, 3])
def test_equals_a_plain_loop_over_tasks(feature_file: Path, tmp_path: Path, n_shot: int):
    (result,) = evaluate(
        feature_file,
        tasks=specs([4], [n_shot]),
        preprocess=["none"],
        output=Output(tmp_path),
        **SMALL,
    )
    features = clusters()
    spec = TaskSpec(4, n_shot, 3, 20)
    np.testing.assert_allclose(result.accuracies, plain_accuracies(features.values, features.labels, spec))
    assert 0.25 < result.outcome.accuracy < 1
    assert result.outcome.accuracy == pytest.approx(result.accuracies.mean())
    assert (result.outcome.task_digest, result.data.feature_digest) == (
        sampler.digest(features.labels, spec),
        features.digest,
    )


def test_preprocessing_reaches_the_head(feature_file: Path, tmp_path: Path):
    base = clusters(seed=1)
    store.write(tmp_path / "base.h5", base)
    results = evaluate(
        feature_file,
        tasks=specs([4], [1]),
        preprocess=["none", "l2", "cl2n"],
        images=Images(base=tmp_path / "base.h5"),
        output=Output(tmp_path),
        **SMALL,
    )
    features, spec = clusters(), TaskSpec(4, 1, 3, 20)
    centred = features.values - base.values.mean(axis=0)
    for result, values in zip(results, (features.values, features.values, centred), strict=True):
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        expected = plain_accuracies(
            values if result.head.preprocess == "none" else unit, features.labels, spec
        )
        np.testing.assert_allclose(result.accuracies, expected, err_msg=result.head.preprocess)


@pytest.mark.parametrize(
    ("spec", "head", "d", "bytes_per_task"),
    [
        (TaskSpec(5, 5, 15), "ridge", 640, 100 * 640 * 4),  # gathered features
        (TaskSpec(5, 5, 15), "nearest-mean", 640, 100 * (5 * 4 + 16)),  # logits, rows
        (TaskSpec(1000, 1, 15), "nearest-mean", 384, 16_000 * (1000 * 4 + 16)),
    ],
)
def test_the_memory_of_a_batch_is_limited(
    monkeypatch, spec: TaskSpec, head: str, d: int, bytes_per_task: int
):
    labels = np.repeat(np.arange(spec.n_way), 20)
    values = torch.zeros(len(labels), d)
    for free, most in ((1 << 40, 1 << 26), (1 << 28, 1 << 24)):
        monkeypatch.setattr(inference, "free_memory", lambda _, free=free: free)
        at_once = inference._tasks_at_once(values, labels, spec, find_head(head))
        assert at_once == max(1, most // bytes_per_task)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "spec", [TaskSpec(4, 2, 3, 20), TaskSpec(3, 2, None, 20)], ids=lambda spec: spec.name
)
def test_batches_of_tasks_do_not_change_the_answers(monkeypatch, head: str, spec: TaskSpec):
    """This includes tasks with different numbers of queries, which are grouped differently in batches."""
    labels = np.repeat(np.arange(5, dtype=np.int32), [5, 6, 7, 6, 5])
    values = torch.from_numpy(clusters(5, 7).values[: len(labels)]).abs()
    base = base_statistics(values, torch.from_numpy(labels)) if find_head(head).needs_base else None

    def answers() -> list[int]:
        batches = inference.predictions(values, labels, spec, find_head(head), base=base)
        return [value for _, predicted in batches for row in predicted.tolist() for value in row]

    whole = answers()
    monkeypatch.setattr(inference, "_LARGEST_BATCH", {"cpu": 3000})
    assert answers() == whole


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(3, 2, None, 20),
        TaskSpec(3, 2, 3, 20, query_alpha=0.5),
        TaskSpec(3, 3, 2, 20, least_shot=1),
        TaskSpec(3, 2, 2, 20, disjoint=True),
    ],
    ids=lambda spec: spec.name,
)
def test_every_kind_of_task_equals_a_plain_loop(tmp_path: Path, spec: TaskSpec):
    labels = np.repeat(np.arange(6, dtype=np.int32), [6, 7, 8, 9, 8, 7])
    features = replace(clusters(6, 9), labels=labels)
    features = replace(features, values=features.values[: len(labels)])
    store.write(tmp_path / "mine.h5", features)
    options = {"preprocess": ["none"], "output": Output(tmp_path), **SMALL}
    (result,) = evaluate(tmp_path / "mine.h5", tasks=[spec], **options)
    np.testing.assert_allclose(result.accuracies, plain_accuracies(features.values, labels, spec))
    assert result_files.read(tmp_path / result.path) == result
    assert (result.spec.name, len(result.outcome.correct)) == (spec.name, result.spec.n_tasks)


def test_the_interval_over_classes_is_a_jackknife(feature_file: Path, tmp_path: Path):
    (result,) = evaluate(feature_file, tasks=specs([4], [1]), output=Output(tmp_path), **SMALL)
    tasks = sampler.sample(clusters().labels, result.spec)
    task_classes = clusters().labels[tasks.support[:, :, 0]]
    scores = result.accuracies
    without = np.array([scores[~(task_classes == c).any(axis=1)].mean() for c in range(6)])
    values = scores.mean() + 5 * (scores.mean() - without)
    expected = stats.mean_and_half_width(values)[1]
    assert result.outcome.class_half_width == pytest.approx(expected)
    np.testing.assert_allclose(result.outcome.class_values, values, atol=1e-9)
    (whole,) = evaluate(feature_file, tasks=specs([6], [1]), output=Output(tmp_path), **SMALL)
    assert (whole.outcome.class_half_width, whole.outcome.class_values) == (
        None,
        None,
    )  # every class is in every task


def test_heads_that_need_even_shots_refuse_uneven_ones(tmp_path: Path):
    store.write(tmp_path / "mine.h5", clusters())
    spec = TaskSpec(3, 2, 2, 20, least_shot=1)
    (tmp_path / "mine.py").write_text("def head(support, query): return query @ support.mean(2).mT\n")
    with pytest.raises(FsbenchError, match="the same number of shots in every class"):
        evaluate(
            tmp_path / "mine.h5",
            tasks=[spec],
            heads=[f"{tmp_path}/mine.py:head"],
            output=Output(tmp_path),
            session=Session(quiet=True),
        )


def test_scores_that_are_not_numbers_are_refused():
    """Not even one query may get class 0 by accident."""
    features = clusters()
    nan = torch.full((), torch.nan)

    def classify(support, query):
        return HEADS["nearest-mean"](support, query).where(query[..., :1] < query[..., :1].amax(), nan)

    head = replace(HEADS["nearest-mean"], classify=classify)
    with pytest.raises(FsbenchError, match="has scores that are not numbers; scale the features"):
        inference.accuracies(torch.from_numpy(features.values), features.labels, specs()[0], head)


def test_equations_that_cannot_be_solved_are_one_line():
    features = clusters()
    with pytest.raises(FsbenchError, match="cannot solve its equations for these features; scale them"):
        inference.accuracies(
            torch.from_numpy(1e12 * features.values), features.labels, specs()[0], HEADS["ridge"]
        )


def test_one_result_per_combination_in_order(feature_file: Path, tmp_path: Path):
    results = evaluate(
        feature_file,
        tasks=specs([3, 4], [1, 2]),
        heads=["nearest-mean", "logistic"],
        output=Output(tmp_path),
        **SMALL,
    )
    assert [(r.head.name, r.spec.n_way, r.spec.n_shot) for r in results] == [
        (head, way, shot) for head in ("nearest-mean", "logistic") for way in (3, 4) for shot in (1, 2)
    ]
    assert sorted(r.path for r in result_files.read_all(tmp_path)) == sorted(r.path for r in results)


def test_finished_results_are_read_instead_of_computed(feature_file: Path, tmp_path: Path):
    options = {"tasks": specs([3], [1]), "output": Output(tmp_path), **SMALL}
    (first,) = evaluate(feature_file, **options)
    path = tmp_path / first.path
    os.utime(path, (0, 0))
    assert evaluate(feature_file, **options) == [first]
    assert path.stat().st_mtime == 0
    (again,) = evaluate(feature_file, **{**options, "output": Output(tmp_path, force=True)})
    assert path.stat().st_mtime > 0
    assert again.question == first.question
    store.write(feature_file, clusters(seed=5))  # other features under the same name
    (other,) = evaluate(feature_file, **options)
    assert other.data.feature_digest != first.data.feature_digest
    assert result_files.read(path) == other


class TestCheckpoints:
    def test_evaluates_its_own_data_set_by_default(self, trained: Path, cache: Path, tmp_path: Path):
        options = {"tasks": specs([5], [1]), "heads": ["nearest-mean", "logistic"]}
        results = evaluate(
            trained / "best.safetensors",
            session=Session(cache, quiet=True),
            output=Output(tmp_path),
            **options,
        )
        assert [r.head.name for r in results] == ["nearest-mean", "logistic"]
        for result in results:
            assert result.outcome.accuracy > 0.3  # mean colours are easy; chance is 0.2
            assert (result.model.source, result.data.dataset, result.model.source_classes) == (
                "tiny",
                "tiny",
                6,
            )
            assert (
                result.model.backbone,
                result.model.recipe,
                result.model.preset,
                result.model.train_seed,
            ) == (
                "conv4",
                "erm",
                "fast",
                0,
            )
            assert result.model.overrides == "epochs 2, batch_size 16"
            assert result.outcome.extract_seconds > 0

    def test_another_data_set_is_cross_domain(
        self, trained: Path, cache: Path, tmp_path: Path, tiny_folder: Path
    ):
        from fsbench.data.preparation import prepare

        prepare("other", tiny_folder / "novel", cache=cache, quiet=True)
        results = evaluate(
            trained / "best.safetensors",
            images=Images(["tiny", "other"]),
            tasks=specs([5], [1]),
            session=Session(cache, quiet=True),
            output=Output(tmp_path),
        )
        assert [(r.model.source, r.data.dataset) for r in results] == [("tiny", "tiny"), ("tiny", "other")]
        assert (
            results[0].outcome.accuracy == results[1].outcome.accuracy
        )  # the same images under another name

    def test_features_are_extracted_once(self, trained: Path, cache: Path, tmp_path: Path, monkeypatch):
        from fsbench.features import extract

        options = {
            "tasks": specs([5], [1]),
            "session": Session(cache, quiet=True),
            "output": Output(tmp_path),
        }
        evaluate(trained / "best.safetensors", **options)
        monkeypatch.setattr(extract, "embed", lambda *a, **k: pytest.fail("extracted again"))
        evaluate(trained / "best.safetensors", **{**options, "output": Output(tmp_path, force=True)})

    def test_centring_uses_the_images_it_was_trained_on(self, trained: Path, cache: Path, tmp_path: Path):
        (result,) = evaluate(
            trained / "best.safetensors",
            tasks=specs([5], [1]),
            preprocess=["cl2n"],
            session=Session(cache, quiet=True),
            output=Output(tmp_path),
        )
        assert result.head.preprocess == "cl2n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": ["nearest-men"]}, "unknown head 'nearest-men'; did you mean 'nearest-mean'"),
        ({"preprocess": ["l3"]}, "unknown preprocess 'l3'"),
        ({"tasks": specs([3, 7])}, "n_way = 7, but the split has only 6 classes"),
        ({"tasks": specs([3], [6])}, r"n_shot \+ n_query = 9, but the smallest class has only 8 images"),
        ({"images": Images(["cub"])}, "holds mine, not cub"),
        ({"images": Images(split="val")}, "holds split novel, not val"),
        ({"preprocess": ["cl2n"]}, "name them with --base FILE"),
        (
            {"tasks": [pinned.read_task_list("cifar-fs-novel-5w1s")]},
            "--tasks: the list is for cifar-fs novel, not mine novel",
        ),
    ],
)
def test_bad_questions_are_refused_before_anything_is_written(
    feature_file: Path, tmp_path: Path, options, message
):
    out = tmp_path / "results"
    with pytest.raises(FsbenchError, match=message):
        evaluate(feature_file, output=Output(out), **{"tasks": specs([3], [1]), **SMALL, **options})
    assert not out.exists()


def test_base_features_of_another_checkpoint_are_refused(feature_file: Path, tmp_path: Path):
    features = clusters()
    other = replace(features, origin=replace(features.origin, checkpoint="d" * 64))
    store.write(tmp_path / "base.h5", other)
    with pytest.raises(FsbenchError, match="its features come from another checkpoint"):
        evaluate(
            feature_file,
            preprocess=["cl2n"],
            images=Images(base=tmp_path / "base.h5"),
            output=Output(tmp_path),
            **SMALL,
        )


@pytest.mark.parametrize("content", [b"", b"\x89HDF but nothing else", b"PK\x03\x04", b"\x80\x04pickle"])
def test_unknown_files_are_refused_in_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FsbenchError) as raised:
        evaluate(tmp_path / "x", output=Output(tmp_path), **SMALL)
    assert "\n" not in str(raised.value)


class TestNothingIsOverwritten:
    def outcomes(self, folder: Path) -> list[tuple]:
        results = list(result_files.read_all(folder))
        return sorted(
            (
                result.model.run,
                result.data.feature_digest,
                result.head.base_digest or "",
                result.outcome.correct,
            )
            for result in results
        )

    def test_two_epochs_of_one_run_have_two_files(self, trained: Path, cache: Path, tmp_path: Path):
        options = {
            "tasks": specs([3], [1]),
            "session": Session(cache, quiet=True),
            "output": Output(tmp_path),
        }
        for name in ("best", "last"):
            tensors, _ = checkpoint.read(trained / f"{name}.safetensors")
            if name == "last":  # the best epoch of the fixture may be its last one
                tensors["backbone.blocks.0.0.weight"] = -tensors["backbone.blocks.0.0.weight"]
            path = tmp_path / f"{name}.safetensors"
            checkpoint.write(path, tensors, checkpoint.load_provenance(trained / f"{name}.safetensors"))
        results = [evaluate(tmp_path / f"{name}.safetensors", **options)[0] for name in ("best", "last")]
        assert len({result.path for result in results}) == 2
        assert len(self.outcomes(tmp_path)) == 2
        again = [evaluate(tmp_path / f"{name}.safetensors", **options)[0] for name in ("best", "last")]
        assert again == results  # both results are read from their own files

    def test_feature_files_of_one_name_have_two_files(self, tmp_path: Path):
        for seed in range(2):
            folder = tmp_path / str(seed)
            folder.mkdir()
            features = clusters(seed=seed)
            by_class = {i: list(features.values[features.labels == i]) for i in range(6)}
            (folder / "output.plk").write_bytes(pickle.dumps(by_class))
            evaluate(
                folder / "output.plk",
                tasks=specs([3], [1]),
                images=Images(["mine"]),
                output=Output(tmp_path / "results"),
                **SMALL,
            )
        outcomes = self.outcomes(tmp_path / "results")
        assert [run for run, *_ in outcomes] == ["output", "output"]
        assert outcomes[0][1] != outcomes[1][1]

    def test_base_features_of_two_files_give_two_results(self, tmp_path: Path):
        features = clusters()
        origin = Origin(dataset="mine", split="novel")
        store.write(tmp_path / "mine.h5", replace(features, origin=origin))
        options = {"tasks": specs([3], [1]), "preprocess": ["cl2n"], **SMALL}
        results = []
        for seed in (1, 2):
            base, path = clusters(seed=seed), tmp_path / f"base-{seed}.h5"
            store.write(path, replace(base, origin=origin))
            results += evaluate(
                tmp_path / "mine.h5", images=Images(base=path), output=Output(tmp_path), **options
            )
            assert results[-1].head.base_digest == base.digest
        assert results[0].outcome.correct != results[1].outcome.correct
        assert len(self.outcomes(tmp_path)) == 2

    def test_stored_sizes_of_one_data_set_give_two_results(
        self, tiny_folder: Path, trained: Path, tmp_path: Path
    ):
        results = []
        for size in (20, 40):
            prepare("mine", tiny_folder, cache=tmp_path, image_size=size, quiet=True)
            output = Output(tmp_path / "results")
            options = {"tasks": specs([3], [1]), "session": Session(tmp_path, quiet=True), "output": output}
            results += evaluate(trained / "best.safetensors", images=Images([f"mine@{size}"]), **options)
        assert [result.data.stored_size for result in results] == [20, 40]
        assert results[0].data.fingerprint == results[1].data.fingerprint
        assert len(self.outcomes(tmp_path / "results")) == 2


def test_pinned_lists_replace_task_settings(tmp_path: Path):
    features = clusters()
    store.write(tmp_path / "mine.h5", features)
    spec = TaskSpec(3, 2, 3, 25, seed=4)
    pinned.write_task_list(tmp_path / "mine.toml", pinned.pin("mine", "novel", features.labels, spec))
    (result,) = evaluate(
        tmp_path / "mine.h5",
        tasks=[pinned.read_task_list(str(tmp_path / "mine.toml"))],
        output=Output(tmp_path),
        **SMALL,
    )
    assert (result.spec.n_way, result.spec.n_shot, result.spec.n_tasks, result.spec.seed) == (3, 2, 25, 4)


def test_results_are_plain_json(feature_file: Path, tmp_path: Path):
    (result,) = evaluate(feature_file, tasks=specs([3], [1]), output=Output(tmp_path), **SMALL)
    document = json.loads(json.dumps(result_files.to_json(result)))
    assert document["outcome"]["accuracy"] == result.outcome.accuracy
    assert document["schema"] == result_files.SCHEMA


class TestForeignFiles:
    """Feature files of other projects; their formats are tested in features/test_importers.py."""

    def write(self, path: Path, seed: int = 0) -> Features:
        features = clusters(seed=seed)
        by_class = {
            int(label): list(features.values[features.labels == label])
            for label in np.unique(features.labels)
        }
        path.write_bytes(pickle.dumps(by_class))
        return features

    def test_are_evaluated_without_conversion(self, tmp_path: Path):
        self.write(tmp_path / "output.plk")
        options = {
            "tasks": specs([4], [1]),
            "preprocess": ["none"],
            "output": Output(tmp_path),
            **SMALL,
        }
        (result,) = evaluate(tmp_path / "output.plk", images=Images(["mine"]), **options)
        assert (result.data.dataset, result.data.split, result.model.run) == ("mine", "novel", "output")
        assert (result.data.fingerprint, result.model.backbone, result.model.recipe) == (None, None, None)
        assert 0.3 < result.outcome.accuracy < 1

    def test_base_features_may_be_a_foreign_file(self, tmp_path: Path):
        self.write(tmp_path / "novel.plk")
        self.write(tmp_path / "base.plk", seed=1)
        options = {
            "tasks": specs([4], [1]),
            "preprocess": ["cl2n"],
            "output": Output(tmp_path),
            **SMALL,
        }
        with pytest.raises(FsbenchError, match="name them with --base FILE"):
            evaluate(tmp_path / "novel.plk", images=Images(["mine"]), **options)
        (result,) = evaluate(
            tmp_path / "novel.plk", images=Images(["mine"], base=tmp_path / "base.plk"), **options
        )
        assert result.head.preprocess == "cl2n"

    def test_need_a_data_set(self, tmp_path: Path):
        self.write(tmp_path / "output.plk")
        with pytest.raises(FsbenchError, match="does not name its data set; name one with --dataset"):
            evaluate(tmp_path / "output.plk", output=Output(tmp_path), **SMALL)
