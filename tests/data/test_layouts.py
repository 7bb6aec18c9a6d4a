"""Every supported layout, as a small imitation of the published files."""

import io
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench.data import registry
from fsbench.data._layouts import omniglot
from fsbench.data.class_lists import class_list, cub_split
from fsbench.data.folders import split_folders
from fsbench.data.listing import SPLITS
from fsbench.data.loading import load
from fsbench.data.preparation import prepare

CIFAR = [(split, name) for split, names in class_list("cifar-fs").items() for name in names]


def picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (value % 256, value // 256, 7)).save(path)
    return path


def names(listing) -> dict[str, list[str]]:
    return {split: sorted(classes) for split, classes in listing.items()}


class Python2(pickle._Pickler):
    """Pickles text and bytes as strings of Python 2, as in the published files."""

    def save_string(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, str: save_string, bytes: save_string}  # noqa: RUF012 - as in pickle


def python2(path: Path, document: object) -> None:
    stream = io.BytesIO()
    Python2(stream, protocol=2).dump(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-100 as stored by torchvision and as CIFAR-FS: 2 training images and 1 test image per class."""
    root = tmp_path_factory.mktemp("cifar")
    meaning = sorted(name for _, name in CIFAR)
    rng = np.random.default_rng(0)
    folder = root / "cifar-100-python"
    python2(folder / "meta", {"fine_label_names": meaning, "coarse_label_names": ["fish"]})
    for part, count in (("train", 2), ("test", 1)):
        labels = rng.permutation(np.repeat(np.arange(100), count)).tolist()
        data = rng.integers(256, size=(len(labels), 3072), dtype=np.uint8)
        files = [f"{meaning[label]}_s_{rng.integers(10**6):06d}.png" for label in labels]
        document = {"data": data, "fine_labels": labels, "filenames": files, "batch_label": "batch 1 of 1"}
        python2(folder / part, document)
        for row, label, file in zip(data, labels, files, strict=True):
            path = root / "cifar100" / "data" / meaning[label] / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.stack([row[:1024], row[1024:2048], row[2048:]], -1).reshape(32, 32, 3)).save(
                path
            )
    lists = root / "cifar100" / "splits" / "bertinetto"
    lists.mkdir(parents=True)
    for old, split in (("train", "base"), ("val", "val"), ("test", "novel")):
        (lists / f"{old}.txt").write_text("".join(f"{name}\n" for at, name in CIFAR if at == split))
    return root


class TestCifar:
    def test_pickles_and_release_are_the_same_images_in_the_same_order(self, cifar: Path, tmp_path: Path):
        prepare("cifar-fs", cifar, cache=tmp_path / "a", quiet=True)
        prepare("cifar-fs", cifar / "cifar100", cache=tmp_path / "b", quiet=True)
        for split, n_classes in zip(SPLITS, (64, 16, 20), strict=True):
            first, second = (load("cifar-fs", split, tmp_path / cache) for cache in "ab")
            assert first.pixels.shape == (3 * n_classes, 32, 32, 3)
            assert sorted(first.class_names) == sorted(class_list("cifar-fs")[split])
            assert first.class_names == second.class_names
            np.testing.assert_array_equal(first.pixels, second.pixels)
            assert first.fingerprint == second.fingerprint
            for name, item in zip(np.array(first.class_names)[first.labels], first.items, strict=True):
                assert item.startswith(f"{name}_s_")

    def test_a_part_of_the_images_is_a_warning(self, cifar: Path, caplog, monkeypatch: pytest.MonkeyPatch):
        registry.read("cifar-fs", cifar)
        (text,) = caplog.messages
        assert "has 192/48/60 base/val/novel images" in text
        assert "but 38,400/9,600/12,000 as published" in text
        caplog.clear()
        whole = replace(registry.SOURCES["cifar-fs"], n_images=(192, 48, 60))
        monkeypatch.setitem(registry.SOURCES, "cifar-fs", whole)
        registry.read("cifar-fs", cifar)
        assert not caplog.messages

    @pytest.mark.parametrize("folder", ["cifar-100-python", "cifar100"])
    def test_the_path_may_be_the_inner_folder(self, cifar: Path, folder: str):
        assert len(registry.read("cifar-fs", cifar / folder)["base"]) == 64

    def test_images_of_the_same_name_are_all_kept(self, cifar: Path, tmp_path: Path):
        with (cifar / "cifar-100-python" / "test").open("rb") as file:
            document = pickle.load(file, encoding="latin1")
        for part in ("train", "test"):
            python2(tmp_path / part, {**document, "filenames": ["one.png"] * 100})
        (tmp_path / "meta").write_bytes((cifar / "cifar-100-python" / "meta").read_bytes())
        assert all(len(items) == 2 for items in registry.read("cifar-fs", tmp_path)["novel"].values())

    def test_class_folders(self, tmp_path: Path):
        for split, name in CIFAR:
            picture(tmp_path / split / name / "0.png")
        assert names(registry.read("cifar-fs", tmp_path)) == {
            s: sorted(c) for s, c in class_list("cifar-fs").items()
        }

    def test_a_pickle_runs_nothing(self, cifar: Path, tmp_path: Path):
        class Harm:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "harm"),)

        for part in ("train", "test", "meta"):
            (tmp_path / part).write_bytes(pickle.dumps({"fine_label_names": Harm()}))
        with pytest.raises(FsbenchError, match=r"meta: contains (posix|nt)\.mkdir, but only arrays"):
            registry.read("cifar-fs", tmp_path)
        assert not (tmp_path / "harm").exists()

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("meta", b""),
            ("meta", b"no pickle"),
            ("meta", pickle.dumps(["fine_label_names"])),
            ("train", pickle.dumps({"data": [[1, 2, 3]], "fine_labels": [0], "filenames": ["a"]})),
            (
                "test",
                pickle.dumps(
                    {"data": np.zeros((1, 3072)).tolist(), "fine_labels": [100], "filenames": ["a"]}
                ),
            ),
        ],
    )
    def test_a_wrong_file_is_refused(self, cifar: Path, tmp_path: Path, file: str, content: bytes):
        for path in (cifar / "cifar-100-python").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / file).write_bytes(content)
        with pytest.raises(FsbenchError, match=f"{file}: (not a file of CIFAR-100|damaged, or not a pickle)"):
            registry.read("cifar-fs", tmp_path)


class TestMiniImagenet:
    @pytest.fixture
    def tables(self, tmp_path: Path) -> Path:
        for split, classes in class_list("mini-imagenet").items():
            old = {"base": "train", "val": "val", "novel": "test"}[split]
            rows = [f"{name}{i:08d}.jpg,{name}" for name in classes for i in (1, 2)]
            (tmp_path / f"{old}.csv").write_text("filename,label\n" + "\n".join(rows), encoding="utf-8-sig")
        return tmp_path

    @pytest.mark.parametrize(("images", "moved"), [("images", ""), ("", ""), ("images", "split")])
    def test_tables_and_one_image_folder(self, tables: Path, images: str, moved: str):
        (tables / images).mkdir(exist_ok=True)
        if moved:
            (tables / moved).mkdir()
            for path in tables.glob("*.csv"):
                path.rename(tables / moved / path.name)
        splits = registry.read("mini-imagenet", tables)
        assert names(splits) == {split: sorted(c) for split, c in class_list("mini-imagenet").items()}
        name = class_list("mini-imagenet")["val"][3]
        files = [f"{name}{i:08d}.jpg" for i in (1, 2)]
        assert splits["val"][name] == {file: tables / images / file for file in files}

    def test_a_missing_image_is_named(self, tables: Path, tmp_path: Path, caplog):
        with pytest.raises(FsbenchError, match=r"^200 images cannot be read; "):
            prepare("mini-imagenet", tables, cache=tmp_path / "cache", quiet=True)
        assert "00000001.jpg: cannot be read (no such file" in caplog.text
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize(
        "text", ["file,class\na.jpg,n1", "filename,label\na.jpg", "filename,label\n\xff\x00"]
    )
    def test_another_table(self, tables: Path, text: str):
        (tables / "val.csv").write_text(text, encoding="latin1")
        with pytest.raises(FsbenchError, match=r"val.csv: must be a table with the header filename,label"):
            registry.read("mini-imagenet", tables)

    def test_a_missing_table_is_named(self, tables: Path):
        (tables / "val.csv").unlink()
        with pytest.raises(FsbenchError, match=r"cannot read .*val.csv: no such file"):
            registry.read("mini-imagenet", tables)

    def test_class_folders_must_follow_the_published_split(self, tmp_path: Path):
        lists = class_list("mini-imagenet")
        for split, old in (("base", "train"), ("val", "val"), ("novel", "test")):
            for name in lists[split]:
                picture(tmp_path / old / name / f"{name}.jpg")
        assert names(registry.read("mini-imagenet", tmp_path)) == {s: sorted(c) for s, c in lists.items()}
        base_class, novel_class = lists["base"][0], lists["novel"][0]
        (tmp_path / "train" / base_class).rename(tmp_path / "test" / base_class)
        (tmp_path / "test" / novel_class).rename(tmp_path / "train" / novel_class)
        with pytest.raises(
            FsbenchError, match=f"class {novel_class} must be in split novel, as published, but is in base"
        ):
            registry.read("mini-imagenet", tmp_path)


def test_tiered_imagenet(tmp_path: Path):
    lists = class_list("tiered-imagenet")
    for split, old in (("base", "train"), ("val", "val"), ("novel", "test")):
        for name in lists[split]:
            picture(tmp_path / old / name / "0.jpg")
    assert {split: len(c) for split, c in registry.read("tiered-imagenet", tmp_path).items()} == {
        "base": 351, "val": 97, "novel": 160,
    }  # fmt: skip
    (tmp_path / "val" / lists["val"][0] / "0.jpg").unlink()
    with pytest.raises(
        FsbenchError, match=f"class {lists['val'][0]} of split val must have at least one image, but has none"
    ):
        registry.read("tiered-imagenet", tmp_path)


class TestCub:
    @pytest.fixture
    def birds(self, tmp_path: Path) -> Path:
        for number in range(1, 201):
            picture(tmp_path / "CUB_200_2011" / "images" / f"{number:03d}.Bird_{number}" / "Bird_0001.jpg")
        (tmp_path / "CUB_200_2011" / "images" / "extra").mkdir()
        (tmp_path / "CUB_200_2011" / "images.txt").write_text("1 001.Bird_1/Bird_0001.jpg")
        return tmp_path

    @pytest.mark.parametrize("root", ["", "CUB_200_2011"])
    def test_closer_look_split(self, birds: Path, root: str):
        splits = registry.read("cub", birds / root)
        assert {split: len(classes) for split, classes in splits.items()} == {
            "base": 100,
            "val": 50,
            "novel": 50,
        }
        numbers = {split: [int(name[:3]) for name in sorted(classes)] for split, classes in splits.items()}
        assert numbers["base"][:4] == [1, 3, 5, 7]
        assert numbers["val"][:4] == [2, 6, 10, 14]
        assert numbers["novel"][:4] == [4, 8, 12, 16]

    def test_class_folders_of_another_split_are_refused(self, tmp_path: Path):
        for number in range(200):  # also 100/50/50, but with other classes
            split = "train" if number < 100 else "val" if number < 150 else "test"
            picture(tmp_path / split / f"{number + 1:03d}.Bird" / "0.jpg")
        with pytest.raises(
            FsbenchError, match=r"class 002.Bird must be in split val, as published, but is in base"
        ):
            registry.read("cub", tmp_path)

    def test_a_missing_class_is_refused(self, birds: Path):
        folder = birds / "CUB_200_2011" / "images" / "004.Bird_4"
        (folder / "Bird_0001.jpg").unlink()
        folder.rmdir()
        with pytest.raises(
            FsbenchError, match=r"must have 100/50/50 base/val/novel classes, but .* has 100/50/49"
        ):
            registry.read("cub", birds)

    def test_class_names_without_a_number_have_no_split(self):
        assert [cub_split(name) for name in ("Bird", "x.Bird", "12", "")] == [None] * 4


@pytest.mark.parametrize("folder", ["", "omniglot-py"])
def test_omniglot(tmp_path: Path, folder: str):
    for place in (
        "images_background/Tagalog/character01", "images_background/Greek/character02",
        "images_evaluation/Angelic/character01", "images_evaluation/Angelic/character02",
        "__MACOSX/images_background",
    ):  # fmt: skip
        picture(tmp_path / folder / place / "0001_01.png")
    splits = omniglot(tmp_path)
    assert names(splits) == {
        "base": ["Greek/character02"], "val": ["Tagalog/character01"],
        "novel": ["Angelic/character01", "Angelic/character02"],
    }  # fmt: skip
    with pytest.raises(FsbenchError, match=r"must have 883/81/659 base/val/novel classes, but .* has 1/1/2"):
        registry.read("omniglot", tmp_path)


class TestOwnFolders:
    def test_splits_may_have_common_names(self, tmp_path: Path):
        for split in ("Train", "validation", "TEST", "notes"):
            picture(tmp_path / split / f"class of {split}" / "0.png")
        assert names(registry.read("mine", tmp_path)) == {
            "base": ["class of Train"], "val": ["class of validation"], "novel": ["class of TEST"],
        }  # fmt: skip

    def test_without_splits_all_classes_are_novel(self, tmp_path: Path):
        for name in ("b", "a"):
            picture(tmp_path / name / "0.png")
        assert names(registry.read("mine", tmp_path)) == {"novel": ["a", "b"]}

    def test_two_folders_for_one_split_are_refused(self, tmp_path: Path):
        for split in ("base", "train"):
            picture(tmp_path / split / split / "0.png")
        with pytest.raises(FsbenchError, match="base and train are both split base"):
            split_folders(tmp_path)

    def test_only_image_files_of_a_class_folder_count(self, tmp_path: Path):
        root, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
        inside = root / "grüne Frösche"
        for name in ("a.PNG", "b.JPeG", "deep/er/c.bmp", "d e.png"):
            picture(inside / name)
        for name in (".hidden.png", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png"):
            picture(inside / name)
        for name in ("Thumbs.db", "notes.txt", "png", ".png"):
            (inside / name).write_text("no image")
        picture(root / ".git" / "x.png")
        picture(root / "__MACOSX" / "x.png")
        (root / "linked").symlink_to(picture(elsewhere / "toads" / "t.png").parent)
        (inside / "linked").symlink_to(elsewhere / "toads")
        (inside / "e.png").symlink_to(elsewhere / "toads" / "t.png")
        classes = registry.read("mine", root)["novel"]
        assert sorted(classes) == ["grüne Frösche", "linked"]
        assert sorted(classes["linked"]) == ["t.png"]
        assert sorted(classes["grüne Frösche"]) == [
            "a.PNG", "b.JPeG", "d e.png", "deep/er/c.bmp", "e.png", "linked/t.png",
        ]  # fmt: skip

    def test_circular_links_give_one_line(self, tmp_path: Path):
        picture(tmp_path / "toad" / "0.png")
        (tmp_path / "toad" / "again").symlink_to(tmp_path / "toad")
        with pytest.raises(FsbenchError, match=r"symbolic links lead to .*toad twice"):
            registry.read("mine", tmp_path)

    def test_an_unreadable_folder_is_not_skipped(self, tmp_path: Path, monkeypatch):
        locked = picture(tmp_path / "toad" / "locked" / "0.png").parent
        picture(tmp_path / "toad" / "1.png")
        scandir = os.scandir

        def guarded(path):
            if Path(path) == locked:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", guarded)
        with pytest.raises(FsbenchError, match=f"cannot read {locked}: permission denied"):
            registry.read("mine", tmp_path)

    def test_folders_that_are_no_data_set_are_refused(self, tmp_path: Path):
        with pytest.raises(
            FsbenchError, match=r"PATH .*absent: must be a folder of images, but does not exist"
        ):
            registry.read("mine", tmp_path / "absent")
        with pytest.raises(FsbenchError, match=r"PATH .*0.png: must be a folder of images, but is a file"):
            registry.read("mine", picture(tmp_path / "0.png"))
        with pytest.raises(FsbenchError, match=r"must hold \{base,val,novel\}/<class>/\* or <class>/\*"):
            registry.read("mine", tmp_path)
        (tmp_path / "0.png").unlink()
        (tmp_path / "base").mkdir()
        with pytest.raises(FsbenchError, match="split base must have at least one class, but has none"):
            registry.read("mine", tmp_path)

    def test_a_class_in_two_splits_is_refused(self, tmp_path: Path):
        for split in ("base", "novel"):
            picture(tmp_path / split / "toad" / "0.png")
        with pytest.raises(
            FsbenchError, match="splits must not share classes, but toad is in base and novel"
        ):
            registry.read("mine", tmp_path)


@pytest.mark.parametrize("name", registry.SOURCES)
def test_every_source_describes_its_layout_and_refuses_other_files(name: str, tmp_path: Path):
    with pytest.raises(FsbenchError) as caught:
        registry.read(name, tmp_path)
    assert f"data set {name}: {tmp_path} must hold " in str(caught.value)
    assert registry.SOURCES[name].layouts in registry.how_to_prepare(name)
    assert ("--download" in registry.how_to_prepare(name)) == (name in ("cifar-fs", "cub", "omniglot"))


@pytest.mark.parametrize("name", ["cifar-fs", "mini-imagenet", "tiered-imagenet"])
def test_published_lists_share_no_class_and_have_the_published_sizes(name: str):
    lists = class_list(name)
    assert tuple(len(set(lists[split])) for split in SPLITS) == registry.SOURCES[name].n_classes
    assert len({c for classes in lists.values() for c in classes}) == sum(registry.SOURCES[name].n_classes)
