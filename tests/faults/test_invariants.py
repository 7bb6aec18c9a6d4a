"""Invariants: tasks do not leak, labels stay with their images, and results do not depend on the machine."""

import json
import os
import random
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fsbench._util.distributed
import fsbench.features.extract
from fsbench._util.distributed import Worker
from fsbench._util.session import Session
from fsbench.cli import main
from fsbench.data import image_store
from fsbench.data.augment import MEAN, STD, Augment
from fsbench.data.loading import find_store, load, shared_with_base
from fsbench.data.preparation import prepare
from fsbench.evaluation import inference
from fsbench.evaluation.run import Output, evaluate
from fsbench.evaluation.subjects import Images
from fsbench.features.extract import embed, extract_features
from fsbench.heads import HEADS, Head
from fsbench.models.identity import Model
from fsbench.models.pretrained import of_checkpoint
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.models.pretrained.transform import standard_transform
from fsbench.report import leaderboard
from fsbench.tasks.sampler import sample
from fsbench.tasks.spec import TaskSpec
from fsbench.training.loop import train_backbone
from fsbench.training.precision import ComputeSettings
from fsbench.training.recipe import Recipe, Stage, load_recipe
from fsbench.training.run import TrainingSpec

CPU = torch.device("cpu")
JOB = Path(__file__).with_name("surroundings_job.py")
GOLDEN = Path(__file__).parents[1] / "golden" / "leaderboard" / "results"
SIZE = 16


def fingerprint_of(name: str, split: str, cache: Path) -> str:
    return image_store.split_info(find_store(name, cache), split).identity.fingerprint


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[int], TaskSpec]:
    """Draw class sizes and a task specification that such classes satisfy."""
    sizes = draw(st.lists(st.integers(6, 12), min_size=4, max_size=7))
    n_shot, n_query = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    spec = TaskSpec(draw(st.integers(2, 4)), n_shot, n_query, 6, draw(st.integers(0, 2**64 - 1)))
    kind = draw(st.sampled_from(["balanced", "all", "dirichlet", "uneven", "uneven all", "both", "disjoint"]))
    if "all" in kind.split():
        spec = replace(spec, n_query=None)
    if kind in ("dirichlet", "both"):
        spec = replace(spec, query_alpha=draw(st.sampled_from([0.1, 1.0, 5.0])))
    if kind.startswith("uneven") or kind == "both":
        spec = replace(spec, least_shot=draw(st.integers(1, n_shot)))
    if draw(st.booleans()):
        classes = draw(st.permutations(range(len(sizes))))[: max(spec.n_way, 3)]
        spec = replace(spec, classes=tuple(map(name_of, classes)))
    return sizes, replace(spec, disjoint=kind == "disjoint")


def name_of(label: int) -> str:
    return f"class-{label:02d}"


@settings(max_examples=200)
@given(questions())
def test_support_and_query_of_every_task_are_disjoint_images_of_its_classes(question):
    sizes, spec = question
    labels, names = np.repeat(np.arange(len(sizes)), sizes), [name_of(c) for c in range(len(sizes))]
    tasks = sample(labels, spec, class_names=names)
    used_before: set[int] = set()
    for support, query, answers in zip(tasks.support, tasks.query, tasks.answers, strict=True):
        support_items = [items[items >= 0].tolist() for items in support]
        query_items = query[query >= 0].tolist()
        used = [*(item for items in support_items for item in items), *query_items]
        assert len(set(used)) == len(used)
        (classes,) = zip(*({labels[item] for item in items} for items in support_items), strict=True)
        assert len(set(classes)) == spec.n_way
        assert [labels[item] for item in query_items] == [classes[answer] for answer in answers[query >= 0]]
        assert not spec.classes or {names[c] for c in classes} <= set(spec.classes)
        assert not spec.disjoint or used_before.isdisjoint(used)
        used_before.update(used)
    assert spec.disjoint or len(tasks) == spec.n_tasks


def picture(label: int, item: int) -> np.ndarray:
    """An image of one colour that encodes its class and item."""
    return np.full((SIZE, SIZE, 3), (10 * label, 3 * item, 0), dtype=np.uint8)


def codes(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and item of network inputs (b, 3, s, s), decoded from their colour; each (b,)."""
    red, green = (images[:, i].mean(dim=(1, 2)) * STD[i] + MEAN[i] for i in (0, 1))
    return (red * 255 / 10).round().long(), (green * 255 / 3).round().long()


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the data set `coded`: 5 base and 7 novel classes of pictures."""
    root = tmp_path_factory.mktemp("coded")
    for split, classes in {"base": range(5), "novel": range(5, 12)}.items():
        for label in classes:
            (root / split / name_of(label)).mkdir(parents=True)
            for item in range(9 + label % 3):
                Image.fromarray(picture(label, item)).save(root / split / name_of(label) / f"{item}.png")
    prepare("coded", root, cache=root / "cache", quiet=True)
    return root / "cache"


class Reads(torch.nn.Module):
    """A backbone whose features are the class and item of each picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack(codes(images), dim=1).float()


def reader() -> FeatureExtractor:
    return FeatureExtractor(
        Reads(), standard_transform(SIZE), Model(run="reads", backbone="reads", checkpoint="0" * 64)
    )


def decode_and_match(support: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """A head that reads classes from the features: every answer is right unless rows are mixed up."""
    label, item = support[..., 0], support[..., 1]  # (tasks, n_way, n_shot)
    assert (label == label[..., :1]).all()
    support_codes = (100 * label + item).flatten(1)
    query_codes = 100 * query[..., 0] + query[..., 1]
    assert not (support_codes[:, :, None] == query_codes[:, None]).any()  # a query image is never support
    return -(query[..., 0, None] - label[..., 0].unsqueeze(1)).abs()


class TestLabelsFollowItems:
    @pytest.mark.parametrize("pixels", [1, 7 * SIZE**2, 1 << 30])
    def test_from_the_disk_to_features_in_batches_of_any_size(
        self, coded: Path, tmp_path: Path, monkeypatch, pixels: int
    ):
        monkeypatch.setattr(fsbench.features.extract, "_PIXELS", pixels)
        _, extracted = extract_features(
            reader(), "coded", "novel", session=Session(coded, quiet=True), out=tmp_path / "f.h5"
        )
        items = load("coded", "novel", coded).items
        assert [name_of(int(code)) for code in extracted.values[:, 0]] == [
            extracted.class_names[i] for i in extracted.labels
        ]
        assert [f"{int(code)}.png" for code in extracted.values[:, 1]] == list(items)

    @pytest.mark.parametrize("mapped", [False, True])
    @settings(max_examples=60)
    @given(question=questions(), memory=st.sampled_from([1, 500, 1 << 25]))
    def test_into_the_head(self, mapped: bool, question, memory: int):
        """The head needs even shots, so `least_shot` is not set."""
        sizes, spec = question
        spec = replace(spec, least_shot=None)
        labels = np.repeat(np.arange(len(sizes)), sizes)
        values = np.stack([labels, np.concatenate([np.arange(size) for size in sizes])], axis=1)
        table = torch.from_numpy(values).float()
        if mapped:
            table = inference.MappedFeatures(values.astype(np.float32), CPU, lambda rows: rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inference, "_LARGEST_BATCH", {"cpu": memory})
            names = [name_of(c) for c in range(len(sizes))]
            batches = list(
                inference.predictions(
                    table, labels, spec, Head(decode_and_match, "-", "none"), class_names=names
                )
            )
        assert sum(len(tasks) for tasks, _ in batches) == len(sample(labels, spec, class_names=names))
        for tasks, predicted in batches:
            assert (inference.count_correct(tasks, predicted) == tasks.queries).all()

    @pytest.mark.parametrize("micro_batch", [None, 3])
    def test_through_training(self, coded: Path, tmp_path: Path, micro_batch: int | None):
        """Images are shuffled, cropped, flipped, in several views and parts; each occurs once per epoch."""
        seen: list[tuple[int, int]] = []
        names = load("coded", "base", coded).class_names
        class_codes = [next(code for code in range(len(names)) if name_of(code) == name) for name in names]

        def step(network, images, labels, rng):
            label, item = codes(images)
            expected = torch.tensor([class_codes[int(number)] for number in labels])
            assert torch.equal(label, expected.repeat(len(images) // len(labels)))
            seen.extend(zip(labels.tolist(), item[: len(labels)].tolist(), strict=True))
            assert torch.equal(item, item[: len(labels)].repeat(len(images) // len(labels)))
            return {"class": network(images).logsumexp(dim=1).mean()}

        stages = tuple(Stage(f"{views} views", step, epochs=2, views=views) for views in (1, 4))
        recipe = Recipe("check", "plain", "-", stages, batch_size=10, augment=Augment(jitter=0))
        compute = ComputeSettings(micro_batch=micro_batch)
        train_backbone(
            recipe,
            TrainingSpec("coded"),
            out=tmp_path / "run",
            compute=compute,
            session=Session(coded, CPU, quiet=True),
        )
        base = load("coded", "base", coded)
        items = [(int(c), int(name.split(".")[0])) for c, name in zip(base.labels, base.items, strict=True)]
        assert Counter(seen) == Counter(4 * items)
        assert seen[: len(items)] != items  # they were shuffled, and
        assert seen[: len(items)] != seen[len(items) : 2 * len(items)]  # differently in each epoch

    @pytest.mark.parametrize(
        ("name", "preset"),
        [("mixup", "paper"), ("manifold-mixup", "paper"), ("manifold-mixup", "official-code")],
    )
    @settings(max_examples=30)
    @given(labels=st.lists(st.integers(0, 3), min_size=2, max_size=12), seed=st.integers(0, 999))
    def test_through_mixing(self, name: str, preset: str, labels: list[int], seed: int):
        """Images are their own one-hot labels, so the loss is minimal: the entropy of the targets."""
        mixed = []

        def backbone(images, depth=0, mix=lambda hidden: hidden):
            mixed.append(mix(images).flatten(1))
            return mixed[-1]

        backbone.mixing_points = range(3)

        class Network(SimpleNamespace):
            def __call__(self, images):
                return self.classifier(self.backbone(images))

        network = Network(backbone=backbone, classifier=lambda features: (features + 1e-30).log())
        targets = torch.tensor(labels)
        images = torch.nn.functional.one_hot(targets, 4).double()[:, :, None, None]
        (stage,) = load_recipe(name, preset).stages
        loss = stage.step(network, images, targets, np.random.default_rng(seed))["mixed"].item()
        p = mixed[0]
        entropy = -torch.xlogy(p, p)
        if preset == "official-code":  # binary cross-entropy, one term per class
            expected = (entropy - torch.xlogy(1 - p, 1 - p)).mean().item()
        else:
            expected = entropy.sum(dim=1).mean().item()
        assert loss == pytest.approx(expected, abs=1e-6)

    @settings(max_examples=100)
    @given(rows=st.integers(1, 40), size=st.integers(1, 9))
    def test_through_the_shares_of_processes(self, rows: int, size: int):
        """The shares of all processes add up to the whole batch, in its order."""
        batch = torch.arange(3.0 * rows).view(rows, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fsbench._util.distributed, "_sum", lambda tensor: tensor)  # it is taken below
            shares = [Worker(rank, size) for rank in range(size)]
            parts = [share.whole(share.mine(batch), rows) for share in shares]
        assert torch.equal(torch.stack(parts).sum(dim=0), batch)


class TestDataSetsThatShareImages:
    """Images shared by source and target; within a data set, `data prepare` reports images in two splits."""

    @pytest.fixture
    def mixed(self, tiny_folder: Path, cache: Path, tmp_path: Path) -> Path:
        """A cache with `tiny`, and `mixed`: its novel images, and three base images in other files."""
        shutil.copytree(tiny_folder / "novel", tmp_path / "mixed")
        for i, name in enumerate(("base-0/000", "base-0/007", "base-3/011")):
            with Image.open(tiny_folder / "base" / f"{name}.png") as image:
                image.save(tmp_path / "mixed" / "novel-2" / f"copy-{i}.bmp")
        shutil.copytree(cache, tmp_path / "cache", ignore=shutil.ignore_patterns("features", ".*"))
        prepare("mixed", tmp_path / "mixed", cache=tmp_path / "cache", quiet=True)
        return tmp_path / "cache"

    def test_is_reported_and_recorded(self, trained: Path, mixed: Path, tmp_path: Path, caplog):
        options = {"tasks": [TaskSpec(n_query=3, n_tasks=20)], "session": Session(mixed)}
        output = Output(tmp_path / "results")
        first = next(item for item in load("mixed", "novel", mixed).items if item.startswith("copy"))
        warning = f"trained on 3 of its 143 images (for example novel-2/{first})"
        for datasets in (["mixed"], ["mixed"]):  # computed, then read from the result file
            (result,) = evaluate(
                trained / "best.safetensors", images=Images(datasets), output=output, **options
            )
            assert result.data.seen == warning
            assert json.loads((tmp_path / "results" / result.path).read_text())["data"]["seen"] == warning
        assert caplog.messages == [f"fsbench: warning: tiny-erm on mixed novel: {warning}"] * 2

    def test_data_sets_without_shared_images_give_no_warning(
        self, trained: Path, mixed: Path, tiny_folder, caplog
    ):
        prepare("apart", tiny_folder / "novel", cache=mixed, quiet=True)
        options = {"tasks": [TaskSpec(n_query=3, n_tasks=20)], "session": Session(mixed)}
        results = evaluate(
            trained / "best.safetensors", images=Images(["apart", "tiny"]), output=Output(None), **options
        )
        assert [result.data.seen for result in results] == [None, None]
        assert caplog.messages == []

    def test_only_images_used_in_training_are_compared(self, mixed: Path, tmp_path: Path):
        fingerprint = fingerprint_of("tiny", "base", mixed)
        names = load("mixed", "novel", mixed).items
        copies = {f"copy-{i}.bmp" for i in range(3)}
        assert {names[i] for i in shared_with_base("mixed", "novel", "tiny", fingerprint, mixed)} == copies
        assert shared_with_base("mixed", "novel", "tiny", "0" * 64, mixed) == []
        assert shared_with_base("mixed", "novel", "absent", fingerprint, mixed) == []
        prepare("mixed", tmp_path / "mixed", cache=mixed, image_size=8, quiet=True)
        assert (
            len(shared_with_base("mixed@8", "novel", "tiny", fingerprint, mixed)) == 3
        )  # by their native pixels


class Listed:
    """The entries of `os.scandir` in another order."""

    def __init__(self, entries: list[os.DirEntry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry]:
        return self._entries

    def __next__(self) -> os.DirEntry:
        return next(self._entries)

    def __enter__(self) -> "Listed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pass


class TestIndependence:
    @pytest.mark.parametrize("seed", range(3))
    def test_of_the_order_and_age_of_files(
        self, tiny_folder: Path, cache: Path, tmp_path: Path, monkeypatch, seed: int
    ):
        shutil.copytree(tiny_folder, tmp_path / "images")
        shutil.copytree(GOLDEN, tmp_path / "results")
        rng, listdir, scandir = random.Random(seed), os.listdir, os.scandir
        for path in tmp_path.rglob("*"):
            os.utime(path, ns=(rng.randrange(10**18), rng.randrange(10**18)))

        def shuffled(things):
            return rng.sample(things, len(things))

        monkeypatch.setattr(os, "listdir", lambda path=".": shuffled(listdir(path)))
        monkeypatch.setattr(os, "scandir", lambda path=".": Listed(shuffled(list(scandir(path)))))
        prepare("tiny", tmp_path / "images", cache=tmp_path / "cache", quiet=True)
        for split in ("base", "val", "novel"):
            assert fingerprint_of("tiny", split, tmp_path / "cache") == fingerprint_of("tiny", split, cache)
        assert leaderboard.stale(tmp_path / "results", None) == []

    def test_of_the_batch_that_an_image_is_in(self, cache: Path, trained: Path, monkeypatch):
        """Equal up to the order of float32 sums, which convolutions choose by the batch size."""
        backbone = of_checkpoint(trained / "best.safetensors")
        pixels = load("tiny", "novel", cache).pixels
        features = []
        for at_once in (1, 3, 64, 256):
            monkeypatch.setattr(fsbench.features.extract, "_PIXELS", at_once * SIZE**2)
            features.append(embed(backbone.network, backbone.transform, pixels, Session(quiet=True)))
        for values in features[1:]:
            np.testing.assert_allclose(values, features[0], rtol=1e-4, atol=1e-5 * np.abs(features[0]).max())

    @pytest.mark.gpu
    @pytest.mark.parametrize("name", HEADS)
    def test_of_the_device(self, name: str, cache: Path, trained: Path):
        """For a few queries in a thousand, rounding decides between two classes."""
        options = {"tasks": [TaskSpec(n_shot=2, n_query=10, n_tasks=200)], "heads": [name]}
        options |= {"preprocess": ["l2"], "output": Output(None)}
        first, second = (
            evaluate(trained / "best.safetensors", session=Session(cache, torch.device(device)), **options)[0]
            for device in ("cpu", "cuda")
        )
        assert first.outcome.task_digest == second.outcome.task_digest
        differ = np.abs(np.subtract(first.outcome.correct, second.outcome.correct)).sum()
        assert differ <= 0.005 * 200 * 50
        assert second.outcome.accuracy == pytest.approx(first.outcome.accuracy, abs=0.002)


SURROUNDINGS = {
    "all": {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0"},
    "hash seed": {"PYTHONHASHSEED": "12345"},
    "time zone": {"TZ": "Pacific/Apia"},
    "C": {"LC_ALL": "C"},
    "decimal comma": {"LC_ALL": "tr_TR.UTF-8"},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes and files whose names are read, sorted or capitalised differently in another locale."""
    root, rng = tmp_path_factory.mktemp("named"), np.random.default_rng(0)
    splits = {"base": ["İzmir", "ılık", "Zebra", "émeu"], "novel": ["I", "i", "ı", "z", "ä", "犬"]}
    for split, classes in splits.items():
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for item in ("1,5", "1.5", "Ç", "ç", "10", "9"):
                noise = rng.integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{item}.png")
    return root


@pytest.fixture(scope="module")
def here(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The outcome in this process."""
    torch.set_num_threads(1)
    return runpy.run_path(str(JOB))["outcome"](images, GOLDEN, tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Turkish locale, whose decimals have a comma and whose i has two capitals."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/tr_TR").exists():
        pytest.skip("no localedef, or no source of the Turkish locale")
    line = ["localedef", "-i", "tr_TR", "-f", "UTF-8", str(folder / "tr_TR.UTF-8")]
    subprocess.run(line, check=True, capture_output=True)
    return folder


class TestSurroundings:
    """The same commands give equal outcomes in other surroundings, bit by bit; see surroundings_job.py."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", SURROUNDINGS)
    def test_do_not_change_results(
        self, images, here, tmp_path: Path, name: str, request: pytest.FixtureRequest
    ):
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
        surroundings = {**kept, "OMP_NUM_THREADS": "1", **SURROUNDINGS[name]}
        comma = surroundings.get("LC_ALL") == "tr_TR.UTF-8"
        if comma:
            surroundings["LOCPATH"] = str(request.getfixturevalue("locales"))
        (tmp_path / "elsewhere").mkdir()
        line = [sys.executable, str(JOB), str(images), str(GOLDEN), str(tmp_path / "out")]
        done = subprocess.run(line, env=surroundings, cwd=tmp_path / "elsewhere", capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        elsewhere = json.loads((tmp_path / "out" / "outcome.json").read_bytes())
        assert elsewhere.pop("decimal point") == ("," if comma else ".")
        assert elsewhere == {key: value for key, value in here.items() if key != "decimal point"}

    def test_names_in_another_encoding_are_refused(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
        assert main(["data", "list"]) == 2
        assert capsys.readouterr().err == (
            "fsbench: file names must be utf-8, but this locale uses ascii; set PYTHONUTF8=1\n"
        )
