"""Data sets saved by Hugging Face's `datasets`, and images that a function returns."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench.cli import main
from fsbench.data.loading import load, splits_of
from fsbench.data.preparation import prepare

NAMES = {"train": ("ant", "bee"), "validation": ("cat", "dog"), "test": ("eel", "fox")}
datasets.disable_progress_bars()


def picture(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def split(names: tuple[str, ...], column: str = "label") -> Dataset:
    """Three images per class, in turn by class."""
    labels = [number % len(names) for number in range(3 * len(names))]
    kinds = Features({"image": datasets.Image(), column: ClassLabel(names=list(names))})
    return Dataset.from_dict(
        {"image": [picture(n) for n in range(len(labels))], column: labels}, features=kinds
    )


def check(cache: Path, names: dict[str, tuple[str, ...]]) -> None:
    """Assert that the store holds these classes and the pixels of each image."""
    assert splits_of("mine", cache) == tuple(names)
    for name, classes in names.items():
        images = load("mine", name, cache)
        assert sorted(images.class_names) == sorted(classes)
        np.testing.assert_array_equal(images.labels, np.repeat(range(len(classes)), 3))
        names = [images.class_names[label] for label in images.labels]
        classes_by_pixels = dict(zip((image.tobytes() for image in images.pixels), names, strict=True))
        rows = range(3 * len(classes))
        assert classes_by_pixels == {picture(row).tobytes(): classes[row % len(classes)] for row in rows}


OURS = dict(zip(("base", "val", "novel"), NAMES.values(), strict=True))


class TestHuggingFace:
    def test_save_to_disk(self, tmp_path):
        DatasetDict({name: split(classes) for name, classes in NAMES.items()}).save_to_disk(
            tmp_path / "saved"
        )
        prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)
        check(tmp_path, OURS)

    def test_a_single_split_becomes_novel(self, tmp_path):
        split(NAMES["train"]).save_to_disk(tmp_path / "saved")
        prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)
        check(tmp_path, {"novel": NAMES["train"]})

    def test_several_tables_of_a_shuffled_split(self, tmp_path):
        rows = split(NAMES["train"])
        rows.select([0, 2, 4, 1, 3, 5]).save_to_disk(tmp_path / "saved", num_shards=3)
        assert len(list((tmp_path / "saved").glob("*.arrow"))) == 3
        prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)
        check(tmp_path, {"novel": NAMES["train"]})

    @pytest.mark.parametrize("place", ["data", "."])
    def test_parquet(self, tmp_path, place):
        folder = tmp_path / "hub" / place
        folder.mkdir(parents=True)
        for name, classes in NAMES.items():
            rows = split(classes)
            for shard in range(2):
                part = rows.shard(2, shard, contiguous=True)
                part.to_parquet(folder / f"{name}-{shard:05d}-of-00002.parquet")
        prepare("mine", tmp_path / "hub", cache=tmp_path, quiet=True)
        check(tmp_path, OURS)

    def test_items_are_named_by_their_files(self, tmp_path):
        content = io.BytesIO()
        picture(0).save(content, "png")
        rows = {
            "image": [
                {"bytes": content.getvalue(), "path": path} for path in ("b.png", "a.png", "a.png", None)
            ],
            "label": ["ant", "ant", "bee", "bee"],
        }
        kinds = Features({"image": datasets.Image(), "label": Value("string")})
        Dataset.from_dict(rows, features=kinds).save_to_disk(tmp_path / "saved")
        prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)
        assert load("mine", "novel", tmp_path).items == ("a.png", "b.png", "a.png", "row-00000003")

    def test_a_published_data_set_is_checked_against_its_list(self, tmp_path):
        DatasetDict({name: split(classes) for name, classes in NAMES.items()}).save_to_disk(
            tmp_path / "saved"
        )
        with pytest.raises(
            FsbenchError, match=r"cub: must have 100/50/50 base/val/novel classes, but .* 2/2/2"
        ):
            prepare("cub", tmp_path / "saved", cache=tmp_path, quiet=True)

    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (
                lambda p: DatasetDict({"train": split(("a", "b")), "test": split(("a", "b"))}).save_to_disk(
                    p
                ),
                "splits must not share classes, but a is in base and novel",
            ),
            (
                lambda p: DatasetDict({"train": split(("a",)), "extra": split(("b",))}).save_to_disk(p),
                "splits must be train, validation and test, each at most once, but one is 'extra'",
            ),
            (
                lambda p: split(("a",), "kind").save_to_disk(p),
                "must have one column of images and one of label, .*, but has image, kind",
            ),
            (
                lambda p: Dataset.from_dict({"label": [0]}).save_to_disk(p),
                "must have one column of images and one of label, .*, but has label",
            ),
            (
                lambda p: (
                    split(("a",)).save_to_disk(p),
                    (p / "data-00000-of-00001.arrow").write_bytes(b"torn"),
                ),
                "data-00000-of-00001.arrow: damaged, or not a table",
            ),
            (
                lambda p: (p.mkdir(), (p / "train.parquet").write_bytes(b"torn")),
                "train.parquet: damaged, or not a table",
            ),
        ],
    )
    def test_unreadable_data_gives_one_line(self, tmp_path, write, message):
        write(tmp_path / "saved")
        with pytest.raises(FsbenchError, match=message):
            prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (
                {"bytes": b"no image", "path": None},
                "arrow row 0: cannot be read .it is not an image of a known format",
            ),
            (None, "arrow row 0: must have an image, but has none"),
        ],
    )
    def test_an_image_that_cannot_be_read_is_named(self, tmp_path, row, message):
        kinds = Features({"image": datasets.Image(), "label": ClassLabel(names=["a"])})
        Dataset.from_dict({"image": [row], "label": [0]}, features=kinds).save_to_disk(tmp_path / "saved")
        with pytest.raises(FsbenchError, match=message):
            prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)

    def test_a_row_without_a_label_is_named(self, tmp_path):
        kinds = Features({"image": datasets.Image(), "label": ClassLabel(names=["a"])})
        rows = {"image": [picture(0), picture(1)], "label": [0, -1]}
        Dataset.from_dict(rows, features=kinds).save_to_disk(tmp_path / "saved")
        with pytest.raises(FsbenchError, match="row 1: must have a label, but has -1"):
            prepare("mine", tmp_path / "saved", cache=tmp_path, quiet=True)


MINE = """
from pathlib import Path
import numpy as np

def pixels():
    grey = [np.full((8, 8, 3), 40 * number, np.uint8) for number in range(3)]
    return {"base": {"ant": grey}, "novel": {"eel": {"z": grey[0], "a": grey[1]}, "fox": grey[:2]}}

def files():
    here = Path(__file__).parent
    return {"novel": {"red": sorted(here.glob("*.png")), "blue": [str(here / "0.png")]}}

def flat(): return [1, 2]
def other_split(): return {"train": {"a": []}}
def no_classes(): return {"novel": ["a"]}
def numbered(): return {"novel": {3: []}}
def floats(): return {"novel": {"a": [np.zeros((8, 8, 3))]}}
def grey(): return {"novel": {"a": {"x": np.zeros((8, 8), np.uint8)}}}
def words(): return {"novel": {"a": [3.5]}}
def empty(): return {"novel": {"a": []}}
def failing(): return {}["novel"]
"""


class TestFunctions:
    @pytest.fixture
    def mine(self, tmp_path: Path) -> Path:
        (tmp_path / "mine.py").write_text(MINE)
        for number in range(2):
            picture(number).save(tmp_path / f"{number}.png")
        return tmp_path / "mine.py"

    def test_pixels(self, mine, tmp_path):
        prepare("mine", Path(f"{mine}:pixels"), cache=tmp_path, quiet=True)
        base, novel = load("mine", "base", tmp_path), load("mine", "novel", tmp_path)
        levels = dict(zip(base.items, base.pixels[:, 0, 0, 0].tolist(), strict=True))
        assert levels == {"00000000": 0, "00000001": 40, "00000002": 80}
        names = [novel.class_names[label] for label in novel.labels]
        stored = set(zip(names, novel.items, novel.pixels[:, 0, 0, 0].tolist(), strict=True))
        assert stored == {("eel", "a", 40), ("eel", "z", 0), ("fox", "00000000", 0), ("fox", "00000001", 40)}

    def test_files_from_the_command_line(self, mine, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        command = [
            "data",
            "prepare",
            "mine",
            "./mine.py:files",
            "--quiet",
            "--cache",
            str(tmp_path / "cache"),
        ]
        assert main(command) == 0
        assert "novel" in capsys.readouterr().out
        novel = load("mine", "novel", tmp_path / "cache")
        assert novel.class_names == ("blue", "red")
        expected = np.stack([np.asarray(picture(number)) for number in (0, 0, 1)])
        np.testing.assert_array_equal(novel.pixels, expected)

    def test_in_a_package(self, mine, tmp_path, monkeypatch):
        mine.rename(tmp_path / "images_of_mine.py")
        monkeypatch.syspath_prepend(tmp_path)
        prepare("mine", Path("images_of_mine:pixels"), cache=tmp_path, quiet=True)
        assert splits_of("mine", tmp_path) == ("base", "novel")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("flat", "must be {split: {class: items}} with text as keys, but is list"),
            ("other_split", "splits must be base, val, novel, but one is 'train'"),
            ("no_classes", "novel: must be {class: items} with text as keys, but is list"),
            ("numbered", "novel: must be {class: items} with text as keys, but is dict"),
            ("floats", r"item 00000000: pixels must be \(h, w, 3\) uint8, but are \(8, 8, 3\) float64"),
            ("grey", r"item x: pixels must be \(h, w, 3\) uint8, but are \(8, 8\) uint8"),
            ("words", "item 00000000: must be a path or an array of pixels, but is float"),
            ("empty", "class a of split novel must have at least one image, but has none"),
            ("failing", r"KeyError: 'novel' \(mine.py, line \d+\)"),
            ("absent", "mine.py does not define absent"),
        ],
    )
    def test_wrong_return_values_give_one_line(self, mine, tmp_path, name, message):
        with pytest.raises(FsbenchError, match=message):
            prepare("mine", Path(f"{mine}:{name}"), cache=tmp_path, quiet=True)
