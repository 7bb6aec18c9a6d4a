"""Predictions for a user's images: values compared with plain code, kinds of images, errors, the command."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench._util.session import Session
from fsbench.cli import main
from fsbench.data.augment import eval_transform
from fsbench.data.preparation import prepare
from fsbench.heads import HEADS
from fsbench.models import pretrained
from fsbench.models.identity import Model
from fsbench.models.pretrained.extractor import FeatureExtractor
from fsbench.prediction import Prediction, predict, sentences, text
from tests.prediction.made import calibrated, made

CPU = torch.device("cpu")
CLASSES = ("novel-0", "novel-1", "novel-2")
COMPILED = {"cosine-sgd", "linear-sgd", "tim", "alpha-tim"}  # numba compiles them slowly


@pytest.fixture(scope="module")
def backbone(trained: Path) -> FeatureExtractor:
    return pretrained.find(trained / "best.safetensors")


@pytest.fixture
def folders(tiny_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Support with 2, 3 and 4 images of three classes, and 4 query images per class in class folders."""
    support, query = tmp_path / "support", tmp_path / "query"
    for number, name in enumerate(CLASSES):
        for folder, first, last in ((support, 0, 2 + number), (query, 10, 14)):
            (folder / name).mkdir(parents=True)
            for item in range(first, last):
                shutil.copy(tiny_folder / "novel" / name / f"{item:03d}.png", folder / name)
    return support, query


def run_predict(
    backbone: FeatureExtractor, folders: tuple[Path, Path], cache: Path | None = None, **options
) -> Prediction:
    return predict(backbone, *folders, session=Session(cache, CPU, quiet=True), **options)


def run(trained: Path, folders: tuple[Path, Path], *more: str | Path) -> int:
    support, query = folders
    line = ["predict", trained / "best.safetensors", "--support", support, "--query", query, *more]
    return main([*map(str, line), "--device", "cpu", "--quiet"])


class TestValues:
    def test_scores_equal_plain_code_from_file_to_distance(self, backbone, folders):
        support, query = folders

        def unit_feature(path: Path) -> np.ndarray:
            pixels = np.asarray(
                Image.open(path).resize((18, 18), Image.Resampling.BILINEAR)
            )  # int(1.15 * 16)
            with torch.no_grad():
                feature = backbone.network(eval_transform(torch.from_numpy(pixels.copy())[None], 16))[
                    0
                ].numpy()
            return feature / np.linalg.norm(feature)

        means = [
            np.mean([unit_feature(path) for path in sorted((support / name).iterdir())], axis=0)
            for name in CLASSES
        ]
        prediction = run_predict(backbone, folders)
        paths = sorted(query.rglob("*.png"))
        assert prediction.images == tuple(path.relative_to(query).as_posix() for path in paths)
        assert (prediction.head, prediction.preprocess, prediction.shots) == ("nearest-mean", "l2", (2, 3, 4))
        for row, path in enumerate(paths):
            feature = unit_feature(path)
            away = np.array([np.sum((feature - mean) ** 2) for mean in means])
            assert prediction.predicted[row] == away.argmin()
            np.testing.assert_allclose(prediction.scores[row], np.sum(feature**2) - away, atol=1e-4)
            odds = np.exp(-away / prediction.temperature)
            np.testing.assert_allclose(prediction.probabilities[row], odds / odds.sum(), atol=1e-3)
            np.testing.assert_allclose(prediction.confidence[row], odds.max() / odds.sum(), atol=1e-3)

    def test_support_and_query_of_16_bits_have_one_depth(self, backbone, folders, caplog):
        """If only the support uses 12 bits, 10-bit query images are darker than the support."""
        support, query = folders
        for folder, factor in ((support, 16), (query, 4)):
            for path in folder.rglob("*.png"):
                grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
                Image.fromarray(grey * factor).save(path)
        run_predict(backbone, folders)
        (line,) = {record.getMessage() for record in caplog.records}
        assert line.startswith("fsbench: warning: 21 images store 16 bits per value")
        assert line.endswith("they are read as 12-bit images")

    def test_probabilities_classes_and_the_least_confident_by_hand(self):
        prediction = calibrated([[0, np.log(2), np.log(5)], [np.log(6), 0, 0], [1000, 0, -1000], [0, 0.1, 0]])
        np.testing.assert_allclose(prediction.probabilities[0], [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)
        assert list(prediction.predicted) == [2, 0, 0, 1]
        np.testing.assert_allclose(prediction.confidence[:3], [5 / 8, 6 / 8, 1], rtol=1e-6)
        assert list(prediction.least_confident) == [3]

    def test_only_certain_probabilities_are_shown_as_certain(self):
        expected = {
            1: "100 %",
            0.9999: ">99 %",
            0.994: "99 %",
            0.25: "25 %",
            0.006: "1 %",
            0.004: "<1 %",
            0: "0 %",
        }
        assert {chance: sentences.percent(chance) for chance in expected} == expected

    def test_the_least_confident_are_a_tenth(self):
        scores = [[row, 0, 0] for row in range(1, 31)][::-1]
        assert list(calibrated(scores).least_confident) == [29, 28, 27]
        assert list(made(scores).least_confident) == [29, 28, 27], "the difference of the two best scores"

    def test_accuracy_and_confusion_by_hand(self):
        images = ("cat/1", "cat/2", "cat/3", "dog/1", "dog/sub/2", "wolf/1", "loose", "fox/1")
        scores = np.eye(3)[[0, 0, 1, 1, 2, 2, 0, 2]]
        in_support = np.array([False] * 7 + [True])  # the last image is in the support
        prediction = made(scores, images=images, in_support=in_support)
        np.testing.assert_array_equal(prediction.confusion, [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
        assert prediction.accuracy == 3 / 5
        assert (prediction.measured.share, prediction.measured.images) == (3 / 5, 5)
        assert text.as_json(prediction)["confusion"] == {
            "cat": {"cat": 2, "dog": 1},
            "dog": {"dog": 1, "fox": 1},
        }
        summary = text.summary(prediction)
        assert "Actual accuracy: 60 % (95 % interval: 23 to 88 %), for 3 of 5 images" in summary
        assert "query images in other folders, left out of the accuracy: 2" in summary
        assert "query images that are also support images, left out of the accuracy: 1" in summary
        (cat,) = [line for line in summary.splitlines() if line.startswith("cat ")]
        assert cat.split() == [
            "cat",
            "2",
            "3",
            "3",
            "2",
            "dog",
            "1",
        ]  # support, predicted, actual, correct, confused with

    def test_without_folders_named_as_classes_there_is_no_accuracy(self):
        prediction = made([[1, 0, 0]], images=("sub/cat/1.png",))
        assert prediction.accuracy is None
        assert "Actual accuracy" not in text.summary(prediction)
        assert text.as_json(prediction)["confusion"] is None


class TestHeads:
    @pytest.mark.parametrize(("n_shot", "shots"), [(2, (2, 2, 2)), (None, (2, 3, 4))], ids=["even", "uneven"])
    @pytest.mark.parametrize(
        "head", [pytest.param(h, marks=[pytest.mark.slow] * (h in COMPILED)) for h in HEADS]
    )
    @pytest.mark.usefixtures("few_draws")
    def test_every_head_predicts(self, backbone, folders, cache: Path, head: str, n_shot, shots):
        prediction = run_predict(backbone, folders, head=head, n_shot=n_shot, cache=cache)
        assert prediction.shots == shots
        np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1)
        assert prediction.accuracy > 0.5
        assert prediction.expected.images == sum(shots)
        again = run_predict(backbone, folders, head=head, n_shot=n_shot, cache=cache)
        np.testing.assert_array_equal(again.scores, prediction.scores)

    def test_heads_that_use_class_counts_say_so(self):
        assert {name for name, head in HEADS.items() if head.class_prior} == sentences.EQUAL_CLASSES
        assert "pt-map assumes that every class has the same number" in text.summary(
            made([[1, 0, 0]], head="pt-map")
        )

    def test_ridge_without_intercepts_favours_no_class(self):
        """The intercepts are what learns the numbers of support images."""
        uneven = {"cat": ("a.png",), "dog": ("a.png", "b.png"), "fox": ("a.png",)}
        note = "ridge favours classes with more support images"
        assert note in text.summary(made([[1, 0, 0]], head="ridge", support=uneven))
        without = made([[1, 0, 0]], head="ridge", support=uneven, settings={"intercept": False})
        assert note not in text.summary(without)
        assert "classified by ridge (l2, intercept false) on" in text.summary(without)

    def test_base_images_are_found_among_stores_of_other_images(
        self, backbone, folders, cache, tiny_folder, tmp_path
    ):
        """A second size of the data set, prepared from fewer images, does not end the command."""
        expected = run_predict(backbone, folders, cache, head="bd-cspn")
        fewer = shutil.copytree(tiny_folder, tmp_path / "fewer")
        (fewer / "base" / "base-0" / "000.png").unlink()
        shutil.copytree(cache / "images", tmp_path / "cache" / "images")
        prepare("tiny", fewer, cache=tmp_path / "cache", image_size=20, quiet=True)
        prediction = run_predict(backbone, folders, tmp_path / "cache", head="bd-cspn")
        np.testing.assert_array_equal(prediction.scores, expected.scores)

    def test_uneven_support_for_a_head_that_cannot_is_refused_with_a_way_out(self, backbone, folders):
        mine = folders[0].parent / "mine.py"
        mine.write_text("def head(support, query): return query @ support.mean(2).mT\n")
        head = f"{mine}:head"
        shutil.copy(folders[0] / "novel-0" / "000.png", folders[0] / "novel-0" / "001.png")
        prediction = run_predict(backbone, folders, head=head, n_shot=2)
        assert prediction.expected.images == 4, "copies do not count: each is answered by the other"
        message = (
            f"head {head}: needs the same number of support images for every class, but novel-2 has 4 and "
            "novel-0 has 2; use --n-shot 2, or a built-in head"
        )
        with pytest.raises(FsbenchError, match=re.escape(message)):
            run_predict(backbone, folders, head=head)

    def test_scores_that_are_not_finite_are_refused(self, backbone, folders):
        mine = folders[0].parent / "mine.py"
        mine.write_text(
            "def head(support, query):\n"
            "    scores = query @ support.mean(2).mT\n"
            "    return scores.masked_fill(scores < scores.amax(2, keepdim=True), float('-inf'))\n"
        )
        message = f"head {mine}:head: scores must be finite, but those of "
        with pytest.raises(FsbenchError, match=re.escape(message)) as caught:
            run_predict(backbone, folders, head=f"{mine}:head", n_shot=2)
        assert "\n" not in str(caught.value)

    def test_n_shot_takes_the_first_by_name(self, backbone, folders):
        before = run_predict(backbone, folders, n_shot=2)
        support, _ = folders
        for path in [*support.glob("novel-1/002.png"), *support.glob("novel-2/00[23].png")]:
            path.unlink()
        np.testing.assert_array_equal(run_predict(backbone, folders).scores, before.scores)

    def test_only_a_transductive_head_sees_all_queries(self, backbone, folders):
        _, query = folders

        def scores(head: str) -> np.ndarray:
            return run_predict(backbone, folders, head=head, preprocess="l2", n_shot=2).probabilities[:4]

        before = {head: scores(head) for head in ("nearest-mean", "bd-cspn")}
        shutil.rmtree(query / "novel-2")
        np.testing.assert_allclose(scores("nearest-mean"), before["nearest-mean"], atol=1e-6)
        assert np.abs(scores("bd-cspn") - before["bd-cspn"]).max() > 1e-3

    def test_a_head_that_depends_on_the_shots_says_so(self, backbone, folders):
        uneven, even = (
            text.summary(run_predict(backbone, folders, head="logistic", n_shot=n)) for n in (None, 2)
        )
        assert "logistic favours classes with more support images; nearest-mean does not" in uneven
        assert "favours" not in even
        assert "favours" not in text.summary(run_predict(backbone, folders))

    def test_base_features_of_a_network_without_base_classes(self, backbone, folders):
        foreign = replace(backbone, model=Model(run="mine", checkpoint="0"), provenance=None)
        with pytest.raises(
            FsbenchError, match=r"head bd-cspn \(cl2n\): needs features of base classes, but mine"
        ):
            run_predict(foreign, folders, head="bd-cspn", n_shot=2)
        run_predict(foreign, folders, head="bd-cspn", n_shot=2, preprocess="l2")


def turned(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.rotate(90, expand=True).save(path, exif=exif)


def clear(image: Image.Image, path: Path) -> None:
    """Replace transparency by white, as in the upright image."""
    layer = image.convert("RGBA")
    layer.putalpha(Image.new("L", image.size, 255))
    layer.paste((9, 9, 9, 0), (0, 0, 8, 8))
    layer.save(path)


class TestImages:
    @pytest.fixture
    def upright(self, folders) -> Image.Image:
        shutil.rmtree(folders[1])
        folders[1].mkdir()
        return Image.open(folders[0] / "novel-1" / "000.png").convert("RGB")

    @pytest.mark.parametrize("save", [turned, clear])
    def test_photos_are_read_upright_and_without_transparency(
        self, backbone, folders, upright, save: Callable
    ):
        if save.__name__ == "clear":
            upright.paste((255, 255, 255), (0, 0, 8, 8))
        upright.save(folders[1] / "a.png")
        save(upright, folders[1] / "b.png")
        prediction = run_predict(backbone, folders)
        np.testing.assert_array_equal(prediction.scores[0], prediction.scores[1])

    def test_greyscale_and_sizes(self, backbone, folders, upright):
        upright.convert("L").save(folders[1] / "grey.jpg")
        upright.resize((300, 40)).save(folders[1] / "wide.webp")
        upright.convert("L").convert("RGB").save(folders[1] / "grey.png")
        prediction = run_predict(backbone, folders)
        assert prediction.images == ("grey.jpg", "grey.png", "wide.webp")
        np.testing.assert_allclose(
            prediction.scores[0], prediction.scores[1], atol=0.1
        )  # JPEG loses a little

    def test_support_images_among_the_query_are_reported(self, backbone, folders):
        support, query = folders
        shutil.copy(support / "novel-0" / "000.png", query / "novel-0" / "copy.png")
        prediction = run_predict(backbone, folders)
        assert [
            name for name, same in zip(prediction.images, prediction.in_support, strict=True) if same
        ] == ["novel-0/copy.png"]
        assert prediction.confusion.sum() == 12


class TestRejection:
    def test_images_of_other_classes(self, trained, folders, tiny_folder, tmp_path, capsys):
        _, query = folders
        for name in ("novel-3", "novel-4", "novel-5"):
            shutil.copytree(tiny_folder / "novel" / name, query / "other" / name)
        files = tmp_path / "out.json", tmp_path / "sorted"
        assert run(trained, folders, "--reject", "--out", files[0], "--sort-into", files[1]) == 0
        output = capsys.readouterr().out
        assert re.search(r"None of these, because they resemble .*: \d+ of 72\n?", " ".join(output.split()))
        assert output.endswith(f"\n{files[0]}\n{files[1]}: 72 copies in 4 folders\n")
        images = json.loads(files[0].read_text())["images"]
        rejected = {image["path"] for image in images if image["class"] == "none of these"}
        assert sum(path.startswith("other/") for path in rejected) > 30
        assert sum(not path.startswith("other/") for path in rejected) < 4
        assert len([*(files[1] / "none of these").iterdir()]) == len(rejected)

    def test_it_needs_two_images_and_a_free_name(self, backbone, folders):
        with pytest.raises(FsbenchError, match="--reject: needs at least two different images of some class"):
            run_predict(backbone, folders, reject=True, n_shot=1)
        (folders[0] / "novel-0").rename(folders[0] / "none of these")
        with pytest.raises(FsbenchError, match="--reject: the answer 'none of these' must not be a class"):
            run_predict(backbone, folders, reject=True)


class TestUnreadable:
    def test_a_query_image_is_named_left_out_and_counted(self, trained, folders, tmp_path, capsys):
        _, query = folders
        (query / "deep" / "er").mkdir(parents=True)
        (query / "deep" / "er" / "broken.png").write_bytes(b"none")
        (query / "novel-0" / "009.jpg").write_bytes(b"")
        (query / "film.mov").write_bytes(b"none")
        (query / ".git").mkdir()
        for name in (".hidden.txt", ".git/config"):
            (query / name).write_bytes(b"none")
        assert run(trained, folders, "--out", tmp_path / "out.csv") == 0
        output = capsys.readouterr()
        assert output.err.splitlines() == [
            f"fsbench: image {query}/{name}: cannot be read (it is not an image of a known format)"
            for name in ("deep/er/broken.png", "novel-0/009.jpg")
        ]
        assert "query images left out because they cannot be read: 2" in output.out
        assert "left out because their suffix is not that of an image: 1 .mov" in output.out
        assert len(pd.read_csv(tmp_path / "out.csv")) == 12

    def test_a_batch_with_a_broken_image_keeps_names_and_scores_together(
        self, backbone, folders, monkeypatch
    ):
        whole = run_predict(backbone, folders)
        _, query = folders
        (query / "novel-0" / "010a.png").write_bytes(b"none")
        monkeypatch.setattr("fsbench.data.decode._AT_ONCE", 3 * 18 * 18 * 3)  # three images at once
        prediction = run_predict(backbone, folders)
        assert prediction.images == whole.images
        np.testing.assert_allclose(prediction.scores, whole.scores, atol=1e-5)

    def test_a_support_image_ends_the_call(self, backbone, folders):
        support, _ = folders
        for name in ("a.png", "b.png"):
            (support / "novel-1" / name).write_bytes(b"none")
        with pytest.raises(
            FsbenchError,
            match=r"--support: image .*novel-1.a\.png: cannot be read .*; 1 more support image cannot",
        ):
            run_predict(backbone, folders)

    def test_a_query_of_broken_images_is_refused(self, backbone, folders):
        for path in folders[1].rglob("*.png"):
            path.write_bytes(b"none")
        with pytest.raises(FsbenchError, match=r"no image can be read; the first error: image .*010\.png"):
            run_predict(backbone, folders)


class TestRefused:
    def refused(self, backbone, folders, message: str, **options) -> None:
        with pytest.raises(FsbenchError, match=message) as caught:
            run_predict(backbone, folders, **options)
        assert "\n" not in str(caught.value)

    def test_wrong_folders_are_refused(self, backbone, folders, tmp_path):
        support, query = folders
        (tmp_path / "empty").mkdir()
        self.refused(
            backbone, (tmp_path / "no", query), "--support .*no: must be a folder of images, but does not"
        )
        self.refused(
            backbone, (support, support / "novel-0" / "000.png"), "must be a folder of images, but is a file"
        )
        self.refused(backbone, (support, tmp_path / "empty"), "--query .*empty: contains no images")
        self.refused(
            backbone, (support / "novel-0", query), r"needs one folder per class, but 000\.png is not in"
        )
        shutil.copytree(support / "novel-0", tmp_path / "one" / "novel-0")
        self.refused(backbone, (tmp_path / "one", query), "needs at least two class folders, but has 1")
        (support / "nothing").mkdir()
        self.refused(backbone, folders, "class nothing needs images, but has 0")

    def test_shots(self, backbone, folders):
        self.refused(backbone, folders, "class novel-0 needs 3 images, but has 2", n_shot=3)
        self.refused(backbone, folders, "--n-shot must be at least 1, but is 0", n_shot=0)

    def test_names(self, backbone, folders):
        self.refused(
            backbone, folders, "unknown head 'nearest-men'; did you mean 'nearest-mean'", head="nearest-men"
        )
        self.refused(backbone, folders, "unknown preprocess 'l3'; did you mean 'l2'", preprocess="l3")

    def test_a_wrong_sheet_name_is_refused_before_reading(self, trained, folders, tmp_path, capsys):
        nowhere = (tmp_path / "no", tmp_path / "no")
        assert run(trained, nowhere, "--sheet", "sheet.png") == 2
        error = capsys.readouterr().err
        assert "fsbench: --sheet sheet.png: must end in .html, since contact sheets are HTML pages" in error


class TestCommand:
    def test_files_and_summary(self, trained, folders, tmp_path, capsys):
        out, pages = tmp_path / "o" / "out.csv", tmp_path / "o" / "sheet.html"
        assert run(trained, folders, "--out", out, "--sheet", pages, "--head", "logistic") == 0
        output = capsys.readouterr().out
        assert re.match(
            r"Expected accuracy on your images: \d+ % \(approximate 95 % interval: \d+ to \d+ %\)\.\n", output
        )
        source = (
            "12 query images classified by logistic (l2) on tiny-erm, from 9 support images of 3 classes."
        )
        assert source in " ".join(output.split())
        assert output.endswith(f"\n{out}\n{pages}\n")
        assert max(map(len, output.removesuffix(f"{out}\n{pages}\n").splitlines())) <= 80
        table = pd.read_csv(out)
        assert list(table["path"]) == sorted(table["path"])
        assert list(table["true class"]) == [path.split("/")[0] for path in table["path"]]
        probabilities = table[[f"probability {name}" for name in CLASSES]].to_numpy()
        assert [CLASSES[row] for row in probabilities.argmax(axis=1)] == list(table["class"])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(table["probability"], probabilities.max(axis=1))
        assert list(table["sure"] == "yes") == list(table["probability"] >= 0.9)
        assert pages.read_text(encoding="utf-8").count("<img ") == 9 + 12

    def test_json_is_all_the_command_prints(self, trained, folders, tmp_path, capsys):
        assert run(trained, folders, "--out", tmp_path / "out.csv", "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert [row["support"] for row in printed["classes"]] == [2, 3, 4]
        assert sum(row["predicted"] for row in printed["classes"]) == len(printed["images"]) == 12
        assert printed["images"][0].keys() == {
            *("path", "class", "probability", "sure", "second class", "second probability", "true class"),
            *(f"probability {name}" for name in CLASSES),
        }
        assert isinstance(printed["images"][0]["probability novel-0"], float)
        assert isinstance(printed["images"][0]["sure"], bool)
        assert printed["expected_accuracy"].keys() == {"accuracy", "low", "high", "images"}
        assert printed["expected_accuracy"]["images"] == 9
        assert printed["actual_accuracy"]["images"] == 12
        assert sum(sum(row.values()) for row in printed["confusion"].values()) == 12
        assert printed["head"] == "nearest-mean"
        assert printed["least_confident"][0] in [row["path"] for row in printed["images"]]

    def test_existing_files_are_replaced_and_said_to_be(self, trained, folders, tmp_path, capsys):
        out, pages = tmp_path / "out.csv", tmp_path / "sheet.html"
        out.write_text("old")
        assert run(trained, folders, "--out", out, "--sheet", pages) == 0
        assert capsys.readouterr().out.endswith(f"\n{out} (replaced)\n{pages}\n")

    def test_help_explains_the_estimate_and_sure(self, capsys):
        assert main(["predict", "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "The first line is the accuracy to expect" in text
        assert "sure if its probability is at least 90 %" in text
        assert "left out and counted" in text

    def test_many_unreadable_images_are_counted(self, trained, folders, tmp_path, capsys):
        for number in range(12):
            (folders[1] / f"{number:02d}.png").write_bytes(b"none")
        assert run(trained, folders, "--out", tmp_path / "out.csv") == 0
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 11
        assert errors[-1] == "fsbench: 2 more images cannot be read"
